"""What to show a shopper: the queue first, and the ladder of candidates that refills it."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from progrec.learning.touches import Done
from progrec.serving import journal, kept, queues, rules, sessions
from progrec.serving.journal import write
from progrec.serving.rules import Allowed
from progrec.serving.store import Store
from progrec.settings import QueueSettings

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

    def knows(self, user_id: str) -> bool:
        """Whether the model was trained with the user."""

    def scores(self, user_ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Purchase probabilities of known users, shape (users, n)."""

    def scores_after(self, user_id: str, done: Sequence[Done]) -> npt.NDArray[np.float32] | None:
        """Those of any user who has done something since, shape (n,); None if nothing is known."""


@dataclass(frozen=True)
class Candidate:
    """A product that could be shown, and why."""

    product_id: str
    score: float
    """The model's purchase probability, or else the product's share of all popularity."""
    source: Source


@dataclass(frozen=True)
class Recommendation:
    """A product that is shown."""

    product_id: str
    score: float
    """Of a product from the queue, the sum of its events' weights; else the candidate's score."""
    source: Source
    counter: int
    """How often it has been shown, this time included."""


def recommend(
    store: Store,
    catalogue: ScoredCatalogue,
    user_id: str,
    *,
    k: int,
    allowed: Allowed | None = None,
    peek: bool = False,
) -> list[Recommendation]:
    """Takes the user's next products from the queue, which is refilled first if it lacks new ones.

    Args:
        store: the queues.
        catalogue: what refills them.
        user_id: the user, or the `sessions.key` of an anonymous one.
        k: the most products.
        allowed: which products may be shown this time; the others stay in the queue.
        peek: show the same products, but do not count them as shown: nothing changes.

    Returns:
        At most `k` products, none that the user has purchased; fewer when the catalogue has no
        more.

    Raises:
        Busy: others write all the time.
    """
    visit = Visit(user_id, k, allowed, peek)
    begin = store.reading if peek else store.transaction
    with begin() as connection:
        shown = show(connection, store.settings, visit, None)
    if shown is None:
        # Scored between two transactions: it takes long, and the file has one writer at a time.
        found = _missing(store, catalogue, visit)
        with begin() as connection:
            shown = show(connection, store.settings, visit, found)
    return shown or []


class Visit(NamedTuple):
    """What `recommend` was asked."""

    user_id: str
    k: int
    allowed: Allowed | None
    peek: bool


def show(
    connection: sqlite3.Connection,
    settings: QueueSettings,
    visit: Visit,
    found: Sequence[Candidate] | None,
) -> list[Recommendation] | None:
    """Shows a user's next products, within a transaction.

    Args:
        connection: the store's.
        settings: the rules.
        visit: who is to see what.
        found: candidates for what the queue lacks; None if nobody has looked for any yet.

    Returns:
        The products; None if the queue lacks some and nobody has looked: nothing has changed then.
    """
    user_id = sessions.shopper(connection, visit.user_id)
    pool = queues.pool(connection, user_id)
    lacking = rules.shortfall(pool, visit.k, settings, visit.allowed)
    if lacking and found is None:
        return None
    new = {each.product_id: each for each in _new(connection, user_id, pool, found or ())[:lacking]}
    full = rules.refill(pool, new)
    due = rules.due(full, visit.k, visit.allowed)
    if due and not visit.peek:
        if new:
            write(connection, user_id, journal.added(list(new)))
        products = None if visit.allowed is None else [entry.product_id for entry in due]
        most = max(settings.max_pool, visit.k)
        room = most if len(full) > most else None
        write(connection, user_id, journal.shown(visit.k, products, room))
        after = rules.show(full, due)
        queues.put(
            connection, user_id, after if room is None else rules.evict(after, room, len(due))
        )
    return [_recommendation(entry, new.get(entry.product_id)) for entry in due]


def _new(
    connection: sqlite3.Connection, user_id: str, pool: rules.Pool, found: Sequence[Candidate]
) -> list[Candidate]:
    """The candidates that can be added to the user's pool as it is now."""
    taken = _taken(connection, user_id, pool) if found else frozenset()
    return [candidate for candidate in found if candidate.product_id not in taken]


def _missing(store: Store, catalogue: ScoredCatalogue, visit: Visit) -> list[Candidate]:
    """Candidates for what the user's pool lacks at this moment."""
    with store.reading() as connection:
        user_id = sessions.shopper(connection, visit.user_id)
        pool = queues.pool(connection, user_id)
        exclude = _taken(connection, user_id, pool)
        touched = kept.touched(connection, user_id)
        since = catalogue.watermark + timedelta(1) if catalogue.knows(user_id) else None
        done = kept.done(connection, user_id, since)
    if visit.allowed is not None:
        exclude = exclude.union(itertools.filterfalse(visit.allowed, catalogue.item_ids))
    n = rules.shortfall(pool, visit.k, store.settings, visit.allowed)
    return candidates(catalogue, user_id, n=n, exclude=exclude, touched=touched, done=done)


def _taken(connection: sqlite3.Connection, user_id: str, pool: rules.Pool) -> frozenset[str]:
    """What cannot be added to the user's pool."""
    return queues.purchased(connection, user_id).union(entry.product_id for entry in pool)


def strategy(recommendations: Sequence[Recommendation]) -> Source:
    """The best rung of the ladder that supplied one of the products."""
    sources = {recommendation.source for recommendation in recommendations}
    return next((source for source in LADDER if source in sources), LADDER[-1])


def candidates(
    catalogue: ScoredCatalogue,
    user_id: str,
    *,
    n: int,
    exclude: Collection[str],
    touched: Sequence[str],
    done: Sequence[Done] = (),
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

    Returns:
        At most `n` products, each once and none of `exclude`; fewer when the catalogue has no more.
    """
    probabilities = catalogue.scores_after(user_id, done)
    source: Source = "model" if catalogue.knows(user_id) else "similar"
    return _descend(catalogue, _rungs(catalogue, source, probabilities, touched), n, exclude)


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
    rows = [
        (user_id, rank, candidate.product_id, candidate.score, candidate.source)
        for start in range(0, len(user_ids), batch_size)
        for user_id, found in _batch(catalogue, user_ids[start : start + batch_size], k, exclude)
        for rank, candidate in enumerate(found, start=1)
    ]
    return pd.DataFrame(rows, columns=["user_id", "rank", "product_id", "score", "source"]).astype(
        {"user_id": "str", "rank": int, "product_id": "str", "score": float, "source": "str"}
    )


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
        yield user_id, _descend(catalogue, rungs, k, exclude.get(user_id, ()))


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


def _descend(
    catalogue: ScoredCatalogue,
    rungs: Iterator[tuple[Source, Scores]],
    n: int,
    exclude: Collection[str],
) -> list[Candidate]:
    free = np.ones(len(catalogue.item_ids), dtype=bool)
    free[[catalogue.item_row[item] for item in exclude if item in catalogue.item_row]] = False
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


def _recommendation(entry: rules.Entry, fresh: Candidate | None) -> Recommendation:
    shown = entry.counter + 1
    if fresh is None:
        return Recommendation(entry.product_id, entry.score, "queue", shown)
    return Recommendation(entry.product_id, fresh.score, fresh.source, shown)
