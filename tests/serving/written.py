"""What shoppers do, written as the service writes it, from outside of any event loop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from progrec.serving import kept, sessions
from progrec.serving.store import Event, Store


def record(store: Store, events: Sequence[Event]) -> list[bool]:
    """For each event whether it was new; all in one transaction."""
    received = kept.text(datetime.now(UTC))
    with store.transaction() as connection:
        return kept.record(connection, store.settings, events, received)


def merge(store: Store, session_id: str, user_id: str) -> bool:
    """Whether the session was not the user's before."""
    now = kept.text(datetime.now(UTC))
    with store.transaction() as connection:
        return sessions.merge(connection, session_id, user_id, now, store.settings.max_pool)
