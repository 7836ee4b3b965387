from __future__ import annotations

import pytest
from rich.progress import Task, TaskID

from progrec import progress


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes rich take stderr for a terminal of 100 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")


def test_where_there_is_no_terminal_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.steps("abc", "spelling")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("terminal")
def test_a_terminal_is_shown_what_is_done_how_far_and_how_fast(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert list(progress.steps("abc", "spelling")) == ["a", "b", "c"]

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "spelling" in printed.err
    assert "3/3" in printed.err
    assert "/s" in printed.err


@pytest.mark.usefixtures("terminal")
def test_a_bar_takes_itself_away(capsys: pytest.CaptureFixture[str]) -> None:
    list(progress.steps("abc", "spelling"))

    erased, cursor_up, shown = "\x1b[2K", "\x1b[1A", "\x1b[?25h"
    assert capsys.readouterr().err.endswith(f"{shown}\r{cursor_up}{erased}")


@pytest.mark.usefixtures("terminal")
def test_a_loop_that_is_left_takes_the_bar_away_too(capsys: pytest.CaptureFixture[str]) -> None:
    steps = progress.steps("abc", "spelling")
    next(steps)
    steps.close()

    assert capsys.readouterr().err.endswith("\x1b[2K")


@pytest.mark.parametrize(
    ("done", "seconds", "text"),
    [(0, 2.0, ""), (1, 4.0, "4.0 s each"), (4, 4.0, "1/s"), (24_691, 2.0, "12,346/s")],
)
def test_a_rate_is_steps_a_second_or_seconds_a_step(done: int, seconds: float, text: str) -> None:
    task = Task(TaskID(0), "", None, done, _get_time=lambda: seconds)
    task.start_time = 0.0

    assert progress.RateColumn().render(task).plain == text
