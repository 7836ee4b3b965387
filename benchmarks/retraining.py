"""The daily update beside the frozen model and a full retrain, day by day, on real events."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import typer
from pytorch_lightning.loggers import Logger

from progrec.learning import daily, dataset, prequential, train
from progrec.learning.bundle import Bundle
from progrec.learning.config import TrainConfig, UpdateConfig
from progrec.learning.day import Day
from progrec.learning.exam import Exam
from progrec.learning.history import History
from progrec.learning.prequential import Figures, Served
from progrec.settings import SplitSettings

K = 20
METRIC = f"ndcg@{K}"
SEED = 0


class Silent:
    """A run that logs nothing."""

    def logger(self) -> Logger | None:
        """None, so that Lightning logs nothing."""

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Does nothing."""


@dataclass
class Tally:
    """Sums over days.

    Attributes:
        ndcg: model -> sum of its NDCG@20 over users.
        users: how many there were.
        seconds: what learning took.
        times: how often that was.
    """

    ndcg: Counter[str] = field(default_factory=Counter)
    users: int = 0
    seconds: float = 0
    times: int = 0

    def measured(self, figures: Figures, users: int) -> None:
        """Adds a day's figures."""
        self.ndcg.update({model: means[METRIC] * users for model, means in figures.items()})
        self.users += users

    def learned(self, since: float) -> None:
        """Adds the time since a moment of the clock."""
        self.seconds += time.perf_counter() - since
        self.times += 1

    def mean(self, model: str) -> float:
        """A model's NDCG@20 over all users."""
        return self.ndcg[model] / self.users


@dataclass(frozen=True, eq=False)
class Shop:
    """What is learned, and how.

    Attributes:
        tables: the feature tables of history and of the deltas.
        split: where history ends.
        training: how a model is trained.
        updating: how a day is learned.
    """

    tables: Path
    split: SplitSettings
    training: TrainConfig
    updating: UpdateConfig

    def trained(self, history: History, day: date) -> Bundle:
        """A full training on all that was before a day."""
        split = self.split.model_copy(update={"cutoff": day})
        return train.fit(history, "", self.training, split, K, Silent()).bundle  # type: ignore[arg-type]

    def days(self, n: int) -> Iterator[Day]:
        """The first days of the deltas."""
        folder = self.tables / "delta"
        for day in dataset.read_days(folder / dataset.EVENTS)[:n]:
            yield Day.read(folder, day)


def quality(shop: Shop, days: int, every: int) -> dict[str, float]:
    """Updates a cold model day by day, and retrains one before every so many days.

    Returns:
        `ratio_to_frozen` of the updated model's NDCG@20 to the cold one's over all days;
        `ratio_to_retrain` of it to the retrained one's over the days for which one was trained;
        `compute_share_of_retrain`, an update's mean time by a retrain's; `frozen_window_ratio` of
        what the last one makes of history's validation window to what the cold one does; and the
        figures of which these are ratios.
    """
    history = old = History.read(shop.tables / "history")
    cold = bundle = shop.trained(history, shop.split.cutoff)
    updates, retrains = Tally(), Tally()
    for number, day in enumerate(shop.days(days), start=1):
        task = daily.task_of(bundle, day)
        scorers = prequential.contenders(bundle, cold)
        if number % every == 0 and len(task):
            begin = time.perf_counter()
            scorers["retrain"] = Served(shop.trained(history, day.date), bundle)
            retrains.learned(begin)
        figures = prequential.measure(scorers, task, K)
        updates.measured(figures, len(task))
        if "retrain" in figures:
            retrains.measured(figures, len(task))
        _tell(day, figures, len(task))
        begin = time.perf_counter()
        bundle, _ = daily.learn(bundle, day, cold.network, shop.updating)
        updates.learned(begin)
        history = _longer(history, day)
    return {
        "ratio_to_frozen": updates.mean("updated") / updates.mean("frozen"),
        "ratio_to_retrain": retrains.mean("updated") / retrains.mean("retrain"),
        "compute_share_of_retrain": (
            updates.seconds / updates.times / (retrains.seconds / retrains.times)
        ),
        "frozen_window_ratio": _kept(cold, bundle, old, shop.split),
        "users": updates.users,
        "retrains": retrains.times,
        **{f"{METRIC}_{model}": updates.mean(model) for model in ("updated", "frozen")},
        f"{METRIC}_popularity": updates.mean("popularity"),
    }


def _kept(cold: Bundle, updated: Bundle, history: History, split: SplitSettings) -> float:
    """NDCG@20 of the updated network to the cold one's on history's validation window."""
    first, last = split.cutoff - timedelta(split.validation_days), split.cutoff - timedelta(1)
    everybody = len(cold.users)
    exam = Exam.of(cold, updated, history.interactions, first, last, max_users=everybody, seed=SEED)
    found = exam.frozen(cold, updated, K)
    return found.challenger.ndcg / found.champion.ndcg if found else float("nan")


def _longer(history: History, day: Day) -> History:
    """History with one more day."""
    new = day.item_features[~day.item_features["item_id"].isin(history.items.ids)]
    return History.of(
        pd.concat([history.interactions, day.interactions], ignore_index=True),
        pd.concat([history.item_features, new], ignore_index=True),
    )


def _tell(day: Day, figures: Figures, users: int) -> None:
    told = ", ".join(f"{model} {means[METRIC]:.4f}" for model, means in figures.items())
    typer.echo(f"{day.date}: {users} users; {told}", err=True)
