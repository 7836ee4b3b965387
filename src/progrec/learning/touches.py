"""What each user has done with each item, up to a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_array

from progrec.learning.dataset import ALL_COUNTS, COUNTS
from progrec.learning.vocabulary import Rows, Vocabulary
from progrec.settings import EventType

Floats = npt.NDArray[np.float32]

COUNTED = list(ALL_COUNTS.values())
LIKES = list(COUNTS.values())
"""Those that speak for the item."""
COLUMNS = ["user", "item", *COUNTED, "last"]
"""Rows of user and item (together the key and the order), how many events of each type, and the day
of the last one."""


Columns = Mapping[str, npt.NDArray[Any]]
"""Rows, column by column: for a few, tables take longer than the work."""


class Done(NamedTuple):
    """What a shopper has done with a product, type by type."""

    product_id: str
    event_type: EventType
    times: int
    last: date


@dataclass(frozen=True, eq=False)
class Table:
    """Rows in order of user and item, that can be looked up by either.

    Attributes:
        rows: see `COLUMNS`.
    """

    rows: pd.DataFrame

    def of_users(self, users: Rows) -> tuple[Rows, pd.DataFrame]:
        """(b,) user rows -> the rows of these, and the place of each row's user among them."""
        places, found = _matching(self._users, users)
        return places, self.rows.iloc[found]

    def of_user(self, user: int) -> Columns:
        """The rows of one user: `COLUMNS` but the user."""
        rows = slice(*_starts(self._users, np.array([user, user + 1])))
        return {name: column[rows] for name, column in self._columns.items() if name != "user"}

    def likers_of(self, items: Rows) -> tuple[Rows, Rows, Floats]:
        """(b,) item rows -> of each of their rows the item's place, the user, and if it is a like.

        Whole rows would take several times as long: popular items have many.
        """
        places, found = _matching(self._items, items)
        rows = self._by_item[found]
        return places, self._users[rows], self._liked[rows]

    def count(self, items: Rows) -> Rows:
        """(b,) item rows -> (b,) how many rows each has."""
        ends = np.searchsorted(self._items, items, side="right")
        return ends - np.searchsorted(self._items, items)

    def without(self, users: Rows) -> pd.DataFrame:
        """The rows of all others."""
        return self.rows[~np.isin(self._users, users)]

    @cached_property
    def users(self) -> Rows:
        """Who has rows, once each and in order."""
        return np.unique(self._users)

    @cached_property
    def _columns(self) -> Columns:
        return columns(self.rows)

    @property
    def _users(self) -> Rows:
        return self._columns["user"]

    @cached_property
    def _by_item(self) -> Rows:
        return np.argsort(self.rows["item"].to_numpy(), kind="stable")

    @cached_property
    def _liked(self) -> Floats:
        return liked(self._columns)

    @cached_property
    def _items(self) -> Rows:
        return self.rows["item"].to_numpy()[self._by_item]


@dataclass(frozen=True, eq=False)
class Touches:
    """What all users have done: a row a (user, item).

    A later day costs what its own users cost: their rows are written anew beside the others, which
    stay where they are.

    Attributes:
        first: rows.
        changed: all rows of the users whom later days touched, instead of theirs in `first`.
    """

    first: Table
    changed: Table

    @classmethod
    def of(cls, table: pd.DataFrame) -> Touches:
        """Takes a whole table, in order."""
        return cls(Table(table), Table(table.iloc[:0]))

    @classmethod
    def read(cls, interactions: pd.DataFrame, users: Vocabulary, items: Vocabulary) -> Touches:
        """What an interaction table holds of users who have rows; its items all do."""
        rows = pd.DataFrame(
            {
                "user": users.rows(interactions["user_id"]),
                "item": items.rows(interactions["item_id"]),
                **{name: interactions[name].to_numpy() for name in COUNTED},
                "last": pd.to_datetime(interactions["date"]).to_numpy("datetime64[ms]"),
            }
        )
        return cls.of(_by_pair(rows[rows["user"] >= 0]))

    def table(self) -> pd.DataFrame:
        """All rows, in order."""
        return _in_order(self.first.without(self.changed.users), self.changed.rows)

    def prepare(self) -> None:
        """Makes what looking rows up by item needs, which else the first look does."""
        self.first.likers_of(np.array([], np.int64))

    def those_of(self, users: Rows) -> pd.DataFrame:
        """What some users did: (b,) user rows -> a table, `place` being the user's among them."""
        moved = np.isin(users, self.changed.users)
        return pd.concat(
            [
                _those_of(table, users, np.flatnonzero(where))
                for table, where in ((self.first, ~moved), (self.changed, moved))
            ],
            ignore_index=True,
        )

    def of_one(self, user: int, since: Sequence[Done], items: Vocabulary) -> Columns:
        """What one user did, and has done since.

        Args:
            user: the user's row; -1 for a stranger.
            since: what else, with which products; those without a row are left out.
            items: the items' rows.

        Returns:
            A row an item, in order: `COLUMNS` but the user, whose `place` is 0.
        """
        rows = self.changed.of_user(user)
        if not len(rows["item"]):
            rows = self.first.of_user(user)
        if since:
            rows = _together(rows, _rows_of(since, items))
        return {**rows, "place": np.zeros(len(rows["item"]), np.int64)}

    def likes_of(self, users: Rows, n_items: int) -> csr_array:
        """(b,) user rows -> (b, n_items) 0/1: who did something with an item that speaks for it."""
        return likes(columns(self.those_of(users)), (len(users), n_items))

    def likers_of(self, items: Rows, n_users: int) -> csr_array:
        """(b,) item rows -> (b, n_users) 0/1: who did something that speaks for them."""
        places, users, likes = self.first.likers_of(items)
        stays = ~np.isin(users, self.changed.users)
        later = self.changed.likers_of(items)
        return sparse(
            np.concatenate([places[stays], later[0]]),
            np.concatenate([users[stays], later[1]]),
            np.concatenate([likes[stays], later[2]]),
            (len(items), n_users),
        )

    def touched_by(self, items: Rows) -> Rows:
        """(b,) item rows -> (b,) about how many users each was touched by: never too few."""
        return self.first.count(items) + self.changed.count(items)

    def after(self, later: Touches) -> Touches:
        """These, and what was done after them."""
        new = later.table()
        touched = np.unique(new["user"])
        before = self.those_of(touched)[COLUMNS]
        own = _by_pair(pd.concat([before, new]))
        return Touches(self.first, Table(_in_order(self.changed.without(touched), own)))


def columns(rows: pd.DataFrame) -> Columns:
    """A table column by column, without a copy."""
    return {str(name): column.to_numpy() for name, column in rows.items()}


def liked(rows: Columns) -> Floats:
    """(n,) 1 for each row in which something speaks for the item, else 0."""
    return np.asarray(np.any([rows[name] for name in LIKES], axis=0), np.float32)


def likes(rows: Columns, shape: tuple[int, int]) -> csr_array:
    """The 0/1 matrix of who, by `place`, did something that speaks for which item."""
    return sparse(rows["place"], rows["item"], liked(rows), shape)


def sparse(
    rows: npt.ArrayLike, columns: npt.ArrayLike, values: Floats, shape: tuple[int, int]
) -> csr_array:
    """The matrix of pairs and their values; pairs of value 0 are not stored."""
    matrix = csr_array((values, (np.asarray(rows), np.asarray(columns))), shape=shape)
    matrix.eliminate_zeros()
    return matrix


def spread(starts: Rows, ends: Rows) -> tuple[Rows, Rows]:
    """(n,) ranges of numbers -> of each number in them, which range it is in, and itself."""
    lengths = ends - starts
    ranges = np.repeat(np.arange(len(starts)), lengths)
    within = np.arange(len(ranges)) - np.repeat(lengths.cumsum() - lengths, lengths)
    return ranges, np.repeat(starts, lengths) + within


def _rows_of(done: Sequence[Done], items: Vocabulary) -> Columns:
    """What was done, a row each; what was done with products without a row is left out."""
    rows = items.rows(each.product_id for each in done)
    kept = rows >= 0
    types = np.array([each.event_type for each in done])
    times = np.array([each.times for each in done])
    counts = {
        column: np.where(types == event_type, times, 0)[kept]
        for event_type, column in ALL_COUNTS.items()
    }
    last = np.array([each.last for each in done], "datetime64[ms]")
    return {"item": rows[kept], **counts, "last": last[kept]}


def _together(one: Columns, other: Columns) -> Columns:
    """One user's rows of two tables, as many an item as there may be -> one an item, in order."""
    items = np.concatenate([one["item"], other["item"]])
    order = np.argsort(items, kind="stable")
    items, starts = np.unique(items[order], return_index=True)
    summed = {
        name: (np.maximum if name == "last" else np.add).reduceat(
            np.concatenate([one[name], other[name]])[order], starts
        )
        for name in (*COUNTED, "last")
    }
    return {"item": items, **summed}


def _by_pair(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with as many a pair as there may be -> one a pair, in order."""
    how = dict.fromkeys(COUNTED, "sum") | {"last": "max"}
    table: pd.DataFrame = rows.groupby(["user", "item"], sort=True).agg(how).reset_index()
    return table


def _in_order(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """The rows of two tables of different users."""
    together: pd.DataFrame = pd.concat([one, other])
    return together.sort_values("user", kind="stable", ignore_index=True)


def _those_of(table: Table, users: Rows, places: Rows) -> pd.DataFrame:
    """The rows of the users at some places."""
    among, rows = table.of_users(users[places])
    return rows.assign(place=places[among])


def _matching(keys: Rows, wanted: Rows) -> tuple[Rows, Rows]:
    """Where sorted keys are what is wanted: places among the wanted, and among the keys."""
    return spread(_starts(keys, wanted), _starts(keys, wanted + 1))


def _starts(keys: Rows, wanted: Rows) -> Rows:
    """Where what is wanted would begin among sorted keys."""
    # Of another type than the keys, it would have all of them copied.
    return np.searchsorted(keys, wanted.astype(keys.dtype))
