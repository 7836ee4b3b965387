"""The train stage: history -> the cold model."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytorch_lightning as pl
from omegaconf import DictConfig

from progrec import atomic, content, settings, stage
from progrec.errors import InputError
from progrec.figures import curves, shop
from progrec.learning import config as configs
from progrec.learning import dataset, evaluation, fusion, pyfunc, summary, towers
from progrec.learning import job as jobs
from progrec.learning.bundle import Bundle, Provenance
from progrec.learning.config import NeighboursConfig, Recipe, TrainConfig
from progrec.learning.evaluation import Task
from progrec.learning.evidence import Evidence
from progrec.learning.fusion import Moment
from progrec.learning.history import History
from progrec.learning.job import Job
from progrec.learning.learner import Curve
from progrec.learning.ncf import NCF, Fusion
from progrec.runs import Run
from progrec.settings import SplitSettings
from progrec.tracking import TRAIN, Tracking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DAY = timedelta(1)


@dataclass(frozen=True, eq=False)
class Trained:
    """What training makes.

    Attributes:
        bundle: the cold model.
        curve: what decided for how many epochs the towers were trained; without anything to
            validate on, that of their own training, which has the loss only, and is empty if they
            start from least squares.
        fusion: the fusion's loss on the last moment by epoch; empty without one.
        figure: NDCG on the last validation window, of a model that had learned what was before it:
            what a sweep compares; None without anything to validate on.
    """

    bundle: Bundle
    curve: Curve
    fusion: Curve
    figure: float | None


def train(config: TrainConfig, split: SplitSettings, k: int, run: Run) -> Trained:
    """Trains a network on history and writes it as a bundle.

    The end of history is held out to see from which start, and after how many epochs, the towers
    rank best what users buy next; then they are trained afresh in that way on all of history. A
    fusion is trained on moments of the past, with towers that knew what went before each.

    Args:
        config: the resolved configuration.
        split: where history ends, and how much of its end validates.
        k: length of the lists that the validation measures.
        run: gets the figures of each epoch, and the pictures.

    Raises:
        InputError: there is nothing to learn from, or the training diverged.
    """
    history = History.read(config.data)
    digest = content.digest(config.data / dataset.EVENTS)
    trained = fit(history, digest, config, split, k, run)
    trained = replace(trained, bundle=trained.bundle.save(config.out))
    _write_curve(trained.curve, config.curve)
    found = {} if trained.figure is None else {"validation": trained.figure}
    summary.write(found, config.curve.with_suffix(".json"))
    run.log_figures(_pictures(history, trained, f"ndcg@{k}"))
    return trained


def fit(
    history: History, digest: str, config: TrainConfig, split: SplitSettings, k: int, run: Run
) -> Trained:
    """The same from a history that is there, whose events have a digest; nothing is saved."""
    pl.seed_everything(config.seed, verbose=False)
    if len(towers.pairs(history, config)) == 0:
        raise InputError(f"{config.data} holds no event that conf/loss gives a weight")
    window = timedelta(split.validation_days)
    past = history.before(split.cutoff - window)
    task = Task.of(past.bought, past.bought_later(history))
    recipe, curve = towers.search(past, task, config, k, run)
    network, last = towers.train(history, config, recipe, None if curve else run.logger())
    run.log_metrics({"epochs": recipe.epochs})
    metric = f"ndcg@{k}"
    figure = max((row[metric] for row in curve), default=None)
    known = history.evidence(split.cutoff - DAY)
    fused: Curve = []
    if network.fusion is not None:
        ends = [split.cutoff - window * back for back in range(config.fusion.moments, -1, -1)]
        moments = [
            _moment(history, start, end, config, recipe)
            for start, end in pairwise(ends)
            if len(towers.pairs(history.before(start), config))
        ]
        network.fusion, chosen, fused, figure = _fuse(network.fusion, moments, config, k, run)
        known = known.with_neighbours(chosen)
        recipe = recipe.model_copy(update={"neighbours": chosen})
    if figure is not None:
        run.log_metrics({f"validation/{metric}": figure}, step=1)
    provenance = Provenance(
        data_digest=digest,
        config_digest=configs.digest(config),
        parent_digest=None,
        watermark=split.cutoff - DAY,
    )
    bundle = _bundle(network, history, known, recipe, provenance)
    return Trained(bundle, curve or last, fused, figure)


def _moment(
    history: History, start: date, end: date, config: TrainConfig, recipe: Recipe
) -> Moment:
    """The moment before a day, and what was bought from then to before another day."""
    past = history.before(start)
    network, _ = towers.train(past, config, recipe)
    later = past.bought_later(history.before(end))
    return Moment(network, past.evidence(start - DAY), past.bought, later)


def _fuse(
    start: Fusion, moments: Sequence[Moment], config: TrainConfig, k: int, run: Run
) -> tuple[Fusion, NeighboursConfig, Curve, float | None]:
    """Trains a fusion on moments of the past, as far as anybody bought anything then.

    Returns:
        The fusion, how the neighbours that it goes with are found, its curve, and its NDCG@k on
        the last moment; None if there was nothing to measure by.
    """
    moments = [moment for moment in moments if len(moment.task)]
    settings = config.fusion.neighbours
    if not moments:
        return start, settings.each[0], [], None
    chosen = _best(moments[-1], settings, k)
    told = [replace(moment, evidence=moment.evidence.with_neighbours(chosen)) for moment in moments]
    trained, curve, figure = fusion.fit(start, told, config.fusion, k, config.seed)
    for row in curve:
        run.log_metrics({"fusion/loss": row["loss"]}, step=int(row["epoch"]))
    return trained, chosen, curve, figure


def _best(moment: Moment, settings: NeighboursConfig, k: int) -> NeighboursConfig:
    """The regularization whose neighbours alone rank best what was bought after a moment."""

    def figure(found: NeighboursConfig) -> float:
        known = moment.evidence.with_neighbours(found)
        return evaluation.evaluate(known, moment.task, k)[f"ndcg@{k}"]

    return max(settings.each, key=figure)


def _bundle(
    network: NCF, history: History, known: Evidence, recipe: Recipe, provenance: Provenance
) -> Bundle:
    return Bundle(
        network,
        history.users,
        history.item_features[["item_id", "category", "brand"]],
        dataset.purchases(history.interactions, history.users, history.items),
        provenance,
        known,
        recipe,
    )


def _pictures(history: History, trained: Trained, metric: str) -> dict[str, Figure]:
    rows = history.interactions
    pairs = rows[["user_id", "item_id"]].drop_duplicates()
    return {
        "training": curves.training(trained.curve, trained.fusion, metric),
        "interactions": shop.heat_map(
            history.users.rows(pairs["user_id"]), history.items.rows(pairs["item_id"])
        ),
        "amounts": shop.amounts(
            rows["total_spent"].to_numpy(), rows["num_purchases"].to_numpy(np.int64)
        ),
    }


def _write_curve(curve: Curve, path: Path) -> None:
    with atomic.replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            file, fieldnames=list(curve[-1]) if curve else ["epoch", "loss"], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(curve)


def _run(composed: DictConfig) -> float | None:
    """Trains the model that conf/ describes; returns its validation figure, for sweepers."""
    with stage.running("train") as done:
        config = configs.train_config(composed)
        job = Job.current("model")
        config = job.placed(config)
        general = settings.load()
        with job.run(Tracking(general.registry), TRAIN, config) as run:
            trained = train(config, general.split, general.evaluate.k, run)
            bundle = trained.bundle
            data = config.data / dataset.EVENTS
            run.log_dataset("history", data, bundle.provenance.data_digest)
            pyfunc.log(run, bundle, config.out)
            run.rename(f"{job.name}, up to {bundle.watermark}")
        epochs = trained.curve[-1]["epoch"] if trained.curve else 0
        done(
            f"{len(bundle.users):,} users, {len(bundle.items):,} items, {epochs:.0f} epochs tried; "
            f"bundle {bundle.digest}"
        )
    return trained.figure


if __name__ == "__main__":
    jobs.composed("train", _run)
