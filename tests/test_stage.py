from __future__ import annotations

import pytest

from progrec import stage
from progrec.errors import InputError
from said import untimed


def test_a_stage_says_in_one_line_what_it_did_and_how_long_it_took(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with stage.running("ingest") as done:
        done("3 rows read")
        done("2 kept")

    printed = capsys.readouterr()
    assert untimed(printed.out) == "ingest: 3 rows read, 2 kept\n"
    assert printed.err == ""


def test_its_seconds_are_those_that_passed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([10.0, 13.25])
    monkeypatch.setattr("time.perf_counter", lambda: next(moments))

    with stage.running("train") as done:
        done("2 users")

    assert capsys.readouterr().out == "train: 2 users (3.2 s)\n"


def test_an_input_error_is_one_line_on_the_other_output_and_status_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end, stage.running("ingest"):
        raise InputError("data/events/x.csv: is empty; export it again or remove it")

    assert end.value.code == 1
    assert end.value.__cause__ is None
    assert capsys.readouterr() == (
        "",
        "error: data/events/x.csv: is empty; export it again or remove it\n",
    )


def test_a_mistake_of_ours_keeps_its_stack_trace() -> None:
    with pytest.raises(ZeroDivisionError), stage.running("ingest"):
        _ = 1 / 0
