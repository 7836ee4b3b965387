"""The queues as the journal makes them, in place of those that are there."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from progrec.serving import journal, queues, rules
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
    count = repaired = 0
    last: str | None = ""
    while last is not None:
        with store.transaction() as connection:
            users = _users_after(connection, last)
            repaired += sum(_repair(connection, user_id) for user_id in users)
        count += len(users)
        last = users[-1] if users else None
    return Rebuilt(count, repaired)


def _users_after(connection: sqlite3.Connection, last: str) -> list[str]:
    """The next of those who have a queue or have ever had one, in order."""
    rows = connection.execute(
        "SELECT user_id FROM ("
        " SELECT user_id FROM recommendation_queue WHERE user_id > ?1 ORDER BY user_id LIMIT ?2"
        ") UNION SELECT user_id FROM ("
        " SELECT DISTINCT user_id FROM journal WHERE user_id > ?1 ORDER BY user_id LIMIT ?2"
        ") ORDER BY user_id LIMIT ?2",
        (last, BATCH_USERS),
    )
    return [user_id for (user_id,) in rows]


def _repair(connection: sqlite3.Connection, user_id: str) -> bool:
    """Whether the user's queue was another than the journal's, which it is now."""
    pool = journal.replayed(journal.changes(connection, user_id))
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
