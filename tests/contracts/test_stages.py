"""dvc.yaml says what each stage reads; these tests say whether that is true."""

from __future__ import annotations

import re
from pathlib import Path

import grimp
import pytest
import yaml

from progrec.features.relation import Relation

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# publish runs each time whatever has changed: it needs no list.
LISTED = sorted(name for name in STAGES if name != "publish")


SQL = "src/progrec/features/sql/"


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("progrec")


def body(stage: str) -> dict[str, object]:
    return STAGES[stage].get("do", STAGES[stage])


def dependencies(stage: str) -> set[str]:
    return {str(path) for path in body(stage)["deps"]}


def modules_of(stage: str) -> set[str]:
    return set(re.findall(r"python -m (\S+)", str(body(stage)["cmd"])))


def code_of(graph: grimp.ImportGraph, entries: set[str]) -> set[str]:
    """The files that modules execute, packages' docstrings aside."""
    modules = entries.union(*(graph.find_upstream_modules(entry) for entry in entries))
    files = {f"src/{name.replace('.', '/')}.py" for name in modules}
    return {file for file in files if (ROOT / file).exists()}


@pytest.mark.parametrize("stage", LISTED)
def test_a_stage_depends_on_the_code_that_it_runs_and_on_no_other(
    stage: str, graph: grimp.ImportGraph
) -> None:
    listed = {path for path in dependencies(stage) if path.endswith(".py")}

    assert listed == code_of(graph, modules_of(stage))


def relations_of(stage: str) -> set[str]:
    """The relations that a stage makes, and those whose rows it takes as they stand."""
    (names,) = re.findall(r"features\.build ([a-z_ ]+?)(?: --| '|$|\n)", str(body(stage)["cmd"]))
    made = set(names.split())
    return made.union(*(Relation.named(name).contract.reads.state for name in made))


@pytest.mark.parametrize(
    "stage", [name for name in LISTED if "features.build" in str(body(name)["cmd"])]
)
def test_a_feature_stage_depends_on_the_relations_that_it_makes(stage: str) -> None:
    relations = relations_of(stage)
    if "progrec.features.enrich" in modules_of(stage):
        relations |= {"enriched", "spending"}

    listed = {path for path in dependencies(stage) if path.startswith("src/progrec/features/sql/")}

    files = {f"{SQL}{name}{suffix}" for name in relations for suffix in (".sql", ".toml")}
    assert listed == {file for file in files if (ROOT / file).exists()}


@pytest.mark.parametrize("stage", ["train", "update"])
def test_a_hydra_stage_depends_on_the_groups_that_its_configuration_composes(stage: str) -> None:
    defaults = yaml.safe_load((ROOT / f"conf/{stage}.yaml").read_text())["defaults"]
    groups = {
        f"conf/{group}" for default in defaults if isinstance(default, dict) for group in default
    }

    listed = {path for path in dependencies(stage) if path.startswith("conf/")}

    assert listed == groups | {f"conf/{stage}.yaml"}


def test_each_path_that_a_stage_depends_on_is_there_or_made_by_a_stage() -> None:
    written = [path for path in dependencies("train") if not path.startswith("artifacts/")]

    assert [path for path in written if not (ROOT / path).exists()] == []
