"""The queues as the journal makes them, in place of those that are there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import NamedTuple

from progrec.serving import journal, queues, rules
from progrec.serving.journal import Index
from progrec.serving.store import Store

BATCH_USERS = 500


class Rebuilt(NamedTuple):
    """How many queues were recomputed, and how many of them had been different."""

    queues: int
    repaired: int


def rebuild(store: Store) -> Rebuilt:
    """Recomputes every queue from the journal, and stores those that differ from it by a byte.

    One transaction a batch of users, so that the service goes on between them; an interrupted call
    is completed by the next.
    """
    with store.reading() as connection:
        index = Index(connection)
    count = repaired = 0
    last: str | None = ""
    with closing(index):
        while last is not None:
            with store.transaction() as connection:
                index.extend()
                users = _users_after(connection, index, last)
                repaired += sum(_repair(connection, index, user_id) for user_id in users)
            count += len(users)
            last = users[-1] if users else None
    return Rebuilt(count, repaired)


def _users_after(connection: sqlite3.Connection, index: Index, last: str) -> list[str]:
    """The next of those who have a queue or have ever had one, in order."""
    rows = connection.execute(
        "SELECT user_id FROM recommendation_queue WHERE user_id > ? ORDER BY user_id LIMIT ?",
        (last, BATCH_USERS),
    )
    having = (user_id for (user_id,) in rows)
    return sorted({*having, *index.users_after(last, BATCH_USERS)})[:BATCH_USERS]


def _repair(connection: sqlite3.Connection, index: Index, user_id: str) -> bool:
    """Whether the user's queue was another than the journal's, which it is now."""
    pool = journal.replayed(index.changes(user_id))
    kept = rules.without(pool, queues.purchased(connection, user_id))
    for entry in pool:
        if entry not in kept:
            journal.write(connection, user_id, journal.Change("bought", entry.product_id))
    live = connection.execute(
        "SELECT product_queue FROM recommendation_queue WHERE user_id = ?", (user_id,)
    ).fetchone()
    if (live[0] if live else rules.dumps(())) == rules.dumps(kept):
        return False
    queues.put(connection, user_id, kept)
    return True
