"""Full ranking of the catalogue against what users bought next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from progrec.learning import metrics
from progrec.learning.vocabulary import Rows

BATCH = 256
COLUMNS = ("k", "ndcg", "recall", "hr", "coverage")


class Scorer(Protocol):
    """Anything that scores every item for a user."""

    def scores(self, users: Rows) -> npt.NDArray[np.float32]:
        """(b,) user rows -> (b, n_items) scores, higher is better."""
        ...


@dataclass(frozen=True, eq=False)
class Task:
    """Whom to recommend to, and what would have been right.

    Attributes:
        users: (t,) rows of the users who have a target, ascending.
        bought: (t, n_items) 0/1, what each of them had bought before.
        targets: (t, n_items) 0/1, what each bought in the window and never before.
    """

    users: Rows
    bought: csr_array
    targets: csr_array

    @classmethod
    def of(cls, bought: csr_array, next_bought: csr_array) -> Task:
        """The task of users (all of them, by row) who bought this before and that next."""
        new = csr_array(next_bought - next_bought.multiply(bought))
        new.eliminate_zeros()
        users = np.flatnonzero(np.diff(new.indptr))
        return cls(users, csr_array(bought[users]), csr_array(new[users]))

    def __len__(self) -> int:
        return len(self.users)


def evaluate(scorer: Scorer, task: Task, k: int) -> dict[str, float]:
    """Means over the task's users of the metrics at k.

    What a user has bought is not ranked.

    Returns:
        `ndcg@k`, `recall@k`, `hr@k` and `coverage@k`, each in [0, 1]; nothing if the task has no
        user.
    """
    if len(task) == 0:
        return {}
    row = _measure(_rank(scorer, task, k), task)
    return {f"{name}@{k}": value for name, value in row.items() if name != "k"}


def curve(scorer: Scorer, task: Task, k: int) -> list[dict[str, float]]:
    """The metrics at every list length from 1 to k, under the names in `COLUMNS`."""
    if len(task) == 0:
        return []
    ranked = _rank(scorer, task, k)
    return [_measure(ranked[:, :length], task) for length in range(1, ranked.shape[1] + 1)]


def _measure(ranked: npt.NDArray[np.int64], task: Task) -> dict[str, float]:
    hit = metrics.hits(ranked, task.targets)
    n_targets = np.diff(task.targets.indptr)
    return {
        "k": ranked.shape[1],
        "ndcg": float(metrics.ndcg(hit, n_targets).mean()),
        "recall": float(metrics.recall(hit, n_targets).mean()),
        "hr": float(metrics.hit_rate(hit).mean()),
        "coverage": metrics.coverage(ranked, task.targets.shape[1]),
    }


def _rank(scorer: Scorer, task: Task, k: int) -> npt.NDArray[np.int64]:
    return np.concatenate(list(_ranked(scorer, task, k)))


def _ranked(scorer: Scorer, task: Task, k: int) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, len(task), BATCH):
        batch = slice(start, start + BATCH)
        scores = scorer.scores(task.users[batch]).copy()
        scores[task.bought[batch].nonzero()] = -np.inf
        yield metrics.top(scores, k)
