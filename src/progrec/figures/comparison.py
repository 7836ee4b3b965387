"""The model against its baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from progrec.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Interval = Mapping[str, float]
"""`mean`, `low` and `high`."""


def ranking(models: Mapping[str, Interval], ours: str, metric: str, users: int) -> Figure:
    """A metric of each model with its interval, the best on top.

    Args:
        models: name -> mean and bounds.
        ours: the one among them that has to beat the others.
        metric: its name.
        users: how many were asked about.
    """
    name = style.spoken(metric)
    order = sorted(models, key=lambda model: models[model]["mean"])
    figure, (axes,) = style.figure(
        f"{name} of the model and its baselines, {users:,} shoppers",
        height=1.4 + 0.4 * len(models),
    )
    for place, model in enumerate(order):
        _interval(axes, models[model], place, style.OURS if model == ours else style.OTHERS)
        axes.annotate(
            f"{models[model]['mean']:.3f}",
            (models[model]["high"], place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=style.INK,
        )
    style.dress(axes, x=f"{name}, mean and 95 % interval", y="")
    axes.set_yticks(range(len(order)), order)
    # The figures stand to the right of the intervals.
    axes.set_xlim(0, 1.12 * max(interval["high"] for interval in models.values()) or 1)
    axes.grid(visible=False, axis="y")
    return figure


def by_history(groups: Mapping[str, Mapping[str, Any]], metric: str) -> Figure:
    """A metric of two models for shoppers of short and of long histories.

    Args:
        groups: model -> length of history -> `users`, and under the metric's name the interval.
        metric: its name.
    """
    name = style.spoken(metric)
    figure, (axes,) = style.figure(f"{name} by how much a shopper had bought before")
    colours = (style.OURS, style.RIVAL)
    for step, (model, lengths) in enumerate(groups.items()):
        for place, group in enumerate(lengths.values()):
            at, colour = place + 0.16 * (step - 0.5), colours[step]
            _interval(axes, group[metric], at, colour, upright=True, label=None if place else model)
    style.dress(axes, x="products bought before the cutoff", y=f"{name}, mean and 95 % interval")
    lengths = next(iter(groups.values()))
    axes.set_xticks(range(len(lengths)), _ticks(lengths))
    axes.set_xlim(-0.5, len(lengths) - 0.5)
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")
    style.legend(axes)
    return figure


def _ticks(lengths: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    return [f"{length}\n{group['users']:,} shoppers" for length, group in lengths.items()]


def _interval(
    axes: Axes,
    interval: Interval,
    at: float,
    colour: str,
    *,
    upright: bool = False,
    label: str | None = None,
) -> None:
    mean = interval["mean"]
    # The bounds of figures that are all alike may miss their mean by a rounding error.
    ends = [[max(0, mean - interval["low"])], [max(0, interval["high"] - mean)]]
    x, y = (at, mean) if upright else (mean, at)
    axes.errorbar(
        x,
        y,
        xerr=None if upright else ends,
        yerr=ends if upright else None,
        fmt="o",
        color=colour,
        markersize=7,
        linewidth=2,
        capsize=4,
        label=label,
    )
