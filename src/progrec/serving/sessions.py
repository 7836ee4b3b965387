"""Anonymous shoppers, who become known when they log in: functions over a connection."""

from __future__ import annotations

import sqlite3

from progrec.errors import InputError
from progrec.serving import queues
from progrec.serving.journal import Change, write

PREFIX = "session:"
"""What a session's id begins with among the ids of users. No user's own id may begin so."""


def key(session_id: str) -> str:
    """The id under which an anonymous session is a user."""
    return PREFIX + session_id


def shopper(connection: sqlite3.Connection, user_id: str) -> str:
    """The user whom a session was merged into; whoever else it is stays who they are."""
    if not user_id.startswith(PREFIX):
        return user_id
    row = connection.execute("SELECT user_id FROM merges WHERE session = ?", (user_id,)).fetchone()
    return row[0] if row else user_id


def merge(
    connection: sqlite3.Connection, session_id: str, user_id: str, time: str, max_pool: int
) -> bool:
    """Joins a session's events, purchases and queue to those of a user, once.

    Returns:
        Whether it was new; a repeat has no effect.

    Raises:
        InputError: the session was merged into another user, or the user is a session.
    """
    session = key(session_id)
    if user_id.startswith(PREFIX):
        raise InputError(f"user_id: {user_id} is a session; a session is merged into a user")
    owner = shopper(connection, session)
    if owner != session:
        if owner != user_id:
            raise InputError(f"session_id: {session_id} has been merged into another user")
        return False
    connection.execute("INSERT INTO merges VALUES (?, ?, ?)", (session, user_id, time))
    _merge_purchases(connection, session, user_id)
    _merge_queues(connection, session, user_id, max_pool)
    return True


def _merge_purchases(connection: sqlite3.Connection, session: str, user_id: str) -> None:
    # The purchases first: the trigger on events would count a refunded one as bought.
    connection.execute(
        "INSERT INTO purchases SELECT ?, product_id, purchased_at, refunded_at FROM purchases"
        " WHERE user_id = ?"
        " ON CONFLICT DO UPDATE SET refunded_at = NULL WHERE excluded.refunded_at IS NULL",
        (user_id, session),
    )
    connection.execute("UPDATE events SET user_id = ? WHERE user_id = ?", (user_id, session))
    connection.execute("DELETE FROM purchases WHERE user_id = ?", (session,))


def _merge_queues(
    connection: sqlite3.Connection, session: str, user_id: str, max_pool: int
) -> None:
    queues.join(connection, user_id, "joined", queues.pool(connection, session), max_pool)
    connection.execute("DELETE FROM recommendation_queue WHERE user_id = ?", (session,))
    write(connection, session, Change("left"))
