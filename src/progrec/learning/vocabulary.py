"""Opaque ids outside, dense rows inside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The ids that a model knows; an id's row is its place.

    Attributes:
        ids: (n,) distinct strings.
    """

    ids: npt.NDArray[np.object_]

    @classmethod
    def of(cls, ids: Iterable[str]) -> Vocabulary:
        """The distinct ids, in order of their text."""
        return cls(np.array(sorted(set(ids)), dtype=object))

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _index(self) -> pd.Index[str]:
        return pd.Index(self.ids)

    def rows(self, ids: Iterable[str]) -> Rows:
        """The row of each id; -1 for one that is not known."""
        return np.asarray(self._index.get_indexer(pd.Index(list(ids), dtype=object)), np.int64)

    def grown(self, ids: Iterable[str]) -> Vocabulary:
        """This vocabulary with the new ids after its own, in order of their text."""
        new = sorted(set(ids).difference(self.ids))
        return Vocabulary(np.concatenate([self.ids, np.array(new, dtype=object)]))
