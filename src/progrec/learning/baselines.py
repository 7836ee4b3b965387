"""What a recommender has to beat."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from progrec.learning.vocabulary import Rows


class Popularity:
    """The same list for everyone: the items that were bought most often."""

    def __init__(self, purchases: npt.NDArray[np.float32]) -> None:
        """Takes (n_items,) numbers of purchases."""
        self.purchases = purchases

    def scores(self, users: Rows) -> npt.NDArray[np.float32]:
        """(b,) user rows -> (b, n_items) numbers of purchases."""
        return np.tile(self.purchases, (len(users), 1))
