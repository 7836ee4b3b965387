"""The update killed wherever it may be: the next run goes on, and ends where it would have."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
import torch

from learning.shop import days_after, delta_of
from progrec.learning import update
from progrec.learning.bundle import Bundle
from progrec.learning.config import UpdateConfig

KILLS = 50
TO_DISK = (os.mkdir, os.replace, os.rmdir)
"""What changes folders. Files are written into a new one, which nobody reads before it is whole."""

Counts = Callable[[str, object], bool]
"""Whether a call is counted, by the profiler's name of the event and what is called."""


class Silent:
    """A run that nobody reads."""

    def log_metrics(self, metrics: dict[str, float], step: int = 0) -> None:
        """Forgets them."""

    def log_figures(self, figures: dict[str, object]) -> None:
        """Forgets them, too."""


def any_call(event: str, called: object) -> bool:
    return event in ("call", "c_call")


def to_disk(event: str, called: object) -> bool:
    return event == "c_call" and called in TO_DISK


def killed(config: UpdateConfig, before: int, counts: Counts) -> bool:
    """Updates in a process of its own, killed before so many calls; False if it came to its end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _update_until(config, before, counts)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status != 0


def _update_until(config: UpdateConfig, before: int, counts: Counts) -> None:
    signal.alarm(60)  # rather a failure than a test that hangs
    torch.set_num_threads(1)  # a fork has none of the threads that there were
    left = before

    def count(frame: FrameType, event: str, called: object) -> None:
        nonlocal left
        left -= counts(event, called)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    update.update(config, 20, Silent())
    sys.setprofile(None)


def calls(config: UpdateConfig) -> int:
    """How many calls an undisturbed update makes."""
    made = 0

    def count(frame: FrameType, event: str, called: object) -> None:
        nonlocal made
        made += any_call(event, called)

    sys.setprofile(count)
    try:
        update.update(config, 20, Silent())
    finally:
        sys.setprofile(None)
    return made


@pytest.fixture
def config(
    cold: Bundle, update_config: Callable[..., UpdateConfig], tmp_path: Path
) -> Callable[..., UpdateConfig]:
    """Number of days and overrides -> an update by so many days."""
    cold.save(tmp_path / "model")

    def make(n_days: int, *overrides: str) -> UpdateConfig:
        folder = tmp_path / f"delta{n_days}"
        if not folder.exists():
            delta_of(folder, days_after(n_days))
        return update_config(folder, tmp_path / "model", "update.epochs=1", *overrides)

    return make


def links_at(path: Path) -> int | None:
    """How many days the bundle at a path has learned; None if there is nothing."""
    return len(Bundle.load(path).provenance.chain) if path.exists() else None


@pytest.mark.slow
def test_killed_anywhere_the_update_ends_as_if_it_had_not_been(
    config: Callable[..., UpdateConfig], tmp_path: Path
) -> None:
    whole = config(3, f"out={tmp_path / 'whole'}", f"report={tmp_path / 'whole.csv'}")
    n_calls = calls(whole)
    expected = Bundle.load(whole.out).digest, whole.report.read_bytes()
    disturbed = config(3)
    generator = np.random.default_rng(0)
    n_killed, n_ended, lengths = 0, 0, set()

    while n_killed < KILLS:
        if killed(disturbed, int(generator.integers(n_calls)), any_call):
            n_killed += 1
            lengths.add(links_at(disturbed.out))
        else:
            assert (Bundle.load(disturbed.out).digest, disturbed.report.read_bytes()) == expected
            n_ended += 1
            shutil.rmtree(disturbed.out)
            disturbed.report.unlink()
    update.update(disturbed, 20, Silent())

    assert (Bundle.load(disturbed.out).digest, disturbed.report.read_bytes()) == expected
    assert n_ended > 2
    assert {None, 1, 2} <= lengths


def test_killed_before_any_change_of_a_folder_the_update_ends_as_if_it_had_not_been(
    config: Callable[..., UpdateConfig], tmp_path: Path
) -> None:
    # The second of two days, so that there is a bundle to be replaced.
    first, second = config(1), config(2)
    update.update(first, 20, Silent())
    before = Bundle.load(first.out).digest
    shutil.copytree(first.out, tmp_path / "first")
    update.update(second, 20, Silent())
    expected = Bundle.load(second.out).digest, second.report.read_bytes()

    seen = set()
    step = 0
    while True:
        shutil.rmtree(second.out)
        shutil.copytree(tmp_path / "first", second.out)
        if not killed(second, step, to_disk):
            break
        found = Bundle.load(second.out).digest if second.out.exists() else None
        seen.add(found)
        update.update(second, 20, Silent())
        assert Bundle.load(second.out).digest == expected[0]
        step += 1

    # Between the old bundle and the new one there is a moment without any.
    assert seen == {before, None, expected[0]}
    assert second.report.read_bytes() == expected[1]
    assert step > 10
