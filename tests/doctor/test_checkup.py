"""`progrec doctor` as a person, and as a program, reads it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from progrec import cli
from progrec.doctor import checkup, pipeline
from progrec.doctor.finding import Finding, enumerated

GOOD = Finding("ok", "store", "there")
ODD = Finding("warning", "run", "deleted", "do not worry")
BAD = Finding("problem", "data", "gone", "`make run`")


@pytest.fixture
def doctor(folder: Path, monkeypatch: pytest.MonkeyPatch, free_port: int) -> Callable[..., Result]:
    """The command in a folder with settings and nothing else, of which DVC says nothing."""
    monkeypatch.setattr(pipeline, "status", dict)
    address = ["--url", f"http://127.0.0.1:{free_port}"]
    return lambda *words: CliRunner().invoke(cli.app, ["doctor", *address, *words])


def test_an_empty_folder_has_problems_and_stays_empty(
    doctor: Callable[..., Result], folder: Path
) -> None:
    result = doctor("--json")

    found = json.loads(result.stdout)
    assert result.exit_code == 1
    areas = [area for area in found.values() if isinstance(area, list)]
    states = [each["state"] for area in areas for each in area]
    assert (found["problems"], found["warnings"]) == (
        states.count("problem"),
        states.count("warning"),
    )
    assert {"check": "data", "state": "problem"}.items() <= found["pipeline"][0].items()
    assert [path.name for path in folder.iterdir()] == ["params.yaml"]


def test_each_area_is_looked_at_in_its_order(doctor: Callable[..., Result]) -> None:
    found = json.loads(doctor("--json").stdout)

    assert list(found) == [
        "problems",
        "warnings",
        "installation",
        "settings",
        "registry",
        "database",
        "service",
        "pipeline",
    ]


def test_settings_that_cannot_be_read_hide_only_what_depends_on_them(
    doctor: Callable[..., Result], folder: Path
) -> None:
    (folder / "params.yaml").write_text("split: {cutof: now}\n")

    found = json.loads(doctor("--json").stdout)

    (settings,) = found["settings"]
    assert settings["state"] == "problem"
    assert "did you mean cutoff?" in settings["found"]
    assert {"installation", "pipeline"} <= found.keys()
    assert "registry" not in found


def test_a_check_that_fails_is_a_finding(
    doctor: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> pipeline.Status:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(pipeline, "status", fail)

    (found,) = json.loads(doctor("--json").stdout)["pipeline"]

    assert found["state"] == "problem"
    assert "unforeseen" in found["found"]


def test_warnings_alone_end_with_status_0(
    doctor: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "examine", lambda url: {"registry": [GOOD, ODD]})
    assert doctor().exit_code == 0

    monkeypatch.setattr(checkup, "examine", lambda url: {"registry": [GOOD, ODD, BAD]})
    assert doctor().exit_code == 1


def test_the_table_says_each_finding_and_what_to_do_below_it() -> None:
    console = Console(file=io.StringIO(), width=80, record=True)

    console.print(checkup.table({"registry": [GOOD, ODD], "pipeline": [BAD]}))

    lines = [line.strip() for line in console.export_text().splitlines()]
    assert lines == [
        "registry  ok       store  there",
        "warning  run    deleted",
        "→ do not worry",
        "pipeline  problem  data   gone",
        "→ `make run`",
        "",
        "problems: 1, warnings: 1",
    ]


def test_of_many_names_three_are_shown() -> None:
    assert enumerated(["a", "b", "c"]) == "a, b, c"
    assert enumerated(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
