"""What two bundles make of the purchases of some days: from what they hold, without any table."""

from __future__ import annotations

from dataclasses import dataclass
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
from progrec.learning.touches import COLUMNS, Touches
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
        items: n items: those that one of the bundles knows.
        task: of the users and items; all else that a user ever bought is not ranked.
        first: the first of the days.
        seed: of the resampling.
    """

    users: Vocabulary
    items: Vocabulary
    task: Task
    first: date
    seed: int

    @classmethod
    def of(
        cls,
        champion: Bundle,
        challenger: Bundle,
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
            first: the first day.
            last: the last one.
            max_users: of more buyers, so many are drawn.
            seed: of the draw.
        """
        shared = challenger.users.rows(champion.users.ids) >= 0
        users = Vocabulary(champion.users.ids[shared])
        items = champion.vocabulary.grown(challenger.item_ids)
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
        return cls(Vocabulary(users.ids[drawn]), items, task, first, seed)

    def frozen(self, champion: Bundle, challenger: Bundle, k: int) -> Result | None:
        """Whether the weights still know the days: both are told the same of what was before them.

        It is what the champion knows, or the challenger if the champion needs nothing.

        Returns:
            NDCG and recall at k; None if there is no user.
        """
        known = self._evidence(champion if champion.network.fusion else challenger)
        return self._result(self._seen(champion, known), self._seen(challenger, known), k)

    def recent(self, champion: Bundle, challenger: Bundle, k: int) -> Result | None:
        """Whether the days would have been foretold: each is told what it knows of before them.

        Returns:
            NDCG and recall at k; None if there is no user.
        """
        return self._result(
            self._seen(champion, self._evidence(champion)),
            self._seen(challenger, self._evidence(challenger)),
            k,
        )

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

    def _seen(self, bundle: Bundle, known: Evidence) -> Examinee:
        items = self.items.rows(bundle.item_ids)
        return Examinee(
            bundle.network,
            known if bundle.network.fusion else None,
            self._embeddings(bundle, known, items),
            items,
            len(self.items),
        )

    def _embeddings(self, bundle: Bundle, known: Evidence, items: Rows) -> Tensor:
        """(t, width) the users as they were before the days, as far as the network can tell.

        Its own rows know the answers: least squares make others of what was liked before. Towers
        that started from noise have none but their own.
        """
        if bundle.recipe.start is None:
            rows = torch.from_numpy(bundle.users.rows(self.users.ids))
            with torch.no_grad():
                own: Tensor = bundle.network.users(rows)
            return own
        likes = known.touches.likes_of(np.arange(len(self.users)), len(self.items))
        return FoldIn.of(bundle.network, bundle.recipe.start).embeddings(likes[:, items])

    def _evidence(self, bundle: Bundle) -> Evidence:
        """What a bundle knows of the exam's users before the days, by the exam's rows.

        What they had to do with again on the days or later is left out whole.
        """
        known = bundle.evidence
        n_items = len(self.items)
        items = self.items.rows(bundle.item_ids)
        rows = known.touches.those_of(bundle.users.rows(self.users.ids))
        rows = rows[rows["last"] < pd.Timestamp(self.first)]
        rows = rows.assign(user=rows["place"], item=items[rows["item"]])[COLUMNS]
        done = Touches.of(rows.sort_values(["user", "item"], ignore_index=True))
        demand = np.zeros((n_items, known.demand.shape[1]), np.float32)
        demand[items] = known.demand
        pairs = known.neighbours.tocoo()
        places = (items[pairs.row], items[pairs.col])
        neighbours = csr_array((pairs.data, places), shape=(n_items, n_items))
        before = self.first - timedelta(1)
        return Evidence(done, demand, neighbours, len(self.users), before)


@dataclass(frozen=True, eq=False)
class Examinee:
    """A network as an exam's users and items see it.

    Attributes:
        network: what is examined.
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
        known = None if self.evidence is None else self.evidence.inputs(users)[:, self.items]
        found = self.network.probabilities_for(self.embeddings[users], known).numpy()
        scores = np.full((len(users), self.n_items), -np.inf, np.float32)
        scores[:, self.items] = np.where(np.isnan(found), -np.inf, found)
        return scores


def _purchases(bundle: Bundle, users: Vocabulary, items: Vocabulary) -> pd.DataFrame:
    """What a bundle has on record of some users, by the rows of these users and items."""
    frame = pd.DataFrame(
        {
            "user": users.rows(bundle.users.ids)[bundle.purchases["user"]],
            "item": items.rows(bundle.item_ids)[bundle.purchases["item"]],
            "date": pd.to_datetime(bundle.purchases["date"]).to_numpy(),
        }
    )
    return frame[frame["user"] >= 0]
