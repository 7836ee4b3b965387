"""The few figures of a stage that `dvc metrics show` and `dvc exp show` list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from progrec import atomic
from progrec.learning.prequential import Figures

DIGITS = 4


def write(figures: Mapping[str, float], path: Path) -> None:
    """Writes figures as JSON, to four decimals."""
    atomic.write_json(path, {name: round(value, DIGITS) for name, value in figures.items()})


def of_test(figures: Mapping[str, Any], k: int) -> dict[str, float]:
    """The model after the cutoff, and what it is ahead of the best baseline in NDCG@k.

    Args:
        figures: what `reports/metrics.json` holds.
        k: the length of the lists.

    Returns:
        `ndcg@k`, `recall@k`, `hr@10`, `coverage@k` and `over_baseline`; nothing if nobody was
        measured.
    """
    if not figures["users"]:
        return {}
    difference = figures["difference"]
    model = figures[difference["model"]]
    names = (f"ndcg@{k}", f"recall@{k}", "hr@10", f"coverage@{k}")
    chosen = {name: model[name]["mean"] for name in names}
    return chosen | {"over_baseline": difference[f"ndcg@{k}"]["mean"]}


def by_model(figures: Mapping[str, Any], k: int) -> pd.DataFrame:
    """One row a model, as the plot shows it: model, ndcg, and its interval's low and high."""
    rows = [
        {"model": name, "ndcg": ndcg["mean"], "low": ndcg["low"], "high": ndcg["high"]}
        for name, model in figures.items()
        if isinstance(model, Mapping) and "baseline" not in model
        for ndcg in [model[f"ndcg@{k}"]]
    ]
    return pd.DataFrame(rows, columns=["model", "ndcg", "low", "high"])


def of_days(days: Sequence[tuple[date, int, Figures]], k: int) -> dict[str, float]:
    """How many days were foretold, and each model's NDCG@k: the mean over their users.

    Args:
        days: each day's date, users and figures.
        k: the length of the lists.
    """
    measured = [(users, figures) for _, users, figures in days if figures]
    counts = [users for users, _ in measured]
    names = measured[0][1] if measured else ()
    means = {
        name: float(np.average([each[name][f"ndcg@{k}"] for _, each in measured], weights=counts))
        for name in names
    }
    return {"days": len(days), **means}
