"""Events as the service has accepted them, at times of the test's own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

from progrec.serving.store import Event, Store
from serving.written import record

NOON = datetime(2020, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def event(name: str, time: datetime = NOON, kind="view", user="u", item="p", **more) -> Event:
    return Event(time, kind, user, item, event_id=name, **more)


def accept(store: Store, received: datetime, *events: Event) -> None:
    """Records events as if they had come in at that time."""
    new = record(store, events)
    ids = [(event.identity,) for event, is_new in zip(events, new, strict=True) if is_new]
    with closing(sqlite3.connect(store.path)) as connection, connection:
        text = received.isoformat(timespec="microseconds")
        connection.executemany(f"UPDATE events SET received_at = '{text}' WHERE event_id = ?", ids)
