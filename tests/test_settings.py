from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import model_validator

from progrec import settings
from progrec.settings import Settings, SettingsError

PARAMS = Path(__file__).parents[1] / "params.yaml"


@pytest.fixture
def content() -> dict[str, Any]:
    """The project's own settings, as plain data to change."""
    return yaml.safe_load(PARAMS.read_text(encoding="utf-8"))


@pytest.fixture
def load(tmp_path: Path) -> Callable[[object], Settings]:
    """Loads plain data, or a text as it stands, from a file."""

    def loaded(content: object) -> Settings:
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
        return settings.load(tmp_path / "params.yaml")

    return loaded


Load = Callable[[object], Settings]


def test_the_projects_own_settings_load() -> None:
    loaded = settings.load(PARAMS)

    assert loaded.ingest.column_aliases["timestamp"] == "event_time"
    assert loaded.split.cutoff == date(2020, 2, 1)
    assert loaded.split.cutoff_time == datetime(2020, 2, 1, tzinfo=UTC)


def test_dates_may_stand_without_quotes(load: Load) -> None:
    text = PARAMS.read_text(encoding="utf-8")
    assert 'cutoff: "2020-02-01"' in text

    loaded = load(re.sub(r'"(\d{4}-\d\d-\d\d)"', r"\1", text))

    assert loaded.split.cutoff == date(2020, 2, 1)
    assert loaded.ingest.earliest == date(2000, 1, 1)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.load(PARAMS).split.horizon_days = 3


def put(content: dict[str, Any], path: str, value: object) -> None:
    *parents, key = path.split(".")
    for parent in parents:
        content = content[parent]
    content[key] = value


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("splitt", "split"),
        ("Ingest", "ingest"),
        ("split.cut_off", "cutoff"),
        ("ingest.drop_duplicate", "drop_duplicates"),
        ("queue.refill", "refill_to"),
        ("gate.tolerance.frosen", "frozen"),
        ("queue.weights.veiw", "view"),
        ("queue.weights.remove", "remove_from_cart"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_known_one(
    load: Load, content: dict[str, Any], path: str, nearest: str
) -> None:
    put(content, path, 1)
    with pytest.raises(SettingsError, match=rf"(?m)^  {path}: .*did you mean {nearest}\?$"):
        load(content)


def test_every_problem_is_named_at_once(load: Load, content: dict[str, Any]) -> None:
    del content["split"]["cutoff"]
    content["evaluate"]["kk"] = 5
    content["serving"]["max_k"] = 0
    with pytest.raises(SettingsError) as caught:
        load(content)

    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == [
        "split.cutoff",
        "evaluate.kk",
        "serving.max_k",
    ]


@pytest.mark.parametrize(
    "path", ["split", "split.cutoff", "ingest.column_aliases", "queue.weights"]
)
def test_a_missing_key_is_named(load: Load, content: dict[str, Any], path: str) -> None:
    *parents, key = path.split(".")
    group = content
    for parent in parents:
        group = group[parent]
    del group[key]

    with pytest.raises(SettingsError, match=rf"params\.yaml cannot be used:\n  {path}: missing$"):
        load(content)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("split.cutoff", "soon", r"valid date.*\(it is 'soon'\)"),
        ("split.horizon_days", 0, r"greater than or equal to 1 \(it is 0\)"),
        ("ingest.max_bad_fraction", 1.5, r"less than or equal to 1 \(it is 1\.5\)"),
        ("ingest.drop_duplicates", "perhaps", r"valid boolean.*\(it is 'perhaps'\)"),
        ("ingest.event_type_aliases.buy", "bought", r"'view'.*\(it is 'bought'\)"),
        ("gate.tolerance.recent", -0.1, r"greater than or equal to 0 \(it is -0\.1\)"),
        ("gate.max_probability_shift", 0.5, r"greater than or equal to 1 \(it is 0\.5\)"),
        ("queue.weights.view", "much", r"valid number.*\(it is 'much'\)"),
        ("queue", 3, r"valid dictionary.*\(it is 3\)"),
        ("queue", None, r"valid dictionary.*\(it is None\)"),
    ],
)
def test_an_unusable_value_is_shown_with_its_key(
    load: Load, content: dict[str, Any], path: str, value: object, complaint: str
) -> None:
    put(content, path, value)
    with pytest.raises(SettingsError, match=rf"(?m)^  {path}: .*{complaint}"):
        load(content)


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "- ingest\n- split\n", "5\n"])
def test_a_file_that_holds_no_keys_is_refused(load: Load, text: str) -> None:
    with pytest.raises(SettingsError, match=r"params\.yaml holds no settings.*key: value"):
        load(text)


@pytest.mark.parametrize("text", ["ingest: [", "ingest: {a: 1", "a: b: c", "\tingest:", "a: \x00"])
def test_a_file_that_is_not_yaml_is_refused(load: Load, text: str) -> None:
    with pytest.raises(SettingsError, match=r"params\.yaml is not valid YAML"):
        load(text)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"train: {overrides: \xe9}\n")
    with pytest.raises(SettingsError, match=r"params\.yaml is not UTF-8"):
        settings.load(tmp_path / "params.yaml")


def test_a_missing_file_is_answered_with_where_to_stand(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml does not exist; run .* top folder"):
        settings.load(tmp_path / "nowhere.yaml")


def test_a_group_that_is_wrong_as_a_whole_says_why() -> None:
    class Pair(settings.Group):
        low: int
        high: int

        @model_validator(mode="after")
        def _is_in_order(self) -> Pair:
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    with pytest.raises(SettingsError, match="as a whole: Value error, low is above high"):
        settings.validate(Pair, {"low": 2, "high": 1}, "pair.yaml")
