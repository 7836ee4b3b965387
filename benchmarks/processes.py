"""Work in processes of its own, so that one measurement does not spoil the next."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_KIB_PER_MB = 1024  # Linux counts memory in units of 1024 bytes


@dataclass(frozen=True)
class Cost:
    """What a process took: wall time in seconds and peak memory in units of 1024² bytes."""

    seconds: float
    rss_mb: float


def aside(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Calls a function in a fresh process, whose output goes to stderr.

    Linux counts the peak memory of the process that starts another as the other's own, so
    whatever needs memory runs here and never in the process that measures.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=os.dup2, initargs=(2, 1)) as pool:
        return pool.submit(work, *args, **kwargs).result()


def measured(command: str | Sequence[str], folder: Path) -> Cost:
    """Runs a command to its end, with this environment's `python` and its output on stderr.

    Args:
        command: what to run: text for the shell, or a program and its arguments.
        folder: where to run it.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    begin = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path},
        shell=isinstance(command, str),
        stdout=sys.stderr,
    )
    _, status, usage = os.wait4(process.pid, 0)  # of this child and its own, not of all so far
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(seconds, usage.ru_maxrss / _KIB_PER_MB)
