"""One day's step of the update: what was new is learned, and nothing else moves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from progrec.learning import dataset, expiry, fold_in, fusion, growth, learner
from progrec.learning.batches import Batches
from progrec.learning.bundle import Bundle
from progrec.learning.config import UpdateConfig
from progrec.learning.dataset import Pairs
from progrec.learning.day import Day, begins_week
from progrec.learning.evaluation import Task
from progrec.learning.evidence import Evidence
from progrec.learning.fusion import Examples
from progrec.learning.learner import Learner
from progrec.learning.ncf import NCF, Fusion
from progrec.learning.touches import sparse
from progrec.learning.vocabulary import Rows

Losses = dict[str, float]


def learn(bundle: Bundle, day: Day, cold: NCF, config: UpdateConfig) -> tuple[Bundle, Losses]:
    """What a bundle becomes by a day.

    Rows that have expired leave, and rare ids get none. The fusion learns what the day's shoppers
    bought, of all that they could have, from what was known before it. Then who and what is new
    gets rows, and the evidence the day's events. The rows that the day touched are solved anew from
    all that was ever done with them; towers that were trained by gradient steps take such over the
    day and as many likes of other days. The layers, which all rows share, go a part of their way
    from the cold model back. With the first day of a week, items get their neighbours anew.

    While the day is learned, the side inputs of those who were known are as they were before it;
    who and what is new has none but the day's own. Category and brand stay those that an item came
    with.

    Args:
        bundle: what was known before.
        day: the day's tables.
        cold: the network that the chain started from.
        config: the resolved configuration.

    Returns:
        The bundle, unsaved and with the provenance of the one before, and the losses: `fusion`
        before its steps, and `loss` in the last pass over the day; each where there was anything
        to learn.
    """
    losses: Losses = {}
    bundle = expiry.expired(bundle, day.date, config.update.expire_days)
    day = growth.frequent(bundle, day, config.update.min_events)
    task = task_of(bundle, day)
    joined = None
    if bundle.network.fusion is not None and len(task):
        joined, losses["fusion"] = _choices(bundle, task, bundle.network.fusion, day, config)
    grown = growth.grown(bundle, day)
    network = grown.network
    if joined is not None:
        network.fusion = joined
    touched = _Touched.of(grown, day)
    fold_in.solve(
        network, grown.evidence.touches, touched.users, touched.items, bundle.recipe.start
    )
    # Towers that did best as least squares left them would only unlearn by gradient steps.
    if bundle.recipe.start is None or bundle.recipe.epochs:
        pairs = _pairs(grown, day, config)
        if len(pairs):
            losses["loss"] = _steps(network, pairs, day, config)
    found = bundle.recipe.neighbours
    if found is not None and begins_week(day.date, bundle.evidence.day):
        grown = replace(grown, evidence=grown.evidence.with_neighbours(found))
    _back(network, cold, config.update.pull)
    growth.tell(network, day, grown.users, grown.vocabulary)
    return grown, losses


def task_of(bundle: Bundle, day: Day) -> Task:
    """The users whom a bundle knows and who buy something on a day that is new to them.

    Products that it does not know do not count.
    """
    bought = day.bought
    rows, items = bundle.users.rows(bought["user_id"]), bundle.vocabulary.rows(bought["item_id"])
    known = (rows >= 0) & (items >= 0)
    users, places = np.unique(rows[known], return_inverse=True)
    shape = (len(users), len(bundle.items))
    task = Task.of(bought_by(bundle.evidence, users), dataset.matrix(places, items[known], shape))
    return replace(task, users=users[task.users])


def bought_by(evidence: Evidence, users: Rows) -> csr_array:
    """(b,) user rows -> (b, n_items) 0/1: what each has bought."""
    rows = evidence.touches.those_of(users)
    counts = (rows["num_purchases"].to_numpy() > 0).astype(np.float32)
    return sparse(rows["place"], rows["item"], counts, (len(users), evidence.n_items))


@dataclass(frozen=True, eq=False)
class _Touched:
    """The rows of those with whom something happened on a day, in order."""

    users: Rows
    items: Rows

    @classmethod
    def of(cls, bundle: Bundle, day: Day) -> _Touched:
        users, items = day.interactions["user_id"].unique(), day.interactions["item_id"].unique()
        return cls(np.sort(bundle.users.rows(users)), np.sort(bundle.vocabulary.rows(items)))


def _choices(
    bundle: Bundle, task: Task, joined: Fusion, day: Day, config: UpdateConfig
) -> tuple[Fusion, float]:
    """The fusion after a day's purchases, and its loss on them before."""
    generator = np.random.default_rng([config.seed, day.date.toordinal()])
    settings = config.update

    def inputs(users: Rows, items: Rows | None) -> Tensor:
        return fusion.inputs(bundle.network, bundle.evidence, users, items)

    examples = Examples.of(inputs, task, settings.choices, generator)
    return fusion.refine(joined, examples, settings.choices, settings.epochs, _seed(day, config))


def _pairs(bundle: Bundle, day: Day, config: UpdateConfig) -> Pairs:
    """What was liked on a day, and as much as `replay` says of what was liked before."""
    weights = config.loss.event_weights
    new = dataset.pairs(day.interactions, bundle.users, bundle.vocabulary, weights)
    old = _replayed(bundle, round(config.update.replay * len(new)), day, config)
    users, items = np.concatenate([new.users, old.users]), np.concatenate([new.items, old.items])
    _, kept = np.unique(users * len(bundle.items) + items, return_index=True)
    return Pairs(users[kept], items[kept], np.concatenate([new.weights, old.weights])[kept])


def _replayed(bundle: Bundle, n: int, day: Day, config: UpdateConfig) -> Pairs:
    """One like of each of at most n users, all drawn at random."""
    generator = np.random.default_rng([config.seed, day.date.toordinal()])
    users = np.unique(generator.integers(len(bundle.users), size=n))
    # Sorted: rows of users whom later days touched come last, until a bundle has been loaded.
    rows = bundle.evidence.touches.those_of(users).sort_values(["user", "item"])
    rows = rows[dataset.heaviest(rows, config.loss.event_weights) > 0]
    rows = rows.iloc[generator.permutation(len(rows))].drop_duplicates("user")
    weights = dataset.heaviest(rows, config.loss.event_weights)
    return Pairs(rows["user"].to_numpy(), rows["item"].to_numpy(), weights)


def _seed(day: Day, config: UpdateConfig) -> int:
    """Another one each day."""
    return config.seed + day.date.toordinal()


def _back(network: nn.Module, cold: nn.Module, pull: float) -> None:
    """Takes a part of the way of the layers, which all rows share, from the cold model back."""
    before = dict(cold.named_parameters())
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if not name.startswith(("users.", "items.")):
                weight.lerp_(before[name], pull)


def _steps(network: NCF, pairs: Pairs, day: Day, config: UpdateConfig) -> float:
    """Gradient steps over pairs; returns the last pass's loss.

    Only the rows of these users take part, so that a step costs what they cost.
    """
    users, places = np.unique(pairs.users, return_inverse=True)
    rows = torch.from_numpy(users)
    student = Learner(network.part(rows).train(), config)
    batches = Batches(
        replace(pairs, users=places),
        network.n_items,
        batch_size=config.optimizer.batch_size,
        sampler=config.sampler,
        seed=_seed(day, config),
    )
    learner.fit(student, batches, config.trainer, config.update.epochs, quiet=True)
    network.take(student.network, rows)
    return student.curve[-1]["loss"]
