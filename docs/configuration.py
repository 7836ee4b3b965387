"""Makes configuration.md of the settings' classes, and of the comments in params.yaml and conf/."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from pydantic import BaseModel

from docs.allowed import allowed
from progrec.learning import config as configs
from progrec.settings import Settings

PROJECT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_suffix(".md")
PARAMS, CONF = PROJECT / "params.yaml", PROJECT / "conf"

OPENING = """\
# Configuration

`make docs` makes this page from the code and from the comments in `params.yaml` and `conf/`.
A key that is unknown, missing or unusable is refused by name, an unknown one with the nearest
known key.
"""
CHOICES = """\
## conf/

How a model is trained (`train`) and updated (`update`), composed by Hydra. A file is a choice, and
each key can be set by itself:

```bash slow
python -m progrec.learning.train loss=bpr model.factors=16
```

In the pipeline such words go into `train.overrides` and `update.overrides` of `params.yaml`.
**Bold** is what a stage takes without any.
"""
TOP = "Where data are read and written, and the seed."

ByStage = Mapping[str, BaseModel]
"""Stage -> the same group of its configuration."""


def page() -> str:
    """The page, as Markdown."""
    return "\n".join([OPENING, *_params(), CHOICES, _choices(), *_groups()])


def _params() -> Iterator[str]:
    values, comments = yaml.safe_load(PARAMS.read_text()), _comments(PARAMS)
    yield f"## {PARAMS.name}\n"
    yield f"{_header(PARAMS)}\n"
    for name, field in Settings.model_fields.items():
        rows = _settings(field.annotation, name, "", values[name], comments)
        yield f"### {name}\n"
        yield f"{inspect.getdoc(field.annotation)}\n"
        yield _table(["key", "what it is", "value", "possible values"], rows)


def _settings(
    group: Any, path: str, prefix: str, values: Mapping[str, Any], comments: Mapping[str, str]
) -> Iterator[list[str]]:
    """A row for each key of a group of params.yaml, those of the groups within it included."""
    schema = group.model_json_schema()
    for key, field in group.model_fields.items():
        place, name = f"{path}.{key}", f"{prefix}{key}"
        if place not in comments:
            raise LookupError(f"{PARAMS.name} has no comment beside {place}")
        if hasattr(field.annotation, "model_fields"):
            yield [f"`{name}`", comments[place], "", ""]
            yield from _settings(field.annotation, place, f"{name}.", values[key], comments)
        else:
            may = allowed(schema["properties"][key], schema)
            yield [f"`{name}`", comments[place], _value(values[key]), may]


def _choices() -> str:
    taken = {stage: _defaults(stage) for stage in ("train", "update")}
    rows = []
    for file in sorted(CONF.glob("*/*.yaml")):
        group, name = file.parent.name, file.stem
        if group != "hydra":
            stages = [stage for stage in taken if taken[stage].get(group) == name]
            choice = f"`{group}={name}`"
            bold = f"**{choice}** ({', '.join(stages)})"
            rows.append([bold if stages else choice, _header(file)])
    return _table(["choice", "what it is"], rows)


def _groups() -> Iterator[str]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        stages: ByStage = {
            "train": configs.train_config(compose("train")),
            "update": configs.update_config(compose("update")),
        }
    groups: dict[str, dict[str, BaseModel]] = {}
    for stage, config in stages.items():
        for path, group in _within(config, ""):
            groups.setdefault(path, {})[stage] = group
    for path, by_stage in groups.items():
        (summary, *_) = (inspect.getdoc(next(iter(by_stage.values()))) or "").splitlines()
        yield f"### {path or 'The top'}\n"
        yield f"{summary if path else TOP}\n"
        yield _table(["key", "what it is", *by_stage, "possible values"], _keys(by_stage))


def _within(group: BaseModel, path: str) -> Iterator[tuple[str, BaseModel]]:
    """A group and those in it; of a list of groups, the first."""
    yield path, group
    for name, value in group:
        place = f"{path}.{name}" if path else name
        if isinstance(value, BaseModel):
            yield from _within(value, place)
        elif _lists_groups(value):
            yield from _within(value[0], f"{place}[0]")


def _lists_groups(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], BaseModel)


def _keys(by_stage: ByStage) -> Iterator[list[str]]:
    """A row for each key that is no group itself."""
    owners = {
        key: group
        for group in reversed([*by_stage.values()])
        for key, value in group
        if not isinstance(value, BaseModel) and not _lists_groups(value)
    }
    for key, owner in owners.items():
        values = [
            _value(group.model_dump(mode="json")[key]) if hasattr(group, key) else ""
            for group in by_stage.values()
        ]
        schema = type(owner).model_json_schema()
        may = allowed(schema["properties"][key], schema)
        yield [f"`{key}`", _attribute(type(owner), key), *values, may]


def _attribute(group: type[BaseModel], name: str) -> str:
    """What the docstring of a class, or of one that it inherits from, says of an attribute.

    Raises:
        LookupError: it says nothing.
    """
    for owner in group.__mro__:
        _, _, attributes = inspect.cleandoc(owner.__doc__ or "").partition("Attributes:\n")
        found = re.search(rf"^    {name}: (.*(?:\n {{8}}.*)*)", attributes, re.MULTILINE)
        if found:
            return " ".join(found[1].split()).removesuffix(".")
    raise LookupError(f"{group.__name__}'s docstring says nothing of {name}")


def _comments(file: Path) -> dict[str, str]:
    """Key's path -> the comment that follows it on its line and, alone, on the lines below."""
    lines = file.read_text().splitlines()
    found = {
        path: _comment(lines[line:]) for path, line in _places(yaml.compose(file.read_text()), "")
    }
    return {path: comment for path, comment in found.items() if comment}


def _places(node: yaml.Node | None, path: str) -> Iterator[tuple[str, int]]:
    """The path and the line of each key."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = f"{path}.{key.value}" if path else key.value
            yield name, key.start_mark.line
            yield from _places(value, name)


def _comment(lines: Sequence[str]) -> str:
    first, *others = lines
    _, _, text = first.partition(" # ")
    for line in others if text else []:
        if not line.lstrip().startswith("# "):
            break
        text += " " + line.strip().removeprefix("# ")
    return text.strip()


def _header(file: Path) -> str:
    """The comment that a file begins with, Hydra's own directives aside.

    Raises:
        LookupError: there is none.
    """
    lines = file.read_text().splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    said = [line.removeprefix("# ") for line in lines[:end] if not line.startswith("# @")]
    if not said:
        raise LookupError(f"{file} does not begin with a comment that says what it is")
    return " ".join(said)


def _defaults(stage: str) -> dict[str, str]:
    """Group -> the file that a stage takes."""
    listed = yaml.safe_load((CONF / f"{stage}.yaml").read_text())["defaults"]
    return {group: name for one in listed if isinstance(one, dict) for group, name in one.items()}


def _value(value: object) -> str:
    """As YAML writes it; a table's keys one by one, so that lines can break between them."""
    if isinstance(value, dict) and value:
        return ", ".join(f"`{key}: {each}`" for key, each in value.items())
    text = yaml.safe_dump(value, default_flow_style=True, default_style='"' if value == "" else "")
    return f"`{text.splitlines()[0]}`"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page())
