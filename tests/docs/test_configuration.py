"""docs/configuration.md says what the code and the files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import configuration
from docs.allowed import allowed
from progrec.learning.config import ChoicesConfig, FusionConfig
from progrec.settings import Group, Settings


def test_the_page_is_up_to_date() -> None:
    assert configuration.PAGE.read_text() == configuration.page(), "run `make docs`"


def test_every_key_of_the_settings_has_a_row() -> None:
    page = configuration.page()

    for name, field in Settings.model_fields.items():
        _, _, section = page.partition(f"\n### {name}\n")
        table, _, _ = section.partition("\n#")
        for key in field.annotation.model_fields:
            assert f"| `{key}` |" in table


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"type": "integer", "minimum": 1}, "a whole number, at least 1"),
        ({"type": "number", "exclusiveMinimum": 0}, "a number above 0"),
        ({"type": "number", "minimum": 0, "maximum": 1}, "a number from 0 to 1"),
        ({"type": "string", "format": "date"}, "a date in quotes"),
        ({"enum": ["a", "b"], "type": "string"}, "`a`, `b`"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "`true`, `false` or `null`"),
        ({"type": "array", "items": {"type": "string"}}, "a list, each: text"),
        (
            {
                "type": "object",
                "propertyNames": {"enum": ["view"]},
                "additionalProperties": {"type": "number"},
            },
            "`view`; of each: a number",
        ),
    ],
)
def test_a_schema_in_words(field: dict[str, object], words: str) -> None:
    assert allowed(field, {}) == words


def test_a_kind_without_words_is_refused() -> None:
    with pytest.raises(KeyError):
        allowed({"type": "string", "format": "ipv4"}, {})


def test_a_comment_goes_on_below_its_line(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("a:\n  b: 1   # first\n         # second\n  c: {d: 2}  # third\ne: f#g\n")

    assert configuration._comments(file) == {
        "a.b": "first second",
        "a.c": "third",
        "a.c.d": "third",
    }


def test_an_inherited_attribute_is_explained_where_it_is_declared() -> None:
    assert configuration._attribute(FusionConfig, "rate") == "Adam's learning rate"
    assert configuration._attribute(ChoicesConfig, "batch_size") == "users a step"


def test_an_attribute_without_a_word_is_refused() -> None:
    class Mute(Group):
        """Says nothing."""

        key: int

    with pytest.raises(LookupError, match="nothing of key"):
        configuration._attribute(Mute, "key")
