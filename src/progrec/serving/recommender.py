"""What to show a shopper: the queue first, and what the ladder of candidates refills it with."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from progrec.serving import journal, kept, queues, rules, sessions
from progrec.serving.candidates import (
    LADDER,
    Candidate,
    ScoredCatalogue,
    Selection,
    Source,
    candidates,
)
from progrec.serving.journal import write
from progrec.serving.scorers import Scorers
from progrec.serving.store import Store
from progrec.settings import QueueSettings


@dataclass(slots=True)  # not frozen, which makes it three times as slow to make
class Recommendation:
    """A product that is shown."""

    product_id: str
    score: float
    """Of a product from the queue, the sum of its events' weights; else the candidate's score."""
    source: Source
    counter: int
    """How often it has been shown, this time included."""


async def recommend(
    store: Store,
    catalogue: ScoredCatalogue,
    scorers: Scorers,
    user_id: str,
    *,
    k: int,
    allowed: Selection | None = None,
    peek: bool = False,
) -> list[Recommendation]:
    """Takes the user's next products from the queue, which is refilled first if it lacks new ones.

    Args:
        store: the queues.
        catalogue: what refills them.
        scorers: score the catalogue, if it must.
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
    shown = await _shown(store, visit, None)
    if shown is None:
        # Scored between two transactions: it takes long, and the file has one writer at a time.
        products = len(catalogue.item_ids)
        found = await scorers.score(products, partial(_missing, store, catalogue, visit))
        shown = await _shown(store, visit, found)
    return shown or []


class Visit(NamedTuple):
    """What `recommend` was asked."""

    user_id: str
    k: int
    allowed: Selection | None
    peek: bool


async def _shown(
    store: Store, visit: Visit, found: Sequence[Candidate] | None
) -> list[Recommendation] | None:
    """`show` in a transaction; one that only reads waits for nobody."""
    if visit.peek:
        with store.reading() as connection:
            return show(connection, store.settings, visit, found)
    return await store.write(lambda connection: show(connection, store.settings, visit, found))


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
    return candidates(
        catalogue,
        user_id,
        n=rules.shortfall(pool, visit.k, store.settings, visit.allowed),
        exclude=exclude,
        touched=touched,
        done=done,
        allowed=visit.allowed,
    )


def _taken(connection: sqlite3.Connection, user_id: str, pool: rules.Pool) -> frozenset[str]:
    """What cannot be added to the user's pool."""
    return queues.purchased(connection, user_id).union(entry.product_id for entry in pool)


def strategy(recommendations: Sequence[Recommendation]) -> Source:
    """The best rung of the ladder that supplied one of the products."""
    sources = {recommendation.source for recommendation in recommendations}
    return next((source for source in LADDER if source in sources), LADDER[-1])


def _recommendation(entry: rules.Entry, fresh: Candidate | None) -> Recommendation:
    shown = entry.counter + 1
    if fresh is None:
        return Recommendation(entry.product_id, entry.score, "queue", shown)
    return Recommendation(entry.product_id, fresh.score, fresh.source, shown)
