"""Full ranking of the catalogue against what users bought next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from progrec.learning import metrics
from progrec.learning.metrics import Floats, Integers, Mask, Places
from progrec.learning.vocabulary import Rows

BATCH = 256
MODEL = "ncf"
"""Name of the scorer that has to beat the others."""
HITS = 10
"""Length of the list whose hit rate is measured."""
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


@dataclass(frozen=True, eq=False)
class Measurement:
    """What a scorer makes of a task.

    Accuracy is expected over the orders of items with equal scores; the lists are those that would
    be shown, where equals stand by item row.

    Attributes:
        k: how many items were asked for.
        n_items: length of the catalogue.
        lists: (t, min(k, n_items)) item rows, best first, -1 for no item.
        places: where the users' targets stand.
    """

    k: int
    n_items: int
    lists: Integers
    places: Places

    def by_user(self) -> dict[str, Floats]:
        """Each user's `ndcg@k`, `recall@k`, `hr@10` and `mrr`: (t,) in [0, 1]."""
        return _by_user(self.places, self.k)

    def among(self, items: Mask) -> dict[str, Floats]:
        """The same of the users who have a target among some items, these as their only targets.

        Args:
            items: (n_items,) which.
        """
        return _by_user(self.places.among(items), self.k)

    @property
    def shown(self) -> Integers:
        """(n_items,) in how many users' lists each item is."""
        return np.bincount(self.lists[self.lists >= 0], minlength=self.n_items)

    def of_lists(self, users: Mask, tail: Mask) -> dict[str, float]:
        """`coverage@k`, `gini@k` and `long_tail@k` of the lists of some users, each in [0, 1].

        Args:
            users: (t,) whose.
            tail: (n_items,) which items are in the long tail.
        """
        lists = self.lists[users]
        return {
            f"coverage@{self.k}": metrics.coverage(lists, self.n_items),
            f"gini@{self.k}": metrics.gini(lists, self.n_items),
            f"long_tail@{self.k}": metrics.long_tail_share(lists, tail),
        }

    def curve(self) -> list[dict[str, float]]:
        """The means at every list length from 1 to the lists', under the names in `COLUMNS`."""
        return [
            {
                "k": k,
                "ndcg": float(metrics.ndcg(self.places, k).mean()),
                "recall": float(metrics.recall(self.places, k).mean()),
                "hr": float(metrics.hit_rate(self.places, k).mean()),
                "coverage": metrics.coverage(self.lists[:, :k], self.n_items),
            }
            for k in range(1, self.lists.shape[1] + 1)
        ]


def measure(scorer: Scorer, task: Task, k: int) -> Measurement:
    """Ranks all items for each user of a task, less what the user has bought.

    Args:
        scorer: what ranks.
        task: of at least one user.
        k: length of the lists; the catalogue's length if that is shorter.

    Raises:
        ValueError: a score is NaN, or the task has no user.
    """
    lists, places = [], []
    for start in range(0, len(task), BATCH):
        batch = slice(start, start + BATCH)
        scores = scorer.scores(task.users[batch]).copy()
        scores[task.bought[batch].nonzero()] = -np.inf
        lists.append(metrics.top(scores, k))
        places.append(metrics.places(scores, task.targets[batch]))
    return Measurement(k, task.targets.shape[1], np.concatenate(lists), Places.joined(places))


def evaluate(scorer: Scorer, task: Task, k: int) -> dict[str, float]:
    """Means over the task's users of the metrics at k.

    What a user has bought is not ranked.

    Returns:
        `ndcg@k`, `recall@k`, `hr@10`, `mrr` and `coverage@k`, each in [0, 1]; nothing if the task
        has no user.
    """
    if len(task) == 0:
        return {}
    measured = measure(scorer, task, k)
    means = {name: float(values.mean()) for name, values in measured.by_user().items()}
    return means | {f"coverage@{k}": metrics.coverage(measured.lists, measured.n_items)}


def _by_user(places: Places, k: int) -> dict[str, Floats]:
    return {
        f"ndcg@{k}": metrics.ndcg(places, k),
        f"recall@{k}": metrics.recall(places, k),
        f"hr@{HITS}": metrics.hit_rate(places, HITS),
        "mrr": metrics.mrr(places),
    }
