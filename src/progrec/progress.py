"""Progress bars: on a terminal, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def steps(items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    """Passes items on, showing on stderr how many are done and how long the rest will take.

    Args:
        items: what is worked on, one at a time.
        description: what is done with them.
        total: how many there are; needed where `items` cannot tell.
    """
    console = Console(stderr=True)
    return track(
        items,
        description,
        total=total,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
