"""Opaque ids outside, dense rows inside."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd

Rows = npt.NDArray[np.int64]
Ids = npt.NDArray[np.object_]


class Vocabulary:
    """The ids that a model knows; an id's row is its place.

    One that has grown looks its first ids up where the one before it does, so that growing costs
    what the new ids cost.
    """

    def __init__(self, ids: Ids, base: Vocabulary | None = None) -> None:
        """Takes (n,) distinct strings, and the vocabulary that they have grown from, if they have.

        Raises:
            ValueError: an id is there twice.
        """
        self.ids = ids
        first = _index(ids) if base is None else base._indexes[0]
        self._indexes: tuple[pd.Index[str], ...] = (first, _index(ids[len(first) :]))

    @classmethod
    def of(cls, ids: Iterable[str]) -> Vocabulary:
        """The distinct ids, in order of their text."""
        return cls(np.array(sorted(set(ids)), dtype=object))

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: Iterable[str]) -> Rows:
        """The row of each id; -1 for one that is not known."""
        wanted = pd.Index(list(ids), dtype=object)
        rows, first = np.full(len(wanted), -1), 0
        for index in self._indexes:
            places = index.get_indexer(wanted)
            np.copyto(rows, places + first, where=places >= 0)
            first += len(index)
        return rows

    def row(self, name: str) -> int:
        """The row of one id, for which `rows` takes a hundred times as long; -1 if not known."""
        first = 0
        for index in self._indexes:
            if name in index:
                place: int = index.get_loc(name)  # type: ignore[assignment]  # there once
                return first + place
            first += len(index)
        return -1

    def grown(self, ids: Iterable[str]) -> Vocabulary:
        """This vocabulary with the new ids after its own, in order of their text."""
        several = list(set(ids))
        new = sorted(name for name, row in zip(several, self.rows(several), strict=True) if row < 0)
        if not new:
            return self
        return Vocabulary(np.concatenate([self.ids, np.array(new, dtype=object)]), self)


def _index(ids: Ids) -> pd.Index[str]:
    """Where each id stands, ready to be asked."""
    index = pd.Index(ids, dtype=object)
    if not index.is_unique:
        raise ValueError("an id is there twice")
    return index
