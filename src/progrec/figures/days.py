"""How models did on each day before they learned it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from progrec.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

WINDOW = 7
"""Days that a line is the mean of."""


def prequential(
    dates: Sequence[date], users: Sequence[int], models: Mapping[str, Sequence[float]], metric: str
) -> Figure:
    """A metric by day: a point each, and as a line the mean over the users of a week up to it.

    Args:
        dates: the days, in order; at least one.
        users: how many users each was measured on.
        models: name -> the day's mean over its users; NaN where there were none.
        metric: its name.
    """
    name = style.spoken(metric)
    figure, (axes,) = style.figure(f"{name} on each day, before the day was learned")
    colours = (style.OURS, style.RIVAL, style.THIRD)
    x = np.array(dates, "datetime64[D]")
    for (model, values), colour in zip(models.items(), colours, strict=False):
        means = np.array(values, float)
        axes.plot(x, means, ".", color=colour, alpha=0.45, markersize=7)
        axes.plot(x, _smooth(means, np.array(users, float)), color=colour, label=model)
    style.dress(
        axes,
        x=f"{dates[0]} to {dates[-1]}; points: a day, lines: the shoppers of {WINDOW} days",
        y=f"{name} of first purchases",
    )
    style.calendar(axes)
    axes.set_ylim(bottom=0)
    style.legend_above(axes)
    return figure


def _smooth(means: Floats, users: Floats) -> Floats:
    """The mean over the users of so many entries up to each; NaN where there were none."""
    total, counted = (
        np.convolve(each, np.ones(WINDOW))[: len(means)]
        for each in (np.nan_to_num(means) * users, np.where(np.isnan(means), 0, users))
    )
    smooth = np.full(len(means), np.nan)
    np.divide(total, counted, out=smooth, where=counted > 0)
    return smooth
