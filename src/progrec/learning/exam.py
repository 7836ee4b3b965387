"""What two bundles make of the purchases of some days, told what was known before them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.sparse import csr_array
from torch import Tensor

from progrec.learning import evaluation, intervals
from progrec.learning.bundle import Bundle
from progrec.learning.dataset import matrix
from progrec.learning.evaluation import Task
from progrec.learning.evidence import Evidence
from progrec.learning.fold_in import FoldIn
from progrec.learning.ncf import NCF
from progrec.learning.vocabulary import Rows, Vocabulary


@dataclass(frozen=True)
class Marks:
    """Means over an exam's users, each in [0, 1]."""

    ndcg: float
    recall: float


@dataclass(frozen=True)
class Result:
    """What an exam says of two bundles.

    Attributes:
        users: how many were asked about; at least one.
        champion: the champion's marks.
        challenger: the challenger's.
        low: lower bound of the 95 % interval of the challenger's NDCG less the champion's.
        high: its upper bound.
    """

    users: int
    champion: Marks
    challenger: Marks
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Exam:
    """What users whom two bundles know bought for the first time in some days.

    Attributes:
        users: t users.
        items: n items: those that one of the bundles knows and somebody had to do with before the
            days. What came later could not have been recommended, and is neither ranked nor asked.
        task: of the users and items; all else that a user ever bought is not ranked.
        known: what was known before the days, by these users and items; no item has neighbours.
        seed: of the resampling.
    """

    users: Vocabulary
    items: Vocabulary
    task: Task
    known: Evidence
    seed: int

    @classmethod
    def of(
        cls,
        champion: Bundle,
        challenger: Bundle,
        interactions: pd.DataFrame,
        first: date,
        last: date,
        *,
        max_users: int,
        seed: int,
    ) -> Exam:
        """The exam on the days from the first to the last.

        A purchase that only one of the bundles has on record counts, too.

        Args:
            champion: one bundle.
            challenger: the other.
            interactions: what everybody did, a row a (date, user, item); from the first day on it
                is not looked at.
            first: the first day.
            last: the last one.
            max_users: of more buyers, so many are drawn.
            seed: of the draw.
        """
        before = interactions[interactions["date"] < first]
        shared = challenger.users.rows(champion.users.ids) >= 0
        users = Vocabulary(champion.users.ids[shared])
        every = champion.vocabulary.grown(challenger.item_ids).ids
        items = Vocabulary(every[np.isin(every, before["item_id"].unique())])
        records = pd.concat([_purchases(each, users, items) for each in (champion, challenger)])
        bought = records.groupby(["user", "item"], as_index=False)["date"].min()
        wanted = bought["date"].between(pd.Timestamp(first), pd.Timestamp(last))
        buyers = bought.loc[wanted, "user"].unique()
        drawn = np.sort(np.random.default_rng(seed).permutation(buyers)[:max_users])
        place = np.full(len(users), -1)
        place[drawn] = np.arange(len(drawn))
        task = Task.of(
            *(
                matrix(place[rows["user"]], rows["item"].to_numpy(), (len(drawn), len(items)))
                for rows in (bought[~wanted], bought[wanted])
            )
        )
        asked = Vocabulary(users.ids[drawn])
        before = before[items.rows(before["item_id"]) >= 0]
        known = Evidence.of(before, asked, items, first - timedelta(1))
        return cls(asked, items, task, known, seed)

    def frozen(self, champion: Bundle, challenger: Bundle, k: int) -> Result | None:
        """Whether the weights still know the days: both are told the same of what was before them.

        The neighbours are the champion's, or the challenger's if the champion needs none.

        Returns:
            NDCG and recall at k; None if there is no user.
        """
        told = self._told(champion if champion.network.fusion else challenger)
        return self._result(self._seen(champion, told), self._seen(challenger, told), k)

    def recent(self, champion: Bundle, challenger: Bundle, k: int) -> Result | None:
        """Whether the days would have been foretold: each makes of what was before what it can.

        Returns:
            NDCG and recall at k; None if there is no user.
        """
        one, other = (self._seen(each, self._told(each)) for each in (champion, challenger))
        return self._result(one, other, k)

    def _result(self, champion: Examinee, challenger: Examinee, k: int) -> Result | None:
        if len(self.task) == 0:
            return None
        one, other = (
            evaluation.measure(each, self.task, k).by_user() for each in (champion, challenger)
        )
        values, others = (each[f"ndcg@{k}"][:, None] for each in (other, one))
        found = intervals.difference(values, others, self.seed)
        old, new = (
            Marks(float(each[f"ndcg@{k}"].mean()), float(each[f"recall@{k}"].mean()))
            for each in (one, other)
        )
        low, high = float(found.low[0]), float(found.high[0])
        return Result(len(self.task), old, new, low, high)

    def _told(self, bundle: Bundle) -> Evidence:
        """What was known, with the neighbours that a bundle has found."""
        pairs, items = bundle.evidence.neighbours.tocoo(), self.items.rows(bundle.item_ids)
        rows, columns = items[pairs.row], items[pairs.col]
        there = (rows >= 0) & (columns >= 0)
        shape = (len(self.items), len(self.items))
        values = pairs.data[there], (rows[there], columns[there])
        return replace(self.known, neighbours=csr_array(values, shape=shape))

    def _seen(self, bundle: Bundle, told: Evidence) -> Examinee:
        rows = bundle.vocabulary.rows(self.items.ids)
        items = np.flatnonzero(rows >= 0)
        users = torch.from_numpy(bundle.users.rows(self.users.ids))
        network = bundle.network.part(users, torch.from_numpy(rows[items]))
        return Examinee(
            network,
            told if network.fusion else None,
            self._embeddings(bundle, users, rows),
            items,
            len(self.items),
        )

    def _embeddings(self, bundle: Bundle, users: Tensor, items: Rows) -> Tensor:
        """(t, width) the users as they were before the days, as far as the network can tell.

        Its own rows know the answers: least squares make others of what was liked before. Towers
        that started from noise have none but their own.

        Args:
            bundle: whose network.
            users: (t,) the bundle's row of each user.
            items: (n,) the bundle's row of each item, -1 of those that it does not know.
        """
        if bundle.recipe.start is None:
            with torch.no_grad():
                own: Tensor = bundle.network.users(users)
            return own
        liked = self.known.likes().tocoo()
        likes = matrix(liked.row, items[liked.col], (len(users), len(bundle.items)))
        return FoldIn.of(bundle.network, bundle.recipe.start).embeddings(likes)


@dataclass(frozen=True, eq=False)
class Examinee:
    """A network as an exam's users and items see it.

    Attributes:
        network: what is examined; its items are those of the exam that it knows.
        evidence: what its fusion gets, by the exam's rows; None if towers alone decide.
        embeddings: (t, width) of the users.
        items: (m,) the exam's row of each of the network's items.
        n_items: how many items the exam has.
    """

    network: NCF
    evidence: Evidence | None
    embeddings: Tensor
    items: Rows
    n_items: int

    def scores(self, users: Rows) -> npt.NDArray[np.float32]:
        """(b,) user rows -> (b, n_items) purchase probabilities.

        Minus infinity, the end of the ranking, of items that the network does not know, and where
        its answer is no number.
        """
        known = None if self.evidence is None else self.evidence.inputs(users, self.items)
        found = self.network.probabilities_for(self.embeddings[users], known).numpy()
        scores = np.full((len(users), self.n_items), -np.inf, np.float32)
        scores[:, self.items] = np.where(np.isnan(found), -np.inf, found)
        return scores


def _purchases(bundle: Bundle, users: Vocabulary, items: Vocabulary) -> pd.DataFrame:
    """What a bundle has on record of some users and items, by the rows of these."""
    frame = pd.DataFrame(
        {
            "user": users.rows(bundle.users.ids)[bundle.purchases["user"]],
            "item": items.rows(bundle.item_ids)[bundle.purchases["item"]],
            "date": pd.to_datetime(bundle.purchases["date"]).to_numpy(),
        }
    )
    return frame[(frame["user"] >= 0) & (frame["item"] >= 0)]
