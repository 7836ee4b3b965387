"""A bundle as large as a large shop's, and a day of its events, without any training."""

from __future__ import annotations

from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.sparse import csr_array

from progrec.learning import growth
from progrec.learning.bundle import Bundle, Provenance
from progrec.learning.config import Recipe, TrainConfig
from progrec.learning.dataset import ALL_COUNTS
from progrec.learning.day import Day
from progrec.learning.evidence import DEMAND, Evidence
from progrec.learning.ncf import NCF
from progrec.learning.touches import COUNTED, Touches
from progrec.learning.vocabulary import Vocabulary

TODAY = date(2020, 3, 1)
TOUCHES_EACH = 6  # items a user has had to do with
NEIGHBOURS = 50  # of each item that has any
NEW = 0.05  # share of a day's users and items that nobody knew before
EVENTS_EACH = 4  # events of a user on a day
TYPES = {"view": 0.8, "cart": 0.12, "remove_from_cart": 0.02, "purchase": 0.06}


def bundle_of(n_users: int, n_items: int, config: TrainConfig, seed: int) -> Bundle:
    """A network of random weights, and evidence of what users did with items."""
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    users, items = _ids("u", n_users), _ids("p", n_items)
    rows = _touches(n_users, n_items, generator)
    bought = rows[rows["num_purchases"] > 0]
    evidence = Evidence(
        Touches.of(rows),
        generator.random((n_items, 1 + len(DEMAND))).astype(np.float32) * 10,
        _neighbours(n_items, min(n_items, config.fusion.neighbours.max_items), generator),
        n_users,
        TODAY,
    )
    return Bundle(
        NCF(n_users, n_items, config.model).eval(),
        Vocabulary(users),
        pd.DataFrame({"item_id": items, "category": "any", "brand": None}),
        bought[["user", "item"]].assign(date=TODAY).reset_index(drop=True),
        Provenance(data_digest="", config_digest="", parent_digest=None, watermark=TODAY),
        evidence,
        Recipe(start=config.pretraining[0], epochs=0),
    )


def day_of(n_users: int, n_items: int, n_events: int, seed: int) -> Day:
    """Events of users drawn at random, with items of which some are popular."""
    generator = np.random.default_rng(seed)
    n_shoppers = max(1, n_events // EVENTS_EACH)
    shoppers = generator.integers(round(n_users * (1 + NEW)), size=n_shoppers)
    events = pd.DataFrame(
        {
            "user_id": _ids("u", round(n_users * (1 + NEW)))[generator.choice(shoppers, n_events)],
            "item_id": _ids("p", round(n_items * (1 + NEW)))[
                _popular(round(n_items * (1 + NEW)), n_events, generator)
            ],
        }
    )
    kinds = generator.choice(list(TYPES), n_events, p=list(TYPES.values()))
    for kind, column in ALL_COUNTS.items():
        events[column] = (kinds == kind).astype(np.int64)
    interactions = events.groupby(["user_id", "item_id"], as_index=False)[COUNTED].sum()
    users, items = interactions[["user_id"]], interactions[["item_id"]]
    return Day(
        date(2020, 3, 2),
        interactions.assign(date=date(2020, 3, 2), total_spent=0.0),
        users.drop_duplicates().assign(**dict.fromkeys(growth.USER_COUNTS, 1)),
        items.drop_duplicates().assign(
            category="any", brand=None, **dict.fromkeys(growth.ITEM_COUNTS, 1)
        ),
    )


def _ids(letter: str, n: int) -> npt.NDArray[np.object_]:
    return np.array([f"{letter}{number:08}" for number in range(n)], dtype=object)


def _popular(n: int, size: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rows of which the first are drawn most often: their density falls with the square root."""
    return np.asarray(n * generator.random(size) ** 2, np.int64)


def _touches(n_users: int, n_items: int, generator: np.random.Generator) -> pd.DataFrame:
    n = n_users * TOUCHES_EACH
    keys = np.unique(
        generator.integers(n_users, size=n) * n_items + _popular(n_items, n, generator)
    )
    rows = pd.DataFrame({"user": keys // n_items, "item": keys % n_items})
    kinds = generator.choice(list(TYPES), len(rows), p=list(TYPES.values()))
    for kind, column in ALL_COUNTS.items():
        rows[column] = (kinds == kind).astype(np.int64)
    return rows.assign(last=np.datetime64(TODAY, "ms"))


def _neighbours(n_items: int, n_known: int, generator: np.random.Generator) -> csr_array:
    rows = np.repeat(np.arange(n_known), NEIGHBOURS)
    weights = generator.normal(scale=0.1, size=len(rows)).astype(np.float32)
    columns = generator.integers(n_known, size=len(rows))
    return csr_array((weights, (rows, columns)), shape=(n_items, n_items))
