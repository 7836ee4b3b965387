"""A shopper's queue and purchases in the database: functions over a connection, no transactions."""

from __future__ import annotations

import sqlite3

from progrec.errors import InputError
from progrec.serving import journal, rules
from progrec.serving.rules import Pool


def pool(connection: sqlite3.Connection, user_id: str) -> Pool:
    """The user's pool; of a user without a queue, an empty one.

    Raises:
        InputError: the triggers were dropped, and something else was put in.
    """
    row = connection.execute(
        "SELECT product_queue FROM recommendation_queue WHERE user_id = ?", (user_id,)
    ).fetchone()
    try:
        return rules.loads(row[0]) if row else ()
    except ValueError:
        raise InputError(
            f"the queue of user {user_id} is damaged; `progrec queue audit` shows how, "
            "`progrec queue rebuild` repairs it"
        ) from None


def put(connection: sqlite3.Connection, user_id: str, pool: Pool) -> None:
    """Stores the user's pool.

    Raises:
        sqlite3.IntegrityError: it holds a product that the user has purchased.
    """
    connection.execute(
        "INSERT INTO recommendation_queue (user_id, product_queue) VALUES (?, ?)"
        " ON CONFLICT (user_id) DO UPDATE SET product_queue = excluded.product_queue",
        (user_id, rules.dumps(pool)),
    )


def purchased(connection: sqlite3.Connection, user_id: str) -> frozenset[str]:
    """The products that the user has purchased, but for those that were refunded since."""
    rows = connection.execute(
        "SELECT product_id FROM purchases WHERE user_id = ? AND refunded_at IS NULL", (user_id,)
    )
    return frozenset(product_id for (product_id,) in rows)


def has_purchased(connection: sqlite3.Connection, user_id: str, product_id: str) -> bool:
    """Whether `purchased` holds the product."""
    found = connection.execute(
        "SELECT 1 FROM purchases WHERE user_id = ? AND product_id = ? AND refunded_at IS NULL",
        (user_id, product_id),
    ).fetchone()
    return found is not None


def refund(connection: sqlite3.Connection, user_id: str, product_id: str, time: str) -> None:
    """Lifts the rule for one product, until it is bought again.

    A purchase that is not known yet may come with a later batch: it is refunded already.
    """
    connection.execute(
        "INSERT INTO purchases (user_id, product_id, purchased_at, refunded_at)"
        " VALUES (?1, ?2, ?3, ?3)"
        " ON CONFLICT DO UPDATE SET refunded_at = excluded.refunded_at",
        (user_id, product_id, time),
    )


def join(
    connection: sqlite3.Connection, user_id: str, kind: journal.Kind, other: Pool, most: int
) -> Pool:
    """Adds another queue to the user's, without what the user has purchased.

    Args:
        connection: the store's.
        user_id: the user.
        kind: where the other queue comes from: it was `joined` or `imported`.
        other: that queue.
        most: how many entries the queue may have then.

    Returns:
        What was added.
    """
    welcome = rules.without(other, purchased(connection, user_id))
    after, change = journal.fitted(
        pool(connection, user_id), journal.Change(kind, rules.dumps(welcome)), most
    )
    journal.write(connection, user_id, change)
    put(connection, user_id, after)
    return welcome
