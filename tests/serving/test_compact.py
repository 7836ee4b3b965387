"""A shorter journal that makes the same queues."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from progrec.serving import compact as module
from progrec.serving import legacy
from progrec.serving.compact import compact
from progrec.serving.journal import Index
from progrec.serving.rebuild import rebuild
from progrec.serving.store import Event, Store
from serving.visits import recommend
from serving.written import merge, record

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)


def queues(shell: sqlite3.Connection) -> list[tuple[str, str]]:
    return shell.execute("SELECT * FROM recommendation_queue ORDER BY user_id").fetchall()


def snapshots(store: Store, user: str) -> list[module._Snapshot]:
    with store.reading() as connection:
        index = Index(connection)
    with closing(index):
        return list(module._snapshots(index, [user]))


def journal(shell: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return shell.execute("SELECT * FROM journal ORDER BY seq").fetchall()


@pytest.fixture
def lived(store: Store, shop: Any) -> Store:
    """A store of two shoppers who have come often."""
    for turn in range(4):
        for user in ("ann", "new"):
            recommend(store, shop, user, k=2)
            record(store, [Event(NOON, "view", user, "b3", event_id=f"{user} {turn}")])
    record(store, [Event(NOON, "purchase", "ann", "c0")])
    return store


@pytest.mark.parametrize("users_at_once", [1, 500])
def test_one_row_a_user_makes_the_same_queues(
    lived: Store, shell: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, users_at_once: int
):
    monkeypatch.setattr(module, "BATCH_USERS", users_at_once)
    before, rows = queues(shell), len(journal(shell))
    assert compact(lived) == (2, rows, 2)
    assert sorted((user, what) for _, user, _, what, *_ in journal(shell)) == before
    assert rebuild(lived) == (2, 0)
    assert queues(shell) == before


def test_it_is_the_journal_that_is_believed(lived: Store, shell: sqlite3.Connection):
    before = queues(shell)
    shell.execute("DELETE FROM recommendation_queue")
    compact(lived)
    assert rebuild(lived) == (2, 2)
    assert queues(shell) == before


def test_what_comes_later_is_added_as_ever(lived: Store, shop: Any, shell: sqlite3.Connection):
    compact(lived)
    recommend(lived, shop, "ann", k=3)
    record(lived, [Event(NOON, "cart", "ann", "x"), Event(NOON, "purchase", "new", "b3")])
    assert rebuild(lived) == (2, 0)
    assert len(journal(shell)) > 2


def test_what_comes_between_reading_and_writing_stays(
    lived: Store, shop: Any, shell: sqlite3.Connection
):
    (snapshot,) = snapshots(lived, "ann")
    recommend(lived, shop, "ann", k=3)
    with lived.transaction() as connection:
        module._put(connection, snapshot)
    assert [kind for _, user, kind, *_ in journal(shell) if user == "ann"] == ["joined", "shown"]
    assert rebuild(lived) == (2, 0)


def test_two_at_once_do_not_undo_each_other(lived: Store, shop: Any, shell: sqlite3.Connection):
    (slow,) = snapshots(lived, "ann")
    recommend(lived, shop, "ann", k=3)
    compact(lived)
    after = journal(shell)
    with lived.transaction() as connection:
        module._put(connection, slow)
    assert journal(shell) == after


def test_a_journal_that_would_hardly_be_shorter_is_left_alone(
    store: Store, shop: Any, shell: sqlite3.Connection
):
    recommend(store, shop, "ann", k=2)
    before = journal(shell)
    assert compact(store) == (0, 2, 2)
    assert journal(shell) == before


def test_a_session_that_was_merged_has_an_empty_queue(
    lived: Store, shop: Any, shell: sqlite3.Connection
):
    for _ in range(3):
        recommend(lived, shop, "session:s", k=2)
    merge(lived, "s", "ann")
    compact(lived)
    assert ("session:s", '{"pool":[]}') in [(row[1], row[3]) for row in journal(shell)]
    assert rebuild(lived).repaired == 0


def test_a_queue_that_was_imported_is_not_imported_again(
    lived: Store, shell: sqlite3.Connection, tmp_path: Path
):
    with closing(sqlite3.connect(tmp_path / "old.db")) as old, old:
        old.execute("CREATE TABLE recommendation_queue (user_id INTEGER, product_queue TEXT)")
        queue = '{"pool": [[1, 0, 1.0]]}'
        old.execute("INSERT INTO recommendation_queue VALUES (7, ?)", (queue,))
    assert legacy.import_file(lived, tmp_path / "old.db").users == 1
    record(lived, [Event(NOON, "view", "7", "1", event_id=f"{turn}") for turn in range(3)])
    compact(lived)
    before = queues(shell)
    assert legacy.import_file(lived, tmp_path / "old.db").users == 0
    assert queues(shell) == before
