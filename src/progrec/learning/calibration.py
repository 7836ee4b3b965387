"""Whether a probability of ten per cent comes true once in ten times."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.floating]
Outcomes = npt.NDArray[np.bool_]

STEPS = 50


def platt(logits: Floats, outcomes: Outcomes) -> tuple[float, float]:
    """Slope and intercept with which sigmoid(slope logit + intercept) is likeliest.

    Newton's method on the log loss, with the smoothed outcomes of Platt (1999), "Probabilistic
    outputs for support vector machines", which keep both finite whatever the outcomes.

    Args:
        logits: (n,) finite.
        outcomes: (n,).
    """
    x = np.stack([logits.astype(np.float64), np.ones(len(logits))])
    n_true = int(outcomes.sum())
    n_false = len(outcomes) - n_true
    aims = np.where(outcomes, (n_true + 1) / (n_true + 2), 1 / (n_false + 2))
    at = np.array([1.0, np.log((n_true + 1) / (n_false + 1)) - logits.mean(dtype=np.float64)])
    loss = _log_loss(at @ x, aims)
    for _ in range(STEPS):
        p = _sigmoid(at @ x)
        gradient = x @ (p - aims)
        step = np.linalg.solve((x * (p * (1 - p))) @ x.T + np.eye(2) * 1e-9, gradient)
        while (tried := _log_loss((at - step) @ x, aims)) > loss and np.abs(step).max() > 1e-9:
            step = step / 2
        at, loss = at - step, tried
        if np.abs(step).max() < 1e-9:
            break
    return float(at[0]), float(at[1])


def reliability(probabilities: Floats, outcomes: Outcomes, n_bins: int) -> pd.DataFrame:
    """What was foretold and what came true, in bins of about equally many, lowest first.

    Args:
        probabilities: (n,).
        outcomes: (n,).
        n_bins: how many bins; fewer if there are fewer probabilities.

    Returns:
        A row a bin: `pairs`, how many; `predicted`, their mean probability; `observed`, the share
        that came true.
    """
    order = np.argsort(probabilities, kind="stable")
    bins = np.array_split(order, min(n_bins, max(1, len(order))))
    return pd.DataFrame(
        [(len(b), probabilities[b].mean(), outcomes[b].mean()) for b in bins if len(b)],
        columns=["pairs", "predicted", "observed"],
    )


def expected_calibration_error(bins: pd.DataFrame) -> float:
    """Mean distance of what was foretold from what came true, by pairs (Naeini et al. 2015)."""
    distance = (bins["predicted"] - bins["observed"]).abs()
    return float((distance * bins["pairs"]).sum() / bins["pairs"].sum())


def _sigmoid(x: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(x / 2))


def _log_loss(x: Floats, aims: Floats) -> float:
    return float((np.logaddexp(0, x) - aims * x).sum())
