"""What shoppers have done up to a moment, as the network sees it beside its embeddings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.sparse import csr_array
from torch import Tensor

from progrec.learning import neighbours
from progrec.learning.config import NeighboursConfig
from progrec.learning.dataset import COUNTS
from progrec.learning.vocabulary import Rows, Vocabulary

Floats = npt.NDArray[np.float32]

COUNTED = [*COUNTS.values(), "num_removes"]
HISTORY = ["user", "item", *COUNTED, "last"]
"""Columns of a history: rows of user and item (together the key and the order), how many events of
each type, and the day of the last one."""

TOUCH_HALF_LIFE, TASTE_HALF_LIFE = 20.0, 30.0  # days: of what was touched, and of what it tells
DEMAND = {"purchases_7": 7.0, "purchases_30": 30.0, "interest_7": 7.0, "interest_30": 30.0}
"""Column of the items -> half-life in days of the purchases, or likes, that are summed up in it."""

INPUTS = (
    "neighbours",
    "recent_neighbours",
    "viewed",
    "clicked",
    "carted",
    "removed",
    "touched",
    "purchases",
    *DEMAND,
    "experience",
)
"""What is known of a pair, by place."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What shoppers have done by the end of a day.

    Attributes:
        history: one row a (user, item): see `HISTORY`.
        demand: (n_items, 5) purchases of all time, then `DEMAND`.
        neighbours: (n_items, n_items) how much the row's item speaks for the column's.
        n_users: how many users there are; some may have no history.
        day: the last one that is in it.
    """

    history: pd.DataFrame
    demand: Floats
    neighbours: csr_array
    n_users: int
    day: date

    @classmethod
    def of(
        cls,
        interactions: pd.DataFrame,
        users: Vocabulary,
        items: Vocabulary,
        day: date,
    ) -> Evidence:
        """The evidence of all that was done by the end of a day; no item has neighbours yet.

        Args:
            interactions: what was done, a row a (date, user, item); nothing after the day.
            users: the users' rows.
            items: the items' rows.
            day: the last day.
        """
        nothing = pd.DataFrame({name: pd.Series(dtype=np.int64) for name in HISTORY})
        demand = np.zeros((len(items), 1 + len(DEMAND)), np.float32)
        alone = csr_array((len(items), len(items)), dtype=np.float32)
        before = cls(nothing, demand, alone, len(users), day)
        return before.after(interactions, users, items, day)

    def with_neighbours(self, config: NeighboursConfig, regularization: float) -> Evidence:
        """This evidence with the neighbours that its own likes make."""
        found = neighbours.fit(
            self.likes, regularization, n_items=config.max_items, n_neighbours=config.kept
        )
        return replace(self, neighbours=found)

    def scores(self, users: Rows) -> Floats:
        """(b,) user rows -> (b, n_items) how much the users' likes speak for each item."""
        return np.asarray((self.likes[users] @ self.neighbours).toarray())

    def after(
        self, interactions: pd.DataFrame, users: Vocabulary, items: Vocabulary, day: date
    ) -> Evidence:
        """This evidence and what was done after it, up to the end of a later day.

        Items that were there keep their neighbours, and new ones have none.

        Args:
            interactions: what was done after it, a row a (date, user, item); nothing after the day.
            users: the users then: those of before in their rows, and new ones after them.
            items: the items then, likewise.
            day: the last day.
        """
        rows = pd.DataFrame(
            {
                "user": users.rows(interactions["user_id"]),
                "item": items.rows(interactions["item_id"]),
                **{name: interactions[name].to_numpy() for name in COUNTED},
                "last": interactions["date"].to_numpy(),
            }
        )
        together = pd.concat([self.history, rows]) if len(self.history) else rows
        how = dict.fromkeys(COUNTED, "sum") | {"last": "max"}
        history = together.groupby(["user", "item"], sort=True).agg(how).reset_index()
        demand = np.zeros((len(items), 1 + len(DEMAND)), np.float32)
        days = (day - self.day).days
        demand[: self.n_items] = self.demand * [1, *(0.5 ** (days / h) for h in DEMAND.values())]
        n_items, old = len(items), self.neighbours
        grown = csr_array(
            (old.data, old.indices, _extended(old.indptr, n_items + 1)), (n_items,) * 2
        )
        return Evidence(history, demand + _demand(rows, n_items, day), grown, len(users), day)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.demand)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of users and items."""
        return self.n_users, self.n_items

    @cached_property
    def likes(self) -> csr_array:
        """(n_users, n_items) 0/1: who did something with an item that speaks for it."""
        return self._matrix((self._liked > 0).astype(np.float32))

    def inputs(self, users: Rows) -> Tensor:
        """What is known of users with every item.

        Counts come as log(1 + count), for they span magnitudes. What the user did with the item
        fades with the days since the last time, and likes do so in `recent_neighbours`.

        Args:
            users: (b,) user rows.

        Returns:
            (b, n_items, len(INPUTS)).
        """
        dense = np.zeros((len(INPUTS), len(users), self.n_items), np.float32)
        dense[0] = self.scores(users)
        dense[1] = (self._recent_likes[users] @ self.neighbours).toarray()
        for place, touches in enumerate(self._touches, start=2):
            dense[place] = touches[users].toarray()
        dense[7:-1] = np.log1p(self.demand.T)[:, None]
        dense[-1] = np.log1p(np.diff(self.likes.indptr)[users])[:, None]
        return torch.from_numpy(dense).permute(1, 2, 0)

    @cached_property
    def _touches(self) -> list[csr_array]:
        recency = self._decayed(TOUCH_HALF_LIFE)
        types = ("num_views", "num_clicks", "num_carts", "num_removes")
        counts = [np.log1p(self.history[name].to_numpy(np.float32)) for name in types]
        return [self._matrix(values * recency) for values in (*counts, np.ones_like(recency))]

    @cached_property
    def _recent_likes(self) -> csr_array:
        return self._matrix((self._liked > 0) * self._decayed(TASTE_HALF_LIFE))

    @cached_property
    def _liked(self) -> npt.NDArray[np.int64]:
        return np.asarray(self.history[list(COUNTS.values())].sum(axis=1))

    def _decayed(self, half_life: float) -> Floats:
        age = (pd.Timestamp(self.day) - pd.to_datetime(self.history["last"])).dt.days
        return np.asarray(0.5 ** (age.to_numpy() / half_life), np.float32)

    def _matrix(self, values: Floats) -> csr_array:
        users, items = self.history["user"].to_numpy(), self.history["item"].to_numpy()
        matrix = csr_array((values.astype(np.float32), (users, items)), shape=self.shape)
        matrix.eliminate_zeros()
        return matrix


def _demand(rows: pd.DataFrame, n_items: int, day: date) -> Floats:
    """(n_items, 5) what rows add to the demand at the end of a day."""
    age = (pd.Timestamp(day) - pd.to_datetime(rows["last"])).dt.days.to_numpy()
    amounts = {
        "purchases": rows["num_purchases"].to_numpy(),
        "interest": rows[list(COUNTS.values())].sum(axis=1).to_numpy() > 0,
    }
    added = [np.bincount(rows["item"], amounts["purchases"], n_items)]
    for name, half_life in DEMAND.items():
        weights = amounts[name.split("_")[0]] * 0.5 ** (age / half_life)
        added.append(np.bincount(rows["item"], weights, n_items))
    return np.stack(added, axis=1).astype(np.float32)


def _extended(indptr: npt.NDArray[np.int32], length: int) -> npt.NDArray[np.int32]:
    """The row pointers of a sparse matrix with empty rows after its own."""
    return np.concatenate([indptr, np.full(length - len(indptr), indptr[-1], indptr.dtype)])
