"""How every figure looks: 800 pixels wide, a title, named axes, colours that all can tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, DPI = 8.0, 4.5, 100  # inches, inches, pixels an inch
OURS, RIVAL, THIRD, OTHERS = "#0072B2", "#D55E00", "#009E73", "#8A8A8A"
"""Of Okabe and Ito's colours: the model, what it is compared with, a third; grey for the rest."""
INK, GRID = "#333333", "#E4E4E4"


def figure(title: str, n: int = 1, height: float = HEIGHT) -> tuple[Figure, list[Axes]]:
    """A figure of n panels side by side.

    matplotlib is imported at first use: it takes a second, and not every command needs it.

    Args:
        title: what it shows.
        n: how many panels.
        height: in inches.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    made = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    made.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold", color=INK)
    axes = made.subplots(1, n, squeeze=False)[0]
    return made, list(axes)


def dress(axes: Axes, *, x: str, y: str, title: str = "") -> None:
    """Names a panel's axes and takes away what says nothing.

    Args:
        axes: the panel.
        x: what its x axis shows, with the unit.
        y: the same of its y axis.
        title: what tells it from the figure's other panels.
    """
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    if title:
        axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=10)
    axes.set_axisbelow(True)
    axes.grid(color=GRID, linewidth=0.8)


def percents(axes: Axes, which: Literal["x", "y"]) -> None:
    """Shows the shares on an axis in per cent."""
    from matplotlib.ticker import PercentFormatter  # noqa: PLC0415

    (axes.xaxis if which == "x" else axes.yaxis).set_major_formatter(PercentFormatter(1))


def amounts(axes: Axes) -> None:
    """Gives the x axis a logarithmic scale with 1, 2 and 5 of each power of ten on it."""
    from matplotlib.ticker import LogLocator, NullLocator  # noqa: PLC0415

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:,g}")


def calendar(axes: Axes) -> None:
    """Gives the x axis days as people write them."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415

    locator = AutoDateLocator(maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    shown = ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(shown)


def whole(axes: Axes) -> None:
    """Lets the x axis have whole numbers only."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def legend(axes: Axes, place: Literal["best", "lower right", "upper left"] = "best") -> None:
    """Names the lines, without a box around the names."""
    axes.legend(loc=place, frameon=False, fontsize=10, labelcolor=INK)


def legend_above(axes: Axes) -> None:
    """The same in one row above the panel, where points are everywhere in it."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, labelcolor=INK, fontsize=10
    )


def spoken(metric: str) -> str:
    """A metric's name for a title: ndcg@20 -> NDCG@20."""
    name, at, k = metric.partition("@")
    return (name.upper() if name in {"ndcg", "hr", "mrr"} else name.capitalize()) + at + k
