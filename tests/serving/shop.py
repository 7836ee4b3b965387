"""A shop small enough to know every answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import numpy.typing as npt

from progrec.learning.touches import Done
from progrec.learning.vocabulary import Rows


class Ranked:
    """A user's probabilities of all products, ranked the plain way."""

    def __init__(self, probabilities: Sequence[float]) -> None:
        self._all = np.array(probabilities, dtype=np.float32)

    def best(self, n: int, free: npt.NDArray[np.bool_]) -> tuple[Rows, npt.NDArray[np.float32]]:
        ranked = sorted(np.flatnonzero(free).tolist(), key=lambda row: (-self._all[row], row))
        rows = np.array(ranked[:n], dtype=np.intp)
        return rows, self._all[rows]

    def probabilities(self, rows: Rows) -> npt.NDArray[np.float32]:
        return self._all[rows]


class Shop:
    """Eight products: four books (b), three cups (c) and one of no category (x).

    All of them ties somewhere: popularity falls b0 = c0 > b1 = c1 > ... > x.
    """

    digest = "digest-of-the-shop"
    watermark = date(2020, 1, 31)
    item_ids = np.array(["b0", "b1", "b2", "b3", "c0", "c1", "c2", "x"], dtype=object)
    item_row = {item: row for row, item in enumerate(item_ids)}  # noqa: RUF012
    popularity = np.array([40.0, 30.0, 20.0, 10.0, 40.0, 30.0, 20.0, 10.0])
    category = np.array([*["book"] * 4, *["cup"] * 3, None], dtype=object)
    brand = np.array(["odd", "even"] * 4, dtype=object)
    probabilities = {  # noqa: RUF012
        "ann": [0.1, 0.2, 0.3, 0.4, 0.9, 0.9, 0.9, 0.05],
        "bob": [0.5] * 8,
    }
    like_c1 = (0.1, 0.1, 0.1, 0.1, 0.3, 0.8, 0.7, 0.6)
    """What those will buy of whom nothing is known but that they had to do with c1."""

    def knows(self, user_id: str) -> bool:
        return user_id in self.probabilities

    def ranking_after(self, user_id: str, done: Sequence[Done]) -> Ranked | None:
        if self.knows(user_id):
            return Ranked(self.probabilities[user_id])
        if any(each.product_id == "c1" for each in done):
            return Ranked(self.like_c1)
        return None
