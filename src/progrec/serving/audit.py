"""Whether the store's promises are kept, asked with none of the means that keep them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from progrec.errors import InputError
from progrec.serving import database, rules

BARRED = """
    SELECT product_id FROM purchases WHERE user_id = ?1 AND refunded_at IS NULL
    UNION
    SELECT product_id FROM events WHERE user_id = ?1 AND event_type = 'purchase' AND NOT EXISTS (
        SELECT 1 FROM purchases
        WHERE purchases.user_id = ?1 AND purchases.product_id = events.product_id
    )
"""
"""What a user may not be shown: also what only a kept event knows to be bought."""


class Audit(NamedTuple):
    """What was looked at, and what is wrong."""

    users: int
    """Those with a queue."""
    queued: int
    """Products in all queues that can be read."""
    violations: list[str]


def audit(path: Path) -> Audit:
    """Checks the file, its rules, and every queue against every purchase and purchase event.

    It reads the store as it is at one moment; the service may go on, and does not wait.

    Raises:
        InputError: there is no store, or it is too damaged to be read.
    """
    with database.snapshot(path) as connection:
        violations = [*_damages(connection), *_missing_rules(connection)]
        users = queued = 0
        queues = connection.execute("SELECT user_id, product_queue FROM recommendation_queue")
        for user_id, text in queues:
            pool, faults = _judged(connection, user_id, text)
            users += 1
            queued += len(pool)
            violations += [f"user {user_id}: {fault}" for fault in faults]
    return Audit(users, queued, violations)


def _damages(connection: sqlite3.Connection) -> Iterator[str]:
    for (finding,) in connection.execute("PRAGMA integrity_check"):
        if finding != "ok":
            yield f"the file: {finding}"


def _missing_rules(connection: sqlite3.Connection) -> Iterator[str]:
    """The views and triggers that were dropped or changed: nothing guards the queues then."""
    there = dict(connection.execute("SELECT name, sql FROM sqlite_schema"))
    for name, sql in database.rules().items():
        if there.get(name) != sql:
            yield f"the rule {name}: it was {'changed' if name in there else 'dropped'}"


def _judged(
    connection: sqlite3.Connection, user_id: str, text: str
) -> tuple[rules.Pool, list[str]]:
    """A user's pool as far as it can be read, and what is wrong with it."""
    try:
        pool = rules.checked(text)
    except InputError as error:
        return (), [str(error)]
    barred = {product_id for (product_id,) in connection.execute(BARRED, (user_id,))}
    return pool, [
        f"{entry.product_id} is queued and has been purchased"
        for entry in pool
        if entry.product_id in barred
    ]
