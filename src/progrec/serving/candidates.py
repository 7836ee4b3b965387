"""The ladder of candidates: what a bundle would show a shopper, whatever waits in the queue."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from progrec.learning.catalogue import Mask, contenders
from progrec.learning.touches import Done
from progrec.learning.vocabulary import Rows

Source = Literal["queue", "model", "similar", "category_popular", "popular"]
"""Where a product comes from: the rungs of the ladder, best first."""

LADDER: tuple[Source, ...] = get_args(Source)

Scores = npt.NDArray[np.floating]
Objects = npt.NDArray[np.object_]


class Ranking(Protocol):
    """A bundle's n products with one user."""

    def best(self, n: int, free: Mask) -> tuple[Rows, Scores]:
        """The n free products of the highest probability.

        Returns:
            Their rows, best first and equal ones in order, and their probabilities.
        """

    def probabilities(self, rows: Rows) -> Scores:
        """(m,) rows of products -> (m,) purchase probabilities."""


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

    def ranking_after(self, user_id: str, done: Sequence[Done]) -> Ranking | None:
        """What any user would buy, who has done something since.

        None if nothing is known of the user.
        """


class Selection(Protocol):
    """Which products may be shown, as one is asked of a product and of a whole bundle at once."""

    def __call__(self, product_id: str) -> bool:
        """Whether a product may be shown."""

    def among(self, catalogue: ScoredCatalogue) -> Mask:
        """Which of a bundle's n products may be shown, shape (n,)."""


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
    allowed: Selection | None = None,
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
    source: Source = "model" if catalogue.knows(user_id) else "similar"
    ranking = catalogue.ranking_after(user_id, done)
    rungs = _rungs(catalogue, source, ranking, touched)
    return _descend(catalogue, rungs, n, _free(catalogue, exclude, allowed))


Best = Callable[[int, Mask], tuple[Rows, Scores]]
"""How many, and the (n,) free products -> the rows of a rung's best, as `Ranking.best` has them."""


def _rungs(
    catalogue: ScoredCatalogue,
    source: Source,
    ranking: Ranking | None,
    touched: Sequence[str],
) -> Iterator[tuple[Source, Best]]:
    """The ladder below the queue."""
    if ranking is not None:
        yield source, ranking.best
    share = catalogue.popularity / (catalogue.popularity.sum() or 1.0)
    rows = [
        catalogue.item_row[product_id] for product_id in touched if product_id in catalogue.item_row
    ]
    categories = set(catalogue.category[rows]) - {None}
    if categories:
        on_rung = map(categories.__contains__, catalogue.category)
        shelves = np.fromiter(on_rung, bool, len(share))
        yield "category_popular", lambda n, free: _best(share, n, free & shelves)
    yield "popular", lambda n, free: _best(share, n, free)


def _free(catalogue: ScoredCatalogue, exclude: Collection[str], allowed: Selection | None) -> Mask:
    """Which products may be shown, shape (n,)."""
    if allowed is None:
        free = np.ones(len(catalogue.item_ids), dtype=bool)
    else:
        free = allowed.among(catalogue)
    free[[catalogue.item_row[item] for item in exclude if item in catalogue.item_row]] = False
    return free


def _descend(
    catalogue: ScoredCatalogue,
    rungs: Iterator[tuple[Source, Best]],
    n: int,
    free: Mask,
) -> list[Candidate]:
    """The best free products down the rungs; `free` is used up."""
    found: list[Candidate] = []
    for source, best in rungs:
        rows, scores = best(n - len(found), free)
        free[rows] = False
        products = zip(catalogue.item_ids[rows].tolist(), scores.tolist(), strict=True)
        found += [Candidate(item, score, source) for item, score in products]
        if len(found) == n:
            break
    return found


def _best(scores: Scores, n: int, free: Mask) -> tuple[Rows, Scores]:
    rows = contenders(np.where(free, scores, -np.inf), n)
    rows = rows[np.argsort(-scores[rows], kind="stable")[:n]]
    return rows, scores[rows]
