"""What a stage says on the terminal: one line of what it did, or what is wrong with its input."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from progrec.errors import InputError


@contextmanager
def running(name: str) -> Iterator[Callable[[str], None]]:
    """Runs a stage's command and prints its line: what it did, and how many seconds that took.

    The line comes last, when no progress bar is on the screen any more. An input error ends the
    process with the error's message, status 1 and no stack trace.

    Args:
        name: what the line starts with.

    Yields:
        Takes what was done; what it is given several times is listed.
    """
    done: list[str] = []
    start = time.perf_counter()
    try:
        yield done.append
    except InputError as error:
        typer.echo(f"{typer.style('error', fg='red', bold=True)}: {error}", err=True)
        raise SystemExit(1) from None
    seconds = time.perf_counter() - start
    label = typer.style(name, fg="green", bold=True)
    typer.echo(f"{label}: {', '.join(done)} ({seconds:.1f} s)")
