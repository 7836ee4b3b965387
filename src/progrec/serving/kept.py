"""Events, kept and applied to the queues: functions over a connection, no transactions."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import get_args

from progrec.learning.touches import Done
from progrec.serving import queues, sessions
from progrec.serving.journal import Change, fitted, write
from progrec.serving.rules import Pool
from progrec.settings import EventType, QueueSettings

PURCHASE = "purchase"
TYPES = get_args(EventType)


@dataclass(frozen=True)
class Event:
    """What one shopper did with one product, as the store keeps it."""

    event_time: datetime
    """Aware of its time zone."""
    event_type: str
    """One of `EventType`, or of the types that `queue.refund` names."""
    user_id: str
    product_id: str
    user_session: str | None = None
    price: float | None = None
    category_id: str | None = None
    category_code: str | None = None
    brand: str | None = None
    event_id: str | None = None
    """Without one, events with the same content are the same event."""

    @property
    def identity(self) -> str:
        """The event's id, or the hash of its content."""
        if self.event_id is not None:
            return self.event_id
        content = json.dumps({**vars(self), "event_time": text(self.event_time)})
        return hashlib.sha256(content.encode()).hexdigest()


def text(time: datetime) -> str:
    """A time as it is stored, so that the order of texts is that of times."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def record(
    connection: sqlite3.Connection, settings: QueueSettings, events: Sequence[Event], received: str
) -> list[bool]:
    """Keeps events and applies them to the queues, in order.

    Returns:
        For each event whether it was new; a repeat has no effect.
    """
    opened: dict[str, _Opened] = {}
    new = []
    for event in events:
        user_id = sessions.shopper(connection, event.user_id)
        own = opened.setdefault(user_id, _Opened(connection, user_id))
        if event.event_type == PURCHASE:
            # The triggers take the product out of what is stored.
            own.close()
        new.append(_keep(connection, event, user_id, received))
        if new[-1]:
            _apply(connection, settings, event, own)
    for own in opened.values():
        own.close()
    return new


class _Opened:
    """A pool that is read when it is needed, and stored when it has changed."""

    def __init__(self, connection: sqlite3.Connection, user_id: str) -> None:
        self.connection = connection
        self.user_id = user_id
        self.stored: Pool | None = None
        self.pool: Pool = ()

    def open(self) -> None:
        if self.stored is None:
            self.stored = self.pool = queues.pool(self.connection, self.user_id)

    def close(self) -> None:
        if self.pool is not self.stored and self.stored is not None:
            queues.put(self.connection, self.user_id, self.pool)
        self.stored = None


def _apply(
    connection: sqlite3.Connection, settings: QueueSettings, event: Event, own: _Opened
) -> None:
    if event.event_type in settings.refund:
        queues.refund(connection, own.user_id, event.product_id, text(event.event_time))
        return
    weight = settings.weights.get(event.event_type, 0.0)  # type: ignore[call-overload]  # any text
    if weight and not queues.has_purchased(connection, own.user_id, event.product_id):
        own.open()
        after, change = fitted(
            own.pool, Change("scored", event.product_id, weight), settings.max_pool
        )
        if after is not own.pool:
            write(connection, own.user_id, change)
        own.pool = after


def _keep(connection: sqlite3.Connection, event: Event, user_id: str, received: str) -> bool:
    """Keeps an event, and a purchase with it; says whether it was new."""
    cursor = connection.execute(
        "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (event_id) DO NOTHING",
        (
            event.identity,
            text(event.event_time),
            event.event_type,
            user_id,
            event.product_id,
            event.user_session,
            event.price,
            event.category_id,
            event.category_code,
            event.brand,
            received,
        ),
    )
    return cursor.rowcount == 1


def add_purchases(connection: sqlite3.Connection, rows: Iterable[tuple[str, str, datetime]]) -> int:
    """Adds purchases (user, product, aware time); returns how many of them were new.

    One that was refunded counts again only if it is of a later day: batches know the day alone.
    """
    return connection.executemany(
        "INSERT INTO purchases (user_id, product_id, purchased_at) VALUES"
        " (coalesce((SELECT user_id FROM merges WHERE session = ?1), ?1), ?2, ?3)"
        " ON CONFLICT DO UPDATE SET refunded_at = NULL"
        " WHERE substr(excluded.purchased_at, 1, 10) > substr(refunded_at, 1, 10)",
        ((user_id, product_id, text(time)) for user_id, product_id, time in rows),
    ).rowcount


def touched(connection: sqlite3.Connection, user_id: str) -> list[str]:
    """The products that the user has purchased or had an event with, each once."""
    rows = connection.execute(
        "SELECT product_id FROM events WHERE user_id = ?1"
        " UNION SELECT product_id FROM purchases WHERE user_id = ?1",
        (user_id,),
    )
    return [product_id for (product_id,) in rows]


def done(connection: sqlite3.Connection, user_id: str, since: date | None) -> list[Done]:
    """What the user has done with products, from the start of a day (UTC) on, if one is named.

    The recommender takes it for what a bundle of an earlier day does not know yet.
    """
    rows = connection.execute(
        "SELECT product_id, event_type, count(*), max(event_time) FROM events"
        " WHERE user_id = ? AND event_time >= ?"
        " GROUP BY product_id, event_type ORDER BY product_id, event_type",
        (user_id, "" if since is None else since.isoformat()),
    ).fetchall()
    return [
        Done(product_id, event_type, times, datetime.fromisoformat(last).date())
        for product_id, event_type, times, last in rows
        if event_type in TYPES
    ]
