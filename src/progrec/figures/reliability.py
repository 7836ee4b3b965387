"""Whether probabilities came true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from progrec.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Z = 1.96  # deviations to either side hold 95 %


def diagram(bins: pd.DataFrame, error: float) -> Figure:
    """What was foretold against what came true, with Wilson's 95 % intervals (Wilson 1927).

    Args:
        bins: a row a bin: `pairs`, `predicted` and `observed`.
        error: the expected calibration error.
    """
    figure, (axes,) = style.figure("Does a purchase foretold at 10 % happen once in ten times?")
    low, high = _wilson(bins["observed"].to_numpy(), bins["pairs"].to_numpy())
    observed = bins["observed"].to_numpy()
    end = 1.05 * max(bins["predicted"].max(), high.max())
    axes.plot([0, end], [0, end], color=style.OTHERS, linestyle=":", label="as foretold")
    axes.errorbar(
        bins["predicted"],
        observed,
        yerr=[np.maximum(observed - low, 0), np.maximum(high - observed, 0)],
        fmt="o",
        color=style.OURS,
        capsize=3,
        label=f"bins of {bins['pairs'].median():,.0f} shown products",
    )
    style.dress(
        axes,
        x=f"probability foretold (expected calibration error {100 * error:.2g} %)",
        y="share bought within the horizon",
    )
    style.percents(axes, "x")
    style.percents(axes, "y")
    axes.set_xlim(0, end)
    axes.set_ylim(0, end)
    style.legend(axes, "upper left")
    return figure


def _wilson(
    shares: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    centre = shares + Z**2 / (2 * counts)
    spread = Z * np.sqrt(shares * (1 - shares) / counts + Z**2 / (4 * counts**2))
    return (centre - spread) / (1 + Z**2 / counts), (centre + spread) / (1 + Z**2 / counts)
