"""The train stage: history -> the cold model."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from omegaconf import DictConfig

from progrec import atomic, content, settings
from progrec.errors import InputError, reported
from progrec.learning import config as configs
from progrec.learning import dataset, learner, pyfunc, side
from progrec.learning.batches import Batches
from progrec.learning.bundle import Bundle, Provenance
from progrec.learning.config import Job, TrainConfig
from progrec.learning.evaluation import Task
from progrec.learning.learner import Curve, Learner
from progrec.learning.ncf import NCF
from progrec.learning.vocabulary import Vocabulary
from progrec.settings import SplitSettings
from progrec.tracking import Run, Tracking

EXPERIMENT = "train"


@dataclass(frozen=True, eq=False)
class History:
    """History's tables, and the rows of their ids.

    Attributes:
        interactions: the interaction table.
        item_features: one row an item, in the order of `items`.
        users: the users' rows.
        items: the items' rows.
    """

    interactions: pd.DataFrame
    item_features: pd.DataFrame
    users: Vocabulary
    items: Vocabulary

    @classmethod
    def read(cls, folder: Path) -> History:
        """Reads what the features stage wrote."""
        interactions = dataset.read_interactions(folder / dataset.EVENTS)
        return cls._of(interactions, dataset.read_table(folder / "item_features.parquet"))

    def before(self, day: date) -> History:
        """What was known before a day."""
        interactions = self.interactions[self.interactions["date"] < day]
        is_known = self.item_features["item_id"].isin(interactions["item_id"])
        return self._of(interactions, self.item_features[is_known])

    @classmethod
    def _of(cls, interactions: pd.DataFrame, item_features: pd.DataFrame) -> History:
        users = Vocabulary.of(interactions["user_id"].unique())
        items = Vocabulary(item_features["item_id"].to_numpy(object))
        return cls(interactions, item_features, users, items)


def train(config: TrainConfig, split: SplitSettings, k: int, run: Run) -> tuple[Bundle, Curve]:
    """Trains a network on history and writes it as a bundle.

    The end of history is held out to see after how many epochs the ranking of what users buy next
    is best; then the network is trained afresh for so many epochs on all of history.

    Args:
        config: the resolved configuration.
        split: where history ends, and how much of its end validates.
        k: length of the lists that the validation measures.
        run: gets the figures of each epoch.

    Returns:
        The bundle, and the curve that decided for how long it was trained; without anything to
        validate on, the curve of its own training, which has the loss only.

    Raises:
        InputError: there is nothing to learn from, or the training diverged.
    """
    pl.seed_everything(config.seed, verbose=False)
    history = History.read(config.data)
    batches = _batches(history, config)
    if len(batches) == 0:
        raise InputError(f"{config.data} holds no event that conf/loss gives a weight")
    curve = _search(history, config, split, k, run)
    epochs = learner.best_epoch(curve, f"ndcg@{k}") if curve else config.trainer.max_epochs
    final = Learner(_network(history, config), config.optimizer)
    logger = None if curve else run.logger()
    learner.fit(final, batches, config.trainer, epochs, logger=logger)
    run.log_metrics({"epochs": epochs})
    bundle = _bundle(final.network, history, config, split).save(config.out)
    _write_curve(curve or final.curve, config.curve)
    return bundle, curve or final.curve


def _search(history: History, config: TrainConfig, split: SplitSettings, k: int, run: Run) -> Curve:
    """Trains on all but the end of history, measured on what was bought there; the curve.

    It is empty when nobody known before bought anything new there, or nothing went before.
    """
    past = history.before(split.cutoff - timedelta(split.validation_days))
    task = Task.of(
        dataset.bought(past.interactions, past.users, past.items),
        dataset.bought(history.interactions, past.users, past.items),
    )
    batches = _batches(past, config)
    if len(task) == 0 or len(batches) == 0:
        return []
    student = Learner(_network(past, config), config.optimizer, task, k)
    learner.fit(
        student,
        batches,
        config.trainer,
        config.trainer.max_epochs,
        callbacks=[learner.early_stopping(f"ndcg@{k}", config.trainer.patience)],
        logger=run.logger(),
    )
    return student.curve


def _network(history: History, config: TrainConfig) -> NCF:
    features = config.model.features
    codes = side.codes(history.item_features, features.attributes)
    network = NCF(len(history.users), len(history.items), config.model, codes)
    if network.users.side is not None:
        totals = side.user_totals(history.interactions).reindex(history.users.ids)
        network.users.side.fit(side.numbers(totals, features.users))
    if network.items.side is not None:
        totals = side.item_totals(history.interactions).reindex(history.items.ids)
        network.items.side.fit(side.numbers(totals, features.items))
    return network


def _batches(history: History, config: TrainConfig) -> Batches:
    weights = config.loss.event_weights
    return Batches(
        dataset.pairs(history.interactions, history.users, history.items, weights),
        len(history.items),
        batch_size=config.optimizer.batch_size,
        n_negatives=config.sampler.negatives,
        seed=config.seed,
    )


def _bundle(network: NCF, history: History, config: TrainConfig, split: SplitSettings) -> Bundle:
    features = history.item_features
    return Bundle(
        network,
        history.users,
        pd.DataFrame(
            {
                "item_id": features["item_id"],
                "purchases": features["total_sales"].astype(np.int64),
                "category": features["category"],
                "brand": features["brand"],
            }
        ),
        dataset.purchases(history.interactions, history.users, history.items),
        Provenance(
            data_digest=content.digest(config.data / dataset.EVENTS),
            config_digest=configs.digest(config),
            parent_digest=None,
            watermark=split.cutoff - timedelta(1),
        ),
    )


def _write_curve(curve: Curve, path: Path) -> None:
    with atomic.replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(curve[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(curve)


def _run(composed: DictConfig) -> float:
    """Trains the model that conf/ describes; returns its best validation figure, for sweepers."""
    with reported():
        config = configs.train_config(composed)
        job = Job.current()
        config = job.placed(config)
        general = settings.load()
        with job.run(Tracking(general.registry), EXPERIMENT, config) as run:
            bundle, curve = train(config, general.split, general.evaluate.k, run)
            data = config.data / dataset.EVENTS
            run.log_dataset("history", data, bundle.provenance.data_digest)
            pyfunc.log(run, bundle, config.out)
    best = max(row.get(f"ndcg@{general.evaluate.k}", -row["loss"]) for row in curve)
    sys.stdout.write(f"train: {len(bundle.users):,} users, {len(bundle.items):,} items, ")
    sys.stdout.write(f"{len(curve)} epochs tried; bundle {bundle.digest}\n")
    return best


if __name__ == "__main__":
    configs.composed("train", _run)
