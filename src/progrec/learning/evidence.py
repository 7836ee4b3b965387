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

from progrec.learning import neighbours, touches
from progrec.learning.config import NeighboursConfig
from progrec.learning.touches import LIKES, Columns, Floats, Touches, liked, sparse
from progrec.learning.vocabulary import Rows, Vocabulary

TOUCH_HALF_LIFE, TASTE_HALF_LIFE = 20.0, 30.0  # days: of what was touched, and of what it tells
DEMAND = {"purchases_7": 7.0, "purchases_30": 30.0, "interest_7": 7.0, "interest_30": 30.0}
"""Column of the items -> half-life in days of the purchases, or likes, that are summed up in it. A
user counts once a day, so that nobody makes the demand alone."""

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

# Where a fusion, whose first input is the towers' logit, has those of the pair and of the item
# alone. The last one is the user's.
OF_PAIR, OF_ITEM = slice(1, 8), slice(8, -1)


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of one user.

    Attributes:
        items: (m,) rows, in order, of the items of which something is known with this user.
        inputs: (m, 7) the inputs of these pairs, up to `touched`; those of all others are 0.
        experience: the input of this name.
    """

    items: Rows
    inputs: Floats
    experience: float

    def of(self, rows: Rows) -> Floats:
        """(b,) item rows -> (b, 7) the inputs of these pairs."""
        found = np.zeros((len(rows), self.inputs.shape[1]), np.float32)
        if len(self.items):
            places = np.searchsorted(self.items, rows).clip(max=len(self.items) - 1)
            there = self.items[places] == rows
            found[there] = self.inputs[places[there]]
        return found


@dataclass(frozen=True, eq=False)
class Evidence:
    """What shoppers have done by the end of a day.

    Attributes:
        touches: what each did with each item.
        demand: (n_items, 5) purchases of all time, then `DEMAND`.
        neighbours: (n_items, n_items) how much the row's item speaks for the column's.
        n_users: how many users there are; some may have done nothing.
        day: the last one that is in it.
    """

    touches: Touches
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
            users: the users' rows; what others did counts for the demand alone.
            items: the items' rows.
            day: the last day.
        """
        done = Touches.read(interactions, users, items)
        alone = csr_array((len(items), len(items)), dtype=np.float32)
        return cls(done, _demand(interactions, items, day), alone, len(users), day)

    def with_neighbours(self, config: NeighboursConfig) -> Evidence:
        """This evidence with the neighbours that its own likes make.

        Args:
            config: how they are found; of the regularizations, the first.
        """
        found = neighbours.fit(
            self.likes(),
            config.regularizations[0],
            n_items=config.max_items,
            n_neighbours=config.kept,
        )
        return replace(self, neighbours=found)

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
        days, n_items = (day - self.day).days, len(items)
        demand = _demand(interactions, items, day)
        demand[: self.n_items] += self.demand * [1, *(0.5 ** (days / h) for h in DEMAND.values())]
        old = self.neighbours
        pointers = _extended(old.indptr, n_items + 1)
        grown = csr_array((old.data, old.indices, pointers), (n_items,) * 2)
        done = self.touches.after(Touches.read(interactions, users, items))
        return Evidence(done, demand, grown, len(users), day)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.demand)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of users and items."""
        return self.n_users, self.n_items

    def likes(self) -> csr_array:
        """(n_users, n_items) 0/1: who did something with an item that speaks for it."""
        rows = touches.columns(self.touches.table())
        return sparse(rows["user"], rows["item"], liked(rows), self.shape)

    def scores(self, users: Rows) -> Floats:
        """(b,) user rows -> (b, n_items) how much the users' likes speak for each item."""
        return np.asarray((self.touches.likes_of(users, self.n_items) @ self.neighbours).toarray())

    def inputs(self, users: Rows, items: Rows | None = None) -> Tensor:
        """What is known of users with every item, or with some.

        Counts come as log(1 + count), for they span magnitudes. What the user did with the item
        fades with the days since the last time, and likes do so in `recent_neighbours`.

        Args:
            users: (b,) user rows.
            items: (m,) item rows, each once; all if they are left out.

        Returns:
            (b, m, len(INPUTS)).
        """
        rows = touches.columns(self.touches.those_of(users))
        demand = self.demand_inputs if items is None else self.demand_inputs[items]
        dense = np.zeros((len(INPUTS), len(users), len(demand)), np.float32)
        foretold = self._foretold(rows, len(users), items).toarray()
        dense[:2] = foretold.reshape(dense[:2].shape)
        pairs = rows if items is None else _among(rows, items, self.n_items)
        dense[2:7, pairs["place"], pairs["item"]] = self._own(pairs).T
        dense[7:-1] = demand.T[:, None]
        likes = np.bincount(rows["place"], liked(rows), len(users))
        dense[-1] = np.log1p(likes.astype(np.float32))[:, None]
        return torch.from_numpy(dense).permute(1, 2, 0)

    def known(self, rows: Columns) -> Known:
        """What is known of a user: the inputs as few numbers.

        Args:
            rows: what the user has done: see `Touches.of_one`.
        """
        # As `_foretold` adds up, but for one user a sparse matrix takes longer than the sums.
        likes = np.flatnonzero(liked(rows))
        starts = rows["item"][likes]
        pointers, weights = self.neighbours.indptr, self.neighbours.data
        places, pairs = touches.spread(pointers[starts], pointers[starts + 1])
        fading = self._decayed(rows, TASTE_HALF_LIFE)[likes][places]
        spoken_for = self.neighbours.indices[pairs]
        items = np.union1d(spoken_for, rows["item"])
        inputs = np.zeros((len(items), 7), np.float32)
        at = np.searchsorted(items, spoken_for)
        np.add.at(inputs[:, 0], at, weights[pairs])
        np.add.at(inputs[:, 1], at, fading * weights[pairs])
        inputs[np.searchsorted(items, rows["item"]), 2:] = self._own(rows)
        return Known(items, inputs, float(np.log1p(np.float32(len(likes)))))

    @cached_property
    def demand_inputs(self) -> Floats:
        """(n_items, 5) the inputs of the item alone."""
        return np.log1p(self.demand)

    def _foretold(self, rows: Columns, n_users: int, items: Rows | None = None) -> csr_array:
        """(2 n_users, m) what users' likes say of items: the first input, and below the second."""
        counts = liked(rows)
        fading = counts * self._decayed(rows, TASTE_HALF_LIFE)
        likes = sparse(
            np.concatenate([rows["place"], rows["place"] + n_users]),
            np.concatenate([rows["item"], rows["item"]]),
            np.concatenate([counts, fading]),
            (2 * n_users, self.n_items),
        )
        return likes @ (self.neighbours if items is None else self.neighbours[:, items])

    def _own(self, rows: Columns) -> Floats:
        """(n, 5) the inputs from `viewed` to `touched` of the rows' pairs."""
        fading = self._decayed(rows, TOUCH_HALF_LIFE)
        counts = [
            np.log1p(rows[name].astype(np.float32)) * fading
            for name in ("num_views", "num_clicks", "num_carts", "num_removes")
        ]
        return np.stack([*counts, fading], axis=1)

    def _decayed(self, rows: Columns, half_life: float) -> Floats:
        """What is left of each row; of what came after the day, all."""
        age = (np.datetime64(self.day) - rows["last"].astype("datetime64[D]")).astype(np.int64)
        return np.asarray(0.5 ** (np.maximum(age, 0) / half_life), np.float32)


def _among(rows: Columns, items: Rows, n_items: int) -> Columns:
    """The rows of some items, `item` being the item's place among these."""
    place = np.full(n_items, -1)
    place[items] = np.arange(len(items))
    item = place[rows["item"]]
    return {name: column[item >= 0] for name, column in {**rows, "item": item}.items()}


def _demand(interactions: pd.DataFrame, items: Vocabulary, day: date) -> Floats:
    """(n_items, 5) what an interaction table adds to the demand at the end of a day."""
    rows = items.rows(interactions["item_id"])
    age = (pd.Timestamp(day) - pd.to_datetime(interactions["date"])).dt.days.to_numpy()
    happened = {
        "purchases": interactions["num_purchases"].to_numpy() > 0,
        "interest": interactions[LIKES].sum(axis=1).to_numpy() > 0,
    }
    added = [np.bincount(rows, happened["purchases"], len(items))]
    for name, half_life in DEMAND.items():
        weights = happened[name.split("_")[0]] * 0.5 ** (age / half_life)
        added.append(np.bincount(rows, weights, len(items)))
    return np.stack(added, axis=1).astype(np.float32)


def _extended(indptr: npt.NDArray[np.int32], length: int) -> npt.NDArray[np.int32]:
    """The row pointers of a sparse matrix with empty rows after its own."""
    return np.concatenate([indptr, np.full(length - len(indptr), indptr[-1], indptr.dtype)])
