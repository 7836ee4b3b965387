"""A shorter journal that makes the same queues."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from progrec.serving import journal, rules
from progrec.serving.journal import Change
from progrec.serving.store import Store

BATCH_USERS = 500

ROW = 50
"""Bytes of a row of the journal beside what it says, its place in the index included."""


class Compacted(NamedTuple):
    """How many journals are shorter now, and how many rows all journals had before and have now."""

    users: int
    before: int
    after: int


class _Snapshot(NamedTuple):
    user_id: str
    seq: int
    """The last row that it stands for."""
    queue: Change


def compact(store: Store) -> Compacted:
    """Puts one row in the place of all that a user's journal holds, where that is half as long.

    A batch of users is one transaction. What it replaces is read before, so that nobody waits for
    more than the writing: the rows that are added meanwhile stay.
    """
    before, users, last = _rows(store), 0, ""
    while batch := _users_after(store, last):
        with store.reading() as connection:
            snapshots = list(_snapshots(connection, batch))
        with store.transaction() as connection:
            for snapshot in snapshots:
                _put(connection, snapshot)
        users, last = users + len(snapshots), batch[-1]
    return Compacted(users, before, _rows(store))


def _rows(store: Store) -> int:
    with store.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM journal").fetchone()[0])


def _users_after(store: Store, last: str) -> list[str]:
    """The next of those whose journal has several rows, in order."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT user_id FROM journal WHERE user_id > ? GROUP BY user_id HAVING count(*) > 1"
            " ORDER BY user_id LIMIT ?",
            (last, BATCH_USERS),
        )
        return [user_id for (user_id,) in rows]


def _snapshots(connection: sqlite3.Connection, users: Sequence[str]) -> Iterator[_Snapshot]:
    for user_id in users:
        changes = journal.changes(connection, user_id)
        # By this kind a second import knows that the user's queue is here already.
        kind: journal.Kind = "imported" if any(c.kind == "imported" for c in changes) else "joined"
        queue = Change(kind, rules.dumps(journal.replayed(changes)))
        # Less would be no gain: of a row that is longer than half a page, each takes a whole one.
        if 2 * _size([queue]) <= _size(changes):
            query = "SELECT max(seq) FROM journal WHERE user_id = ?"
            ((seq,),) = connection.execute(query, (user_id,))
            yield _Snapshot(user_id, seq, queue)


def _size(changes: Sequence[Change]) -> int:
    """Bytes in the file, about."""
    return sum(ROW + len(change.what or "") for change in changes)


def _put(connection: sqlite3.Connection, snapshot: _Snapshot) -> None:
    user_id, seq, queue = snapshot
    connection.execute("DELETE FROM journal WHERE user_id = ? AND seq < ?", (user_id, seq))
    connection.execute(
        "UPDATE journal SET kind = ?, what = ?, amount = ?, room = ? WHERE user_id = ? AND seq = ?",
        (*queue, user_id, seq),
    )
