"""What evaluation leaves in MLflow: figures on the model's run, and a run for each baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from progrec.figures import comparison, exposure, reliability
from progrec.learning import baselines
from progrec.learning.bundle import Bundle
from progrec.learning.evaluation import MODEL
from progrec.learning.metrics import Floats
from progrec.tracking import BASELINES, Tracking

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def pictures(
    figures: Mapping[str, Any],
    shown: pd.DataFrame,
    purchases: Floats,
    errors: Mapping[str, float],
    diagram: pd.DataFrame,
) -> dict[str, Figure]:
    """The figures of an evaluation, by name; nothing but the reliability diagram without users.

    Args:
        figures: what `reports/metrics.json` holds.
        shown: of the same, see `evaluate.Evaluation`.
        purchases: (n_items,) how often each item was bought.
        errors: what `reports/calibration.json` holds.
        diagram: see `calibration.reliability`.
    """
    made = {"reliability": reliability.diagram(diagram, errors["ece_shown"])}
    if figures["users"] == 0:
        return made
    difference = figures["difference"]
    two = [difference["model"], difference["baseline"]]
    metric = next(name for name in difference if name not in {"model", "baseline"})
    k = int(metric.partition("@")[2])
    means = {str(name): figures[str(name)][metric] for name in shown}
    return made | {
        "baselines": comparison.ranking(means, two[0], metric, figures["users"]),
        "history_lengths": comparison.by_history(
            {name: figures[name]["by_history"] for name in two}, metric
        ),
        "popularity": exposure.concentration(
            purchases, {name: shown[name].to_numpy() for name in two}, k
        ),
    }


def keep(
    tracking: Tracking,
    bundle: Bundle,
    chosen: Mapping[str, Mapping[str, Any]],
    figures: Mapping[str, Any],
    pictures: Mapping[str, Figure],
    data: Path,
) -> None:
    """Logs the means over all users: the model's on its own run, a baseline's on one of its own.

    Args:
        tracking: the store.
        bundle: the model.
        chosen: baseline -> the settings that were chosen for it.
        figures: what `reports/metrics.json` holds.
        pictures: what goes to the model's run.
        data: what all of them have learned.
    """
    run = tracking.find_run(bundle.digest)
    if run is not None:
        run.log_metrics(dict(_means(figures, MODEL)))
        run.log_figures(pictures)
    for name, settings in chosen.items():
        tuned = (f" {key}={settings[key]}" for key in baselines.tuned(name))
        title = f"{name}{''.join(tuned)}, up to {bundle.watermark}"
        params = {"baseline": name, **settings}
        with tracking.run(BASELINES, title, params=params, tags={}) as run:
            run.log_dataset("history", data, bundle.provenance.data_digest)
            run.log_metrics(dict(_means(figures, name)))


def _means(figures: Mapping[str, Any], name: str) -> Iterator[tuple[str, float]]:
    for metric, figure in figures.get(name, {}).items():
        if "mean" in figure:
            yield f"test/{metric}", figure["mean"]
