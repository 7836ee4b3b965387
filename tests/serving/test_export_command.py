"""`progrec events export`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from progrec import cli
from progrec.serving.store import Store
from raw_shop import PARAMS
from serving.accepted import DAY, NOON, accept, event


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """`progrec events export` in a folder of its own; the lines that it prints."""
    shutil.copy(PARAMS, tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*options: str) -> list[str]:
        result = CliRunner().invoke(cli.app, ["events", "export", *options], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output.splitlines()

    return run


def test_the_command_prints_a_line_a_day_and_a_total(command, store: Store):
    for number in range(3):
        time = NOON + number * DAY
        accept(store, time, event(f"a{number}", time), event(f"b{number}", time))

    assert command("--before", "2020-03-03") == [
        "data/events/service-2020-03-01.parquet: 2 events",
        "data/events/service-2020-03-02.parquet: 2 events",
        "4 events are new before 2020-03-03 (UTC); 2 of later days wait",
    ]
    assert command("--before", "2020-03-03", "--out", "data") == [
        "nothing is new before 2020-03-03 (UTC); 2 of later days wait"
    ]


def test_the_command_leaves_out_today(command, store: Store, monkeypatch: pytest.MonkeyPatch):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None) -> datetime:
            return datetime(2020, 3, 2, 23, 30, tzinfo=UTC).astimezone(tz)

    monkeypatch.setattr(cli, "datetime", Clock)
    accept(store, NOON, event("yesterday's"))
    accept(store, NOON + DAY, event("today's", NOON + DAY), event("of yesterday, come in today"))

    assert command() == [
        "data/events/service-2020-03-01.parquet: 1 events",
        "1 events are new before 2020-03-02 (UTC); 2 of later days wait",
    ]
