"""Progress bars: on a terminal, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")


class RateColumn(ProgressColumn):
    """How many steps are done in a second or, where a step takes longer, how long one takes."""

    def render(self, task: Task) -> Text:
        """The column's text; empty until there is something to tell it from."""
        if not task.completed or not task.elapsed:
            return Text()
        speed = task.completed / task.elapsed
        return Text(f"{speed:,.0f}/s" if speed >= 1 else f"{1 / speed:.1f} s each", style="magenta")


def steps(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Passes items on, showing on stderr how many are done, how fast and how long the rest takes.

    Args:
        items: what is worked on, one at a time.
        description: what is done with them.
        total: how many there are; needed where `items` cannot tell.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield from progress.track(items, total=total, description=description)
