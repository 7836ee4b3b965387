from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from progrec import settings
from progrec.doctor import pipeline
from progrec.doctor.finding import Finding
from progrec.errors import InputError
from progrec.settings import SplitSettings


@pytest.fixture
def split(folder: Path) -> SplitSettings:
    """As in params.yaml: history ends with January 2020."""
    return settings.load().split


@pytest.fixture
def tracked(folder: Path) -> Path:
    """A folder with data, and with their version."""
    (folder / "data").mkdir()
    (folder / "data.dvc").touch()
    return folder


def ingested(folder: Path, *days: str) -> None:
    for day in days:
        part = "history" if day < "2020-02-01" else "delta"
        path = folder / f"artifacts/events/{part}/date={day}/events.parquet"
        path.parent.mkdir(parents=True)
        path.touch()


def test_data_that_are_not_there_are_a_problem_with_two_ways_out(folder: Path) -> None:
    assert "make run" in pipeline.data({}).advice

    (folder / "data.dvc").touch()
    found = pipeline.data({"data.dvc": [{"changed outs": {"data": "deleted"}}]})
    assert found.state == "problem"
    assert "dvc pull" in found.advice


def test_data_without_a_version_are_a_problem(folder: Path) -> None:
    (folder / "data").mkdir()

    assert pipeline.data({}) == Finding("problem", "data", "data/ has no version", "`dvc add data`")


def test_data_of_another_version_are_a_warning(tracked: Path) -> None:
    changed = {"data.dvc": [{"changed outs": {"data": "modified"}}]}

    assert pipeline.data({}).state == "ok"
    assert pipeline.data(changed).state == "warning"


def test_stages_that_would_run_are_named_but_not_the_one_that_always_does() -> None:
    always: Mapping[str, list[object]] = {"publish": ["always changed"]}
    changed = {stage: [{"changed deps": {}}] for stage in ("ingest", "train", "a", "b", "data.dvc")}

    assert pipeline.stages(always).state == "ok"
    assert pipeline.stages(always | changed) == Finding(
        "warning", "stages", "out of date: ingest, train, a and 1 more", "`dvc repro`"
    )


def test_a_cutoff_after_the_log_or_at_its_start_is_a_problem(
    folder: Path, split: SplitSettings
) -> None:
    assert pipeline.cutoff(split).state == "warning"

    ingested(folder, "2020-01-01", "2020-01-31")
    late = pipeline.cutoff(split)
    assert late.state == "problem"
    assert late.found == "2020-02-01 is not within the log (2020-01-01 to 2020-01-31)"

    ingested(folder, "2020-02-01")
    assert pipeline.cutoff(split).state == "ok"

    at_its_start = split.model_copy(update={"cutoff": date(2020, 1, 1)})
    assert pipeline.cutoff(at_its_start).state == "problem"


def test_a_day_without_events_is_no_day_of_the_log(folder: Path, split: SplitSettings) -> None:
    ingested(folder, "2020-01-01", "2020-01-31")
    (folder / "artifacts/events/delta/date=2020-02-02").mkdir(parents=True)

    assert pipeline.cutoff(split).state == "problem"


def test_that_dvc_cannot_say_is_a_problem_and_the_cutoff_is_looked_at_all_the_same(
    split: SplitSettings,
) -> None:
    def ask() -> pipeline.Status:
        raise InputError("`dvc status`: Unable to acquire lock")

    dvc, cutoff = pipeline.findings(ask, split)

    assert dvc.state == "problem"
    assert "lock" in dvc.found
    assert cutoff.check == "split.cutoff"


def test_without_settings_the_cutoff_is_left_out(tracked: Path) -> None:
    assert [each.check for each in pipeline.findings(dict, None)] == ["data", "stages"]


@pytest.mark.slow
def test_dvc_itself_says_what_has_changed(folder: Path) -> None:
    """DVC's own words, as they come: this is what the other tests take for granted."""
    with pytest.raises(InputError, match="not inside of a DVC repository"):
        pipeline.status()

    for command in ("git init -q", "dvc init -q"):
        subprocess.run(command.split(), check=True)
    (folder / "data").mkdir()
    (folder / "data/log.csv").write_text("one")
    subprocess.run(["dvc", "add", "-q", "data"], check=True)
    assert pipeline.status() == {}

    (folder / "data/log.csv").write_text("two")
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*")}
    assert json.loads(json.dumps(pipeline.status())) == {
        "data.dvc": [{"changed outs": {"data": "modified"}}]
    }
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*")} == before
