"""What is shown, against what the shop sells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from progrec.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Counts = npt.NDArray[np.number]


def concentration(purchases: Counts, shown: Mapping[str, Counts], k: int) -> Figure:
    """Whether lists hold the best sellers only: cumulated shares, best sellers first.

    Args:
        purchases: (n,) how often each product was bought.
        shown: model -> (n,) how many lists each product is in; of at most two models.
        k: length of the lists.
    """
    order = np.argsort(-purchases, kind="stable")
    catalogue = np.arange(len(order) + 1) / max(len(order), 1)
    figure, (axes,) = style.figure(f"What the first {k} places show, from best seller to long tail")
    lines = {"what was bought": purchases, **{f"shown by {name}": c for name, c in shown.items()}}
    colours = (style.OTHERS, style.OURS, style.RIVAL)
    for (name, counts), colour in zip(lines.items(), colours, strict=False):
        axes.plot(catalogue, _cumulated(counts[order]), color=colour, linewidth=2, label=name)
    axes.plot([0, 1], [0, 1], color=style.OTHERS, linewidth=1, linestyle=":", label="all alike")
    style.dress(axes, x="share of the catalogue, best sellers first", y="cumulated share")
    style.percents(axes, "x")
    style.percents(axes, "y")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    style.legend(axes, "lower right")
    return figure


def _cumulated(counts: Counts) -> npt.NDArray[np.float64]:
    cumulated = np.concatenate([[0], np.cumsum(counts, dtype=np.float64)])
    return np.asarray(cumulated / max(cumulated[-1], 1))
