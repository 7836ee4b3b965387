"""What shoppers did before the cutoff, as learning reads it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_array

from progrec.learning import dataset
from progrec.learning.evidence import Evidence
from progrec.learning.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class History:
    """History's tables, and the rows of their ids.

    Attributes:
        interactions: the interaction table.
        item_features: one row an item, in the order of `items`.
        users: the users' rows.
        items: the items' rows.
    """

    interactions: pd.DataFrame
    item_features: pd.DataFrame
    users: Vocabulary
    items: Vocabulary

    @classmethod
    def read(cls, folder: Path) -> History:
        """Reads what the features stage wrote."""
        interactions = dataset.read_interactions(folder / dataset.EVENTS)
        return cls.of(interactions, dataset.read_table(folder / "item_features.parquet"))

    @classmethod
    def of(cls, interactions: pd.DataFrame, item_features: pd.DataFrame) -> History:
        """Takes the tables; all items that the first names are in the second."""
        users = Vocabulary.of(interactions["user_id"].unique())
        items = Vocabulary(item_features["item_id"].to_numpy(object))
        return cls(interactions, item_features, users, items)

    def before(self, day: date) -> History:
        """What was known before a day."""
        interactions = self.interactions[self.interactions["date"] < day]
        is_known = self.item_features["item_id"].isin(interactions["item_id"])
        return self.of(interactions, self.item_features[is_known])

    @property
    def bought(self) -> csr_array:
        """(n_users, n_items) 0/1: who bought what."""
        return dataset.bought(self.interactions, self.users, self.items)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(n_users,) how many different items each user had bought."""
        return np.asarray(np.diff(self.bought.indptr), np.int64)

    def first_seen_since(self, day: date) -> npt.NDArray[np.bool_]:
        """(n_items,) which items nobody had to do with before a day."""
        earlier = self.interactions.loc[self.interactions["date"] < day, "item_id"]
        return ~pd.Index(self.items.ids).isin(earlier)

    def bought_later(self, longer: History) -> csr_array:
        """(n_users, n_items) 0/1: who of this history's users bought what by a longer one's end."""
        return dataset.bought(longer.interactions, self.users, self.items)

    def evidence(self, day: date) -> Evidence:
        """All that its users have done, as of the end of a day that is not before its last one."""
        return Evidence.of(self.interactions, self.users, self.items, day)
