"""What a recommender has to beat: simple methods, each tuned on a window that validates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.sparse import csr_array, eye_array
from torch import Tensor

from progrec import progress
from progrec.learning import dataset, evaluation, ials, losses, neighbours
from progrec.learning.batches import Batches
from progrec.learning.config import IALSConfig, SamplerConfig
from progrec.learning.dataset import ALL_COUNTS, EventWithWeight, Pairs
from progrec.learning.evaluation import Scorer, Task
from progrec.learning.vocabulary import Rows, Vocabulary

Floats = npt.NDArray[np.float32]
Source = Literal["likes", "bought"]
"""Which pairs a baseline learns from."""
Settings = dict[str, Any]
"""Hyperparameter -> value."""

ITEMS_AT_MOST = 8_000  # take part where the memory grows with their square
DEVIATION = 0.1  # of a start at random, for the length of an embedding


@dataclass(frozen=True, eq=False)
class Past:
    """What users did before a day.

    Attributes:
        likes: (n_users, n_items) 0/1, who did something with an item that speaks for it.
        bought: (n_users, n_items) 0/1, who bought what.
        queued: (n_users, n_items) sums of what events add to an item's score in the queue; only
            pairs with such an event are stored.
        interactions: the interaction table and, as `user` and `item`, the rows of its ids.
        day: the first day after it.
    """

    likes: csr_array
    bought: csr_array
    queued: csr_array
    interactions: pd.DataFrame
    day: date

    @classmethod
    def of(
        cls,
        interactions: pd.DataFrame,
        users: Vocabulary,
        items: Vocabulary,
        event_weights: Mapping[EventWithWeight, float],
        queue_weights: Mapping[Any, float],
        day: date,
    ) -> Past:
        """The past that an interaction table holds; unknown users and items are left out.

        Args:
            interactions: rows of the interaction table, of days before `day`.
            users: the users' rows.
            items: the items' rows.
            event_weights: event type -> weight; a type speaks for an item if that is above 0.
            queue_weights: event type -> what it adds to an item's score in the queue.
            day: the first day after it.
        """
        rows = interactions.assign(
            user=users.rows(interactions["user_id"]), item=items.rows(interactions["item_id"])
        )
        rows = rows[(rows["user"] >= 0) & (rows["item"] >= 0)]
        shape = (len(users), len(items))
        likes = dataset.pairs(rows, users, items, event_weights)
        queued = rows[(rows[[ALL_COUNTS[name] for name in queue_weights]] > 0).any(axis=1)]
        added = (weight * queued[ALL_COUNTS[name]] for name, weight in queue_weights.items())
        scores = sum(map(np.asarray, added), start=np.zeros(len(queued), np.float32))
        return cls(
            dataset.matrix(likes.users, likes.items, shape),
            dataset.bought(rows, users, items),
            csr_array((scores, (queued["user"], queued["item"])), shape=shape),
            rows,
            day,
        )


@dataclass(frozen=True, eq=False)
class Popularity:
    """The same list for everyone.

    Attributes:
        purchases: (n_items,) numbers of purchases.
    """

    purchases: Floats

    def scores(self, users: Rows) -> Floats:
        """(b,) user rows -> (b, n_items) numbers of purchases."""
        return np.tile(self.purchases, (len(users), 1))


@dataclass(frozen=True, eq=False)
class Linear:
    """Inner products of numbers of a user with numbers of an item.

    Attributes:
        users: (n_users, f).
        items: (f, m), of the items that take part.
        rows: (m,) which these are.
        n_items: how many items there are; those that take no part score 0.
    """

    users: Floats | csr_array
    items: Floats | csr_array
    rows: Rows
    n_items: int

    @classmethod
    def of(cls, users: Tensor, items: Tensor) -> Linear:
        """The inner products of embeddings, (n_users, f) and (n_items, f)."""
        return cls(users.numpy(), items.numpy().T, np.arange(len(items)), len(items))

    def scores(self, users: Rows) -> Floats:
        """(b,) user rows -> (b, n_items) inner products."""
        products = self.users[users] @ self.items
        scores = np.zeros((len(users), self.n_items), np.float32)
        scores[:, self.rows] = products if isinstance(products, np.ndarray) else products.toarray()
        return scores


def popularity(past: Past, _seed: int, half_life: float = math.inf) -> Scorer:
    """What was bought most often; a purchase weighs half as much every so many days."""
    table = past.interactions
    ages = (pd.Timestamp(past.day) - pd.to_datetime(table["date"])).dt.days.to_numpy()
    weights = table["num_purchases"].to_numpy() * 0.5 ** (ages / half_life)
    demand = np.bincount(table["item"], weights, minlength=past.bought.shape[1])
    return Popularity(demand.astype(np.float32))


def queue_rules(past: Past, _seed: int) -> Scorer:
    """What the rules of the queue say of the products that a user had to do with."""
    n_items = past.queued.shape[1]
    return Linear(past.queued, eye_array(n_items, format="csr"), np.arange(n_items), n_items)


def item_knn(past: Past, _seed: int, source: Source, n_neighbours: int) -> Scorer:
    """Items that the same users like: `neighbours.cosine`."""
    likes, rows = _most_liked(past, source)
    weights = neighbours.cosine(likes, n_neighbours)
    return Linear(likes, weights, rows, past.likes.shape[1])


def ease(past: Past, _seed: int, source: Source, regularization: float) -> Scorer:
    """Items that the others foretell, by ridge regression: `neighbours.ease`."""
    likes, rows = _most_liked(past, source)
    return Linear(likes, neighbours.ease(likes, regularization), rows, past.likes.shape[1])


def _most_liked(past: Past, source: Source) -> tuple[csr_array, Rows]:
    likes = getattr(past, source)
    rows = neighbours.most_liked(likes, ITEMS_AT_MOST)
    return csr_array(likes[:, rows]), rows


def implicit_als(
    past: Past,
    seed: int,
    source: Source,
    factors: int,
    regularization: float,
    unobserved_weight: float,
    iterations: int,
) -> Scorer:
    """Matrix factorisation by least squares: `ials.fit`."""
    config = IALSConfig(
        regularization=regularization,
        unobserved_weight=unobserved_weight,
        iterations=iterations,
        deviation=DEVIATION,
    )
    return Linear.of(*ials.fit(getattr(past, source), factors, config, seed, quiet=True))


def bpr(
    past: Past,
    seed: int,
    source: Source,
    factors: int,
    rate: float,
    regularization: float,
    epochs: int,
    batch_size: int,
) -> Scorer:
    """Matrix factorisation that ranks liked items above others (Rendle et al. 2009, BPR-MF)."""
    likes = getattr(past, source)
    users, items = (rows.astype(np.int64) for rows in likes.nonzero())
    pairs = Pairs(users, items, np.ones(len(users), np.float32))
    sampler = SamplerConfig(negatives=1)
    batches = Batches(pairs, likes.shape[1], batch_size=batch_size, sampler=sampler, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    of_users, of_items = (torch.nn.Embedding(n, factors, sparse=True) for n in likes.shape)
    tables = [of_users.weight, of_items.weight]
    for table in tables:
        torch.nn.init.normal_(table, std=DEVIATION / factors**0.5, generator=generator)
    optimizer = torch.optim.SparseAdam(tables, lr=rate)
    for batch in itertools.chain.from_iterable(itertools.repeat(batches, epochs)):
        user, liked, others = of_users(batch.users), of_items(batch.liked), of_items(batch.others)
        loss = losses.bayesian_personalised_ranking(
            (user * liked).sum(dim=-1),
            (user[:, None] * others).sum(dim=-1),
            batch.weights,
            batch.log_rates,
        )
        lengths = sum(rows.square().sum() for rows in (user, liked, others)) / len(user)
        optimizer.zero_grad()
        (loss + regularization * lengths).backward()
        optimizer.step()  # type: ignore[no-untyped-call]
    return Linear.of(*(table.detach() for table in tables))


SOURCES: tuple[Source, ...] = ("likes", "bought")
CANDIDATES: dict[str, tuple[Callable[..., Scorer], dict[str, tuple[Any, ...]]]] = {
    "popularity": (popularity, {}),
    "decayed_popularity": (popularity, {"half_life": (7, 14, 30)}),
    "queue_rules": (queue_rules, {}),
    "item_knn": (item_knn, {"source": SOURCES, "n_neighbours": (20, 50, 200)}),
    "ease": (ease, {"source": SOURCES, "regularization": (30, 100, 300, 1000)}),
    "ials": (
        implicit_als,
        {
            "source": ("likes",),
            "factors": (64,),
            "regularization": (0.003, 0.01, 0.03),
            "unobserved_weight": (0.1, 0.3),
            "iterations": (12,),
        },
    ),
    "bpr": (
        bpr,
        {
            "source": ("likes",),
            "factors": (64,),
            "rate": (0.003, 0.01),
            "regularization": (0.01,),
            "epochs": (30,),
            "batch_size": (4096,),
        },
    ),
}
"""Name -> a baseline and the values of its hyperparameters, each combination a candidate."""


def fit(name: str, settings: Settings, past: Past, seed: int) -> Scorer:
    """A baseline with these settings."""
    return CANDIDATES[name][0](past, seed, **settings)


def tuned(name: str) -> list[str]:
    """Which of a baseline's hyperparameters are chosen, and not given."""
    return [key for key, values in CANDIDATES[name][1].items() if len(values) > 1]


def candidates(name: str, past: Past) -> list[Settings]:
    """What a baseline is tried with; if all likes are purchases, not twice with the same pairs."""
    grid = CANDIDATES[name][1]
    if "source" in grid and (past.likes != past.bought).nnz == 0:
        grid = grid | {"source": SOURCES[:1]}
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def choose(name: str, past: Past, task: Task, k: int, seed: int) -> Settings:
    """The candidate that ranks best what was bought in a window after the past: by mean NDCG@k.

    Returns:
        The first of equals; the first of all if the task has no user.
    """
    tried = candidates(name, past)
    if len(tried) == 1 or len(task) == 0:
        return tried[0]
    scorers = (fit(name, settings, past, seed) for settings in tried)
    figures = [evaluation.evaluate(scorer, task, k)[f"ndcg@{k}"] for scorer in scorers]
    return tried[int(np.argmax(figures))]


def fit_all(
    past: Past, validation: tuple[Past, Task], k: int, seed: int
) -> dict[str, tuple[Settings, Scorer]]:
    """Every baseline with the settings that are best on a window at the end of the past.

    Args:
        past: what they learn from.
        validation: what lies before the window, and what was bought in it.
        k: length of the lists that are measured.
        seed: of whatever is drawn.

    Returns:
        Name -> settings and scorer; without the queue's rules if no event counts in them.
    """
    names = [name for name in CANDIDATES if name != "queue_rules" or past.queued.nnz]
    fitted = {}
    for name in progress.steps(names, "fitting baselines"):
        settings = choose(name, *validation, k, seed)
        fitted[name] = (settings, fit(name, settings, past, seed))
    return fitted
