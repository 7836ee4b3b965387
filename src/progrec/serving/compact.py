"""A shorter journal that makes the same queues."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from progrec.serving import journal, rules
from progrec.serving.journal import Change, Index
from progrec.serving.store import Store

BATCH_USERS = 500

ROW = 30
"""Bytes of a row of the journal beside what it says."""


class Compacted(NamedTuple):
    """How many journals are shorter now, and how many rows all journals had before and have now."""

    users: int
    before: int
    after: int


class _Snapshot(NamedTuple):
    user_id: str
    places: Sequence[int]
    """The rows that it stands for, in order."""
    queue: Change


def compact(store: Store) -> Compacted:
    """Puts one row in the place of all that a user's journal holds, where that is half as long.

    A batch of users is one transaction. What it replaces is read before, so that nobody waits for
    more than the writing: the rows that are added meanwhile stay.
    """
    with store.reading() as connection:
        index = Index(connection)
    before, users, last = _rows(store), 0, ""
    with closing(index):
        while batch := index.users_after(last, BATCH_USERS, rows=2):
            with store.reading():
                snapshots = list(_snapshots(index, batch))
            with store.transaction() as connection:
                for snapshot in snapshots:
                    _put(connection, snapshot)
            users, last = users + len(snapshots), batch[-1]
    return Compacted(users, before, _rows(store))


def _rows(store: Store) -> int:
    with store.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM journal").fetchone()[0])


def _snapshots(index: Index, users: Sequence[str]) -> Iterator[_Snapshot]:
    for user_id in users:
        changes = index.changes(user_id)
        # By this kind a second import knows that the user's queue is here already.
        kind: journal.Kind = "imported" if any(c.kind == "imported" for c in changes) else "joined"
        queue = Change(kind, rules.dumps(journal.replayed(changes)))
        # Less would be no gain: of a row that is longer than half a page, each takes a whole one.
        if 2 * _size([queue]) <= _size(changes):
            yield _Snapshot(user_id, index.places(user_id), queue)


def _size(changes: Sequence[Change]) -> int:
    """Bytes in the file, about."""
    return sum(ROW + len(change.what or "") for change in changes)


def _put(connection: sqlite3.Connection, snapshot: _Snapshot) -> None:
    user_id, (*replaced, last), queue = snapshot
    connection.executemany(
        "DELETE FROM journal WHERE user_id = ? AND seq = ?", [(user_id, seq) for seq in replaced]
    )
    connection.execute(
        "UPDATE journal SET kind = ?, what = ?, amount = ?, room = ? WHERE user_id = ? AND seq = ?",
        (*queue, user_id, last),
    )
