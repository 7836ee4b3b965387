"""Progress bars: on a terminal, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def steps(items: Sequence[T], description: str) -> Iterable[T]:
    """Passes items on, showing on stderr how many are done and how long the rest will take."""
    console = Console(stderr=True)
    return track(
        items, description, console=console, transient=True, disable=not console.is_terminal
    )
