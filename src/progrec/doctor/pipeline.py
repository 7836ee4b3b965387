"""Whether the data are the version that git names, and what the pipeline would make anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path

from progrec.doctor.finding import Finding, enumerated
from progrec.errors import InputError
from progrec.settings import SplitSettings

DATA, TRACKED = Path("data"), Path("data.dvc")
EVENTS = Path("artifacts/events")
ALWAYS = ["always changed"]
SECONDS = 60

Status = Mapping[str, list[object]]
"""Stage or .dvc file -> what has changed; without those of which nothing has."""


def status() -> Status:
    """What DVC says has changed since the last `dvc repro`.

    Raises:
        InputError: it cannot say, such as while another of its commands runs.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", "status", "--json"],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            env=os.environ | {"DVC_NO_ANALYTICS": "true"},
        )
        return dict(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        raise InputError(f"`dvc status` has not answered in {SECONDS} seconds") from None
    except ValueError:
        *_, last = done.stderr.strip().splitlines() or ["it said nothing"]
        raise InputError(f"`dvc status`: {last.removeprefix('ERROR: ')}") from None


def data(changed: Status) -> Finding:
    """Whether the raw data are there, and are what data.dvc names."""
    if not DATA.exists():
        if TRACKED.exists():
            remedy = "`dvc pull`, or `make run` for the sample shop"
        else:
            remedy = "`make run` makes a sample shop; docs/your-data.md says how to use a log"
        return Finding("problem", "data", f"{DATA}/ is not there", remedy)
    if not TRACKED.exists():
        return Finding("problem", "data", f"{DATA}/ has no version", "`dvc add data`")
    if TRACKED.name in changed:
        return Finding(
            "warning",
            "data",
            f"{DATA}/ is not what {TRACKED} names",
            "`dvc add data` keeps it, `dvc checkout data.dvc` puts the old one back",
        )
    return Finding("ok", "data", f"{DATA}/ is what {TRACKED} names")


def cutoff(split: SplitSettings) -> Finding:
    """Whether history ends within the log, as far as it was ingested."""
    days = sorted(
        date.fromisoformat(folder.name.removeprefix("date="))
        for folder in EVENTS.glob("*/date=*")
        if any(folder.iterdir())
    )
    name = "split.cutoff"
    if not days:
        return Finding("warning", name, "no event has been ingested yet", "`dvc repro`")
    if not days[0] < split.cutoff <= days[-1]:
        return Finding(
            "problem",
            name,
            f"{split.cutoff} is not within the log ({days[0]} to {days[-1]})",
            "set it in params.yaml to a day after the first, then `dvc repro`",
        )
    return Finding("ok", name, f"{split.cutoff}; the log is {days[0]} to {days[-1]}")


def stages(changed: Status) -> Finding:
    """Which stages `dvc repro` would run, those aside that always run."""
    stale = [
        name for name, why in changed.items() if why != ALWAYS and not name.endswith(TRACKED.suffix)
    ]
    if stale:
        return Finding("warning", "stages", f"out of date: {enumerated(stale)}", "`dvc repro`")
    return Finding("ok", "stages", "up to date")


def findings(ask: Callable[[], Status], split: SplitSettings | None) -> Iterator[Finding]:
    """The data, the stages, and the cutoff.

    Args:
        ask: `status`, or what has its answer.
        split: the settings, if they can be read.
    """
    try:
        changed = ask()
    except InputError as error:
        remedy = "if no other DVC command runs, `dvc status -v` says more"
        yield Finding("problem", "DVC", str(error), remedy)
    else:
        yield data(changed)
        yield stages(changed)
    if split is not None:
        yield cutoff(split)
