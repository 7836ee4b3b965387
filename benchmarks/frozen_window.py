"""What an update has kept of history: old purchases foretold from what was known before them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional

from progrec.learning import dataset, evaluation
from progrec.learning.bundle import Bundle
from progrec.learning.evaluation import Task
from progrec.learning.evidence import Evidence
from progrec.learning.fold_in import FoldIn
from progrec.learning.history import History
from progrec.learning.ncf import NCF
from progrec.learning.vocabulary import Rows


@dataclass(frozen=True, eq=False)
class Then:
    """A network that is told what was known at a moment, and nothing later.

    Attributes:
        network: its first items are those of the evidence.
        evidence: what was known.
        embeddings: (n_users, width) of the users, from what they had liked.
    """

    network: NCF
    evidence: Evidence
    embeddings: Tensor

    @classmethod
    def of(cls, bundle: Bundle, evidence: Evidence) -> Then:
        """Takes a bundle's network, which knows nothing of the users but what they had liked."""
        likes = evidence.likes()
        likes.resize(evidence.n_users, len(bundle.items))
        embeddings = FoldIn.of(bundle.network, bundle.recipe.start).embeddings(likes)
        return cls(bundle.network, evidence, embeddings)

    def scores(self, users: Rows) -> npt.NDArray[np.float32]:
        """(b,) user rows -> (b, n_items)."""
        n_items = self.evidence.n_items
        later = self.network.n_items - n_items
        known = functional.pad(self.evidence.inputs(users), (0, 0, 0, later))
        found = self.network.probabilities_for(self.embeddings[users], known)
        return np.asarray(found[:, :n_items].numpy())


def ratio(cold: Bundle, updated: Bundle, history: History, first: date, k: int) -> float:
    """NDCG@k of an updated network to the cold one's, on what was bought in a window.

    Args:
        cold: the model of all history.
        updated: what it has become; no row has expired.
        history: its tables.
        first: the first day of the window, which lasts until history's end.
        k: length of the lists.
    """
    then = history.interactions[history.interactions["date"] < first]
    users, items = cold.users, cold.vocabulary
    known = Evidence.of(then, users, items, first - timedelta(1))
    known = replace(known, neighbours=cold.evidence.neighbours)
    bought, later = (dataset.bought(rows, users, items) for rows in (then, history.interactions))
    task = Task.of(bought, later - bought)
    now, before = (
        evaluation.evaluate(Then.of(bundle, known), task, k)[f"ndcg@{k}"]
        for bundle in (updated, cold)
    )
    return now / before
