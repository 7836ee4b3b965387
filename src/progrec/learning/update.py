"""The update stage: the cold model learns the deltas, day by day."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import date

import pandas as pd
import pytorch_lightning as pl
from omegaconf import DictConfig

from progrec import content, progress, settings
from progrec.errors import reported
from progrec.learning import config as configs
from progrec.learning import dataset, learner, pyfunc
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
    item_features = dataset.read_table(config.data / "item_features.parquet")
    days = dataset.read_days(config.data / "interactions")
    for number, day in enumerate(progress.steps(days, "learning the deltas")):
        interactions = dataset.read_day(config.data / "interactions", day)
        pl.seed_everything(config.seed + number, verbose=False)
        bundle, loss = learn(bundle, interactions, item_features, config)
        figures = {"users": float(len(bundle.users))}
        run.log_metrics(figures if loss is None else figures | {"loss": loss}, step=number)
    if days:
        bundle = replace(bundle, provenance=_provenance(parent, config, days[-1]))
    return bundle.save(config.out)


def learn(
    bundle: Bundle, interactions: pd.DataFrame, item_features: pd.DataFrame, config: UpdateConfig
) -> tuple[Bundle, float | None]:
    """One day's step: rows for whom and what is new, then a few passes over the day.

    Args:
        bundle: what was known before.
        interactions: the day's rows of the interaction table.
        item_features: category and brand of the deltas' items.
        config: the resolved configuration.

    Returns:
        The bundle, unsaved, and the last pass's loss; None if nothing in the day has a weight.
    """
    users = bundle.users.grown(interactions["user_id"])
    items = _grown_items(bundle, interactions, item_features)
    vocabulary = Vocabulary(items["item_id"].to_numpy(object))
    network = bundle.network.grown(len(users), len(items), config.update.new_row_deviation)
    loss = _fine_tune(network, interactions, users, vocabulary, config)
    bought = dataset.purchases(interactions, users, vocabulary)
    purchases = pd.concat([bundle.purchases, bought]).drop_duplicates(["user", "item"])
    return Bundle(network, users, items, purchases, bundle.provenance), loss


def _grown_items(
    bundle: Bundle, interactions: pd.DataFrame, item_features: pd.DataFrame
) -> pd.DataFrame:
    """The item table with the day's new items after the old, and the day's purchases counted in."""
    vocabulary = bundle.vocabulary.grown(interactions["item_id"])
    new = pd.DataFrame({"item_id": vocabulary.ids[len(bundle.vocabulary) :], "purchases": 0})
    attributes = item_features[["item_id", "category", "brand"]]
    grown = pd.concat(
        [bundle.items, new.merge(attributes, on="item_id", how="left")], ignore_index=True
    )
    sales = interactions.groupby("item_id")["num_purchases"].sum()
    grown["purchases"] += grown["item_id"].map(sales).fillna(0).astype("int64")
    return grown


def _fine_tune(
    network: NCF,
    interactions: pd.DataFrame,
    users: Vocabulary,
    items: Vocabulary,
    config: UpdateConfig,
) -> float | None:
    pairs = dataset.pairs(interactions, users, items, config.loss.event_weights)
    if len(pairs) == 0:
        return None
    student = Learner(network, config.optimizer)
    batches = Batches(
        pairs,
        len(items),
        batch_size=config.optimizer.batch_size,
        n_negatives=config.sampler.negatives,
        seed=config.seed,
    )
    learner.fit(student, batches, config.trainer, config.update.epochs, quiet=True)
    return student.curve[-1]["loss"]


def _provenance(parent: Bundle, config: UpdateConfig, watermark: date) -> Provenance:
    return Provenance(
        data_digest=content.digest(config.data),
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
        tracking = Tracking(settings.load().registry)
        with tracking.run(
            EXPERIMENT,
            name=job.overrides or "defaults",
            params=config.model_dump(mode="json"),
            tags={},
            parent=tracking.sweep(EXPERIMENT, job.sweep) if job.sweep else None,
        ) as run:
            bundle = update(config, run)
            run.log_dataset("deltas", config.data, content.digest(config.data))
            if bundle.digest != content.digest(config.parent):
                # Else it is its parent still, whose maker is another run.
                pyfunc.log(run, bundle, config.out)
    sys.stdout.write(
        f"update: {len(bundle.users):,} users, {len(bundle.items):,} items, learned up to "
        f"{bundle.provenance.watermark}; bundle {bundle.digest}\n"
    )


if __name__ == "__main__":
    configs.composed("update", _run)
