"""How training went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from progrec.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = Sequence[Mapping[str, float]]
"""One row an epoch."""


def training(towers: Curve, fusion: Curve, metric: str) -> Figure:
    """Loss and metric of the towers, and loss of the fusion, by epoch; what was chosen is marked.

    Args:
        towers: rows with `epoch`, and as far as they were measured `loss` and the metric.
        fusion: rows with `epoch` and `loss`.
        metric: of which the highest decides on the towers' epochs.

    Returns:
        A panel for each of the three that has a row.
    """
    name = style.spoken(metric)
    wanted: list[tuple[str, Curve, str, Callable[..., float] | None]] = [
        (f"Towers: {name}", towers, metric, max),
        ("Towers: training loss", towers, "loss", None),
        ("Fusion: loss", fusion, "loss", min),
    ]
    panels = [panel for panel in wanted if any(panel[2] in row for row in panel[1])]
    figure, every = style.figure("Training, epoch by epoch", max(len(panels), 1))
    for axes, (title, curve, column, best) in zip(every, panels, strict=False):
        points = {row["epoch"]: row[column] for row in curve if column in row}
        _line(axes, points, None if best is None else best(points.values()))
        seen = "" if best is None else ", end of history"
        style.dress(axes, x="epoch", y=f"{'loss' if column == 'loss' else name}{seen}", title=title)
    return figure


def _line(axes: Axes, points: Mapping[float, float], best: float | None) -> None:
    axes.plot(list(points), list(points.values()), color=style.OURS, marker="o", markersize=4)
    style.whole(axes)
    if best is not None:
        epoch = next(epoch for epoch, value in points.items() if value == best)
        axes.plot([epoch], [best], "o", color=style.RIVAL, markersize=9, label=f"best: {epoch:.0f}")
        style.legend(axes)
