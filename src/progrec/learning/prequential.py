"""Test, then train: models on a day that none of them has seen.

As in Gama et al. 2013, "On evaluating stream learning algorithms".
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from progrec import atomic
from progrec.learning import evaluation
from progrec.learning.bundle import Bundle
from progrec.learning.evaluation import Scorer, Task
from progrec.learning.evidence import DEMAND
from progrec.learning.vocabulary import Rows

UPDATED = "updated"
"""The name of the model that the chain has come to."""
METRICS = ("ndcg", "recall", "hr")
LATE = 1 + list(DEMAND).index("purchases_7")
"""The column of the demand that says what sold in the last days."""

Figures = dict[str, dict[str, float]]
"""Model -> metric -> mean over the day's users."""


@dataclass(frozen=True, eq=False)
class Served:
    """A bundle among the rows of another.

    Whom it does not know it serves with what is popular, as the service does; what it does not
    know it cannot serve.

    Attributes:
        bundle: who serves.
        asked: whose rows are asked for.
    """

    bundle: Bundle
    asked: Bundle

    def scores(self, users: Rows) -> npt.NDArray[np.float32]:
        """(b,) user rows -> (b, n_items)."""
        rows = self.bundle.users.rows(self.asked.users.ids[users])
        popularity = self.bundle.popularity / max(self.bundle.popularity.sum(), 1)
        own = np.tile(popularity.astype(np.float32), (len(users), 1))
        if (rows >= 0).any():
            own[rows >= 0] = self.bundle.probabilities(rows[rows >= 0])
        scores = np.full((len(users), len(self.asked.items)), -1, np.float32)
        there = self._items >= 0
        scores[:, self._items[there]] = own[:, there]
        return scores

    @cached_property
    def _items(self) -> Rows:
        """Of each of its items, the row that is asked for."""
        return self.asked.vocabulary.rows(self.bundle.item_ids)


@dataclass(frozen=True, eq=False)
class Late:
    """What sold in the last days, for everyone."""

    bundle: Bundle

    def scores(self, users: Rows) -> npt.NDArray[np.float32]:
        """(b,) user rows -> (b, n_items)."""
        return np.tile(self.bundle.evidence.demand[:, LATE], (len(users), 1))


def contenders(updated: Bundle, frozen: Bundle) -> dict[str, Scorer]:
    """The bundle as updated up to the day before, the cold model, and popularity of late."""
    return {
        UPDATED: Served(updated, updated),
        "frozen": Served(frozen, updated),
        "popularity": Late(updated),
    }


def measure(scorers: Mapping[str, Scorer], task: Task, k: int) -> Figures:
    """Means over a day's users of NDCG@k, Recall@k and HR@10; nothing if there are no users."""
    if len(task) == 0:
        return {}
    figures = {name: evaluation.evaluate(scorer, task, k) for name, scorer in scorers.items()}
    return {
        name: {metric: value for metric, value in means.items() if metric.startswith(METRICS)}
        for name, means in figures.items()
    }


def write(days: Sequence[tuple[date, int, Figures]], path: Path) -> None:
    """Writes a row a day: its date, how many users were measured, and each model's metrics."""
    rows = [
        {"date": day, "users": users}
        | {f"{model}/{metric}": value for model in each for metric, value in each[model].items()}
        for day, users, each in days
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    with atomic.replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(names) or ["date", "users"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
