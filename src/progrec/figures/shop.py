"""What the data are like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from progrec.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

CELLS = 60
"""Of the heat map, to either side."""
BINS = 40


def heat_map(users: Integers, items: Integers) -> Figure:
    """How many pairs of a shopper and a product had to do with each other.

    Shoppers and products are ordered by how much they have to do, and counted in groups of about
    equally many.

    Args:
        users: (n,) the user of each distinct pair.
        items: (n,) the item of each.
    """
    rows, columns = _places(users), _places(items)
    n_users, n_items = rows.max(initial=0) + 1, columns.max(initial=0) + 1
    counts, y, x = np.histogram2d(
        rows,
        columns,
        bins=(min(CELLS, n_users), min(CELLS, n_items)),
        range=((0, n_users), (0, n_items)),
    )
    figure, (axes,) = style.figure(
        f"{len(users):,} pairs of {n_users:,} shoppers and {n_items:,} products"
    )
    # Of cells without a pair there is no logarithm: they stay white.
    picture = axes.pcolormesh(
        x, y, np.where(counts, counts, np.nan), norm="log", cmap="Blues", rasterized=True
    )
    style.dress(axes, x="product, most popular first", y="shopper, most active first")
    axes.grid(visible=False)
    axes.invert_yaxis()
    bar = figure.colorbar(picture, ax=axes)
    bar.set_label("pairs a cell", color=style.INK)
    bar.outline.set_visible(False)
    return figure


def amounts(spent: Floats, purchases: Integers) -> Figure:
    """How much a purchase costs.

    Args:
        spent: (n,) sums of purchases, in the shop's currency.
        purchases: (n,) how many purchases each sum is of.
    """
    paid = (spent > 0) & (purchases > 0)
    each = np.repeat(spent[paid] / purchases[paid], purchases[paid])
    figure, (axes,) = style.figure(f"What {len(each):,} purchases cost")
    if len(each):
        low, high = each.min(), max(each.max(), 1.01 * each.min())
        axes.hist(each, np.geomspace(low, high, BINS + 1).tolist(), color=style.OURS)
        middle = float(np.median(each))
        axes.axvline(middle, color=style.RIVAL, linewidth=2, label=f"median {middle:,.2f}")
        style.legend(axes)
    style.dress(axes, x="amount of a purchase, in the shop's currency", y="purchases")
    style.amounts(axes)
    axes.grid(visible=False, axis="x")
    return figure


def _places(codes: Integers) -> Integers:
    """The place of each code when those that come most often are first."""
    _, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    place = np.empty(len(counts), np.int64)
    place[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return place[inverse]
