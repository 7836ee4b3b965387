"""The ladder of candidates: what a bundle would show a shopper, whatever waits in the queue."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from progrec.learning.touches import Done
from progrec.serving.rules import Allowed

Source = Literal["queue", "model", "similar", "category_popular", "popular"]
"""Where a product comes from: the rungs of the ladder, best first."""

LADDER: tuple[Source, ...] = get_args(Source)

Scores = npt.NDArray[np.floating]
Objects = npt.NDArray[np.object_]


class ScoredCatalogue(Protocol):
    """What the recommender needs of a bundle: n products, and what each user would buy."""

    @property
    def digest(self) -> str:
        """What tells one bundle from another."""

    @property
    def watermark(self) -> date:
        """The last day whose events it knows."""

    @property
    def item_ids(self) -> Objects:
        """Product ids, shape (n,)."""

    @property
    def item_row(self) -> Mapping[str, int]:
        """Each product's place in `item_ids`."""

    @property
    def popularity(self) -> Scores:
        """How popular each product is, shape (n,); not negative."""

    @property
    def category(self) -> Objects:
        """Each product's category or None, shape (n,)."""

    @property
    def brand(self) -> Objects:
        """Each product's brand or None, shape (n,)."""

    def knows(self, user_id: str) -> bool:
        """Whether the model was trained with the user."""

    def scores(self, user_ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Purchase probabilities of known users, shape (users, n)."""

    def scores_after(self, user_id: str, done: Sequence[Done]) -> Scores | None:
        """Those of any user who has done something since, shape (n,); None if nothing is known."""


@dataclass(frozen=True)
class Candidate:
    """A product that could be shown, and why."""

    product_id: str
    score: float
    """The model's purchase probability, or else the product's share of all popularity."""
    source: Source


def candidates(
    catalogue: ScoredCatalogue,
    user_id: str,
    *,
    n: int,
    exclude: Collection[str],
    touched: Sequence[str],
    done: Sequence[Done] = (),
    allowed: Allowed | None = None,
) -> list[Candidate]:
    """The best products for a user, down the ladder.

    The products of the highest probability, if the model knows the user, or else some product that
    the user had to do with; then the most popular in the categories of the products that the user
    has touched; then the most popular of all.

    Args:
        catalogue: the bundle.
        user_id: the user.
        n: how many products.
        exclude: the products not to recommend.
        touched: products that the user had to do with, as far back as anybody knows.
        done: what the user has done that the bundle does not know.
        allowed: which products may be shown; None: all.

    Returns:
        At most `n` products, each once and none of `exclude`; fewer when the catalogue has no more.
    """
    probabilities = catalogue.scores_after(user_id, done)
    source: Source = "model" if catalogue.knows(user_id) else "similar"
    rungs = _rungs(catalogue, source, probabilities, touched)
    return _descend(catalogue, rungs, n, _free(catalogue, exclude, allowed))


def recommend_many(
    catalogue: ScoredCatalogue,
    user_ids: Sequence[str],
    *,
    k: int,
    exclude: Mapping[str, Collection[str]],
    batch_size: int = 256,
) -> pd.DataFrame:
    """The `k` best products of many users, without a queue.

    Args:
        catalogue: the bundle.
        user_ids: users; the popular products are for those whom the model does not know.
        k: products a user.
        exclude: for each user the products not to recommend: those purchased.
        batch_size: how many users are scored at once.

    Returns:
        A row a product: user_id, rank (from 1), product_id, score, source. A user has fewer than
        `k` rows when the catalogue has no more.
    """
    lists = offline(catalogue, user_ids, k=k, exclude=exclude, batch_size=batch_size)
    rows = [
        (user_id, rank, candidate.product_id, candidate.score, candidate.source)
        for user_id, found in lists
        for rank, candidate in enumerate(found, start=1)
    ]
    return pd.DataFrame(rows, columns=["user_id", "rank", "product_id", "score", "source"]).astype(
        {"user_id": "str", "rank": int, "product_id": "str", "score": float, "source": "str"}
    )


def offline(
    catalogue: ScoredCatalogue,
    user_ids: Sequence[str],
    *,
    k: int,
    exclude: Mapping[str, Collection[str]],
    batch_size: int,
) -> Iterator[tuple[str, list[Candidate]]]:
    """Each user's `k` best products, as `recommend_many` has them, user by user."""
    for start in range(0, len(user_ids), batch_size):
        yield from _batch(catalogue, user_ids[start : start + batch_size], k, exclude)


def _batch(
    catalogue: ScoredCatalogue,
    user_ids: Sequence[str],
    k: int,
    exclude: Mapping[str, Collection[str]],
) -> Iterator[tuple[str, list[Candidate]]]:
    known = [user_id for user_id in user_ids if catalogue.knows(user_id)]
    probabilities = dict(zip(known, catalogue.scores(known), strict=True)) if known else {}
    for user_id in user_ids:
        rungs = _rungs(catalogue, "model", probabilities.get(user_id), touched=())
        free = _free(catalogue, exclude.get(user_id, ()))
        yield user_id, _descend(catalogue, rungs, k, free)


def _rungs(
    catalogue: ScoredCatalogue,
    source: Source,
    probabilities: Scores | None,
    touched: Sequence[str],
) -> Iterator[tuple[Source, Scores]]:
    """The ladder below the queue: each rung's score of every product, -inf for one not on it."""
    if probabilities is not None:
        yield source, probabilities
    share = catalogue.popularity / (catalogue.popularity.sum() or 1.0)
    rows = [
        catalogue.item_row[product_id] for product_id in touched if product_id in catalogue.item_row
    ]
    categories = set(catalogue.category[rows]) - {None}
    if categories:
        on_rung = map(categories.__contains__, catalogue.category)
        yield "category_popular", np.where(np.fromiter(on_rung, bool, len(share)), share, -np.inf)
    yield "popular", share


def _free(
    catalogue: ScoredCatalogue, exclude: Collection[str], allowed: Allowed | None = None
) -> npt.NDArray[np.bool_]:
    """Which products may be shown, shape (n,)."""
    if allowed is None:
        free = np.ones(len(catalogue.item_ids), dtype=bool)
    else:
        free = np.fromiter(map(allowed, catalogue.item_ids), bool, len(catalogue.item_ids))
    free[[catalogue.item_row[item] for item in exclude if item in catalogue.item_row]] = False
    return free


def _descend(
    catalogue: ScoredCatalogue,
    rungs: Iterator[tuple[Source, Scores]],
    n: int,
    free: npt.NDArray[np.bool_],
) -> list[Candidate]:
    """The best free products down the rungs; `free` is used up."""
    found: list[Candidate] = []
    for source, scores in rungs:
        rows = _best(np.where(free, scores, -np.inf), n - len(found))
        free[rows] = False
        found += [Candidate(catalogue.item_ids[row], float(scores[row]), source) for row in rows]
        if len(found) == n:
            break
    return found


def _best(scores: Scores, n: int) -> npt.NDArray[np.intp]:
    """The rows of the n highest scores, highest first and equal ones by row; never one of -inf."""
    n = min(n, int(np.count_nonzero(scores > -np.inf)))
    if n == 0:
        return np.empty(0, dtype=np.intp)
    # Not argpartition: which of the equal scores it lets in is not determined.
    least = np.partition(scores, -n)[-n]
    above = np.flatnonzero(scores > least)
    level = np.flatnonzero(scores == least)[: n - len(above)]
    rows = np.concatenate([above, level])
    return rows[np.argsort(-scores[rows], kind="stable")]
