"""The update stage: the cold model learns the deltas, day by day."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from progrec import content, progress, settings
from progrec.errors import InputError, reported
from progrec.learning import config as configs
from progrec.learning import dataset, learner, pyfunc, side
from progrec.learning.batches import Batches
from progrec.learning.bundle import Bundle, Provenance
from progrec.learning.config import Job, UpdateConfig
from progrec.learning.learner import Learner
from progrec.learning.ncf import NCF
from progrec.learning.vocabulary import Vocabulary
from progrec.tracking import Run, Tracking

EXPERIMENT = "update"


def update(config: UpdateConfig, run: Run) -> Bundle:
    """Fine-tunes a bundle on each day of the deltas and writes the last one.

    Args:
        config: the resolved configuration.
        run: gets each day's loss, and how many users are known after it.

    Raises:
        InputError: the parent is no bundle, or a table of the deltas is not there.
    """
    parent = Bundle.load(config.parent)
    bundle = parent
    if not config.data.is_dir():
        raise InputError(f"{config.data} does not exist; run the pipeline: `dvc repro`")
    days = dataset.read_days(config.data / dataset.EVENTS)
    for number, day in enumerate(progress.steps(days, "learning the deltas")):
        pl.seed_everything(config.seed + number, verbose=False)
        bundle, loss = learn(bundle, Day.read(config.data, day), config)
        figures = {"users": float(len(bundle.users))}
        run.log_metrics(figures if loss is None else figures | {"loss": loss}, step=number)
    if days:
        bundle = replace(bundle, provenance=_provenance(parent, config, days[-1]))
    return bundle.save(config.out)


@dataclass(frozen=True, eq=False)
class Day:
    """A day's tables.

    Attributes:
        interactions: the day's rows of the interaction table.
        user_features: one row a user whom the day touched, as of its end.
        item_features: one row an item that the day touched, as of its end.
    """

    interactions: pd.DataFrame
    user_features: pd.DataFrame
    item_features: pd.DataFrame

    @property
    def last(self) -> date:
        """The day's date."""
        last: date = self.interactions["date"].max()
        return last

    @classmethod
    def read(cls, folder: Path, day: date) -> Day:
        """Reads what the features stage wrote."""
        users, items = (
            dataset.read_table(folder / name / f"date={day}" / f"{name}.parquet")
            for name in ("user_features", "item_features")
        )
        return cls(dataset.read_day(folder / dataset.EVENTS, day), users, items)

    def new_to(self, bundle: Bundle) -> Day:
        """The day with the features of those only whom a bundle does not know."""
        new_users = bundle.users.rows(self.user_features["user_id"]) < 0
        new_items = bundle.vocabulary.rows(self.item_features["item_id"]) < 0
        return replace(
            self,
            user_features=self.user_features[new_users],
            item_features=self.item_features[new_items],
        )


def learn(bundle: Bundle, day: Day, config: UpdateConfig) -> tuple[Bundle, float | None]:
    """One day's step: rows for whom and what is new, then a few passes over the day.

    While the day is learned, the side inputs of those who were known are as they were before it;
    who and what is new has none but the day's own. Category and brand stay those that an item came
    with.

    Args:
        bundle: what was known before.
        day: the day's tables.
        config: the resolved configuration.

    Returns:
        The bundle, unsaved, and the last pass's loss; None if nothing in the day has a weight.
    """
    users = bundle.users.grown(day.interactions["user_id"])
    items = _grown_items(bundle, day)
    vocabulary = Vocabulary(items["item_id"].to_numpy(object))
    codes = side.codes(items, bundle.network.config.features.attributes)
    network = bundle.network.grown(len(users), len(items), config.update.new_row_deviation, codes)
    _tell(network, day.new_to(bundle), users, vocabulary)
    loss = _fine_tune(network, day.interactions, users, vocabulary, config)
    _tell(network, day, users, vocabulary)
    bought = dataset.purchases(day.interactions, users, vocabulary)
    purchases = pd.concat([bundle.purchases, bought]).drop_duplicates(["user", "item"])
    known = bundle.evidence.after(day.interactions, users, vocabulary, day.last)
    return replace(
        bundle, network=network, users=users, items=items, purchases=purchases, evidence=known
    ), loss


def _grown_items(bundle: Bundle, day: Day) -> pd.DataFrame:
    """The item table with the day's new items after the old."""
    vocabulary = bundle.vocabulary.grown(day.interactions["item_id"])
    new = pd.DataFrame({"item_id": vocabulary.ids[len(bundle.vocabulary) :]})
    attributes = day.item_features[["item_id", "category", "brand"]]
    return pd.concat(
        [bundle.items, new.merge(attributes, on="item_id", how="left")], ignore_index=True
    )


def _tell(network: NCF, day: Day, users: Vocabulary, items: Vocabulary) -> None:
    """Gives a network the day's numbers of users and items, if it takes any."""
    features = network.config.features
    for part, table, names, rows in (
        (network.users.side, day.user_features, features.users, users),
        (network.items.side, day.item_features, features.items, items),
    ):
        if part is not None:
            places = rows.rows(table.iloc[:, 0])
            part.put(torch.from_numpy(places), side.numbers(table, names))


def _fine_tune(
    network: NCF,
    interactions: pd.DataFrame,
    users: Vocabulary,
    items: Vocabulary,
    config: UpdateConfig,
) -> float | None:
    weights, half_life = config.loss.event_weights, config.loss.half_life_days
    pairs = dataset.pairs(interactions, users, items, weights, half_life)
    if len(pairs) == 0:
        return None
    student = Learner(network, config)
    batches = Batches(
        pairs,
        len(items),
        batch_size=config.optimizer.batch_size,
        sampler=config.sampler,
        seed=config.seed,
    )
    learner.fit(student, batches, config.trainer, config.update.epochs, quiet=True)
    return student.curve[-1]["loss"]


def _provenance(parent: Bundle, config: UpdateConfig, watermark: date) -> Provenance:
    return Provenance(
        data_digest=content.digest(config.data / dataset.EVENTS),
        config_digest=configs.digest(config),
        parent_digest=parent.digest,
        watermark=watermark,
    )


def _run(composed: DictConfig) -> None:
    """Updates the bundle as conf/update.yaml says."""
    with reported():
        config = configs.update_config(composed)
        job = Job.current()
        config = job.placed(config)
        with job.run(Tracking(settings.load().registry), EXPERIMENT, config) as run:
            bundle = update(config, run)
            if bundle.digest != content.digest(config.parent):
                # Else it is its parent still, whose maker is another run.
                data = config.data / dataset.EVENTS
                run.log_dataset("deltas", data, bundle.provenance.data_digest)
                pyfunc.log(run, bundle, config.out)
    sys.stdout.write(
        f"update: {len(bundle.users):,} users, {len(bundle.items):,} items, learned up to "
        f"{bundle.provenance.watermark}; bundle {bundle.digest}\n"
    )


if __name__ == "__main__":
    configs.composed("update", _run)
