"""A copy of the store, made while it is in use."""

from __future__ import annotations

import sqlite3
import stat
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from progrec.errors import InputError
from progrec.serving.audit import audit
from progrec.serving.backup import backup
from progrec.serving.rules import Entry
from progrec.serving.store import Event, Store
from serving.written import record

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)


def view(store: Store, name: str) -> None:
    record(store, [Event(NOON, "view", "u", "p", event_id=name)])


def test_a_backup_is_a_store_that_only_its_owner_may_read(store: Store, tmp_path: Path):
    view(store, "1")
    copy = tmp_path / "copies/monday.db"
    backup(store.path, copy)
    view(store, "2")

    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert list(copy.parent.iterdir()) == [copy]
    with closing(Store(copy, store.settings)) as restored:
        assert restored.queue("u") == (Entry("p", 0, 1.0),)
    assert audit(copy).violations == []


def test_a_later_backup_replaces_an_earlier_one(store: Store, tmp_path: Path):
    copy = tmp_path / "copy.db"
    for name in "12":
        view(store, name)
        backup(store.path, copy)
    with closing(Store(copy, store.settings)) as restored:
        assert restored.queue("u") == (Entry("p", 0, 2.0),)


def test_a_backup_waits_for_nobody_and_nobody_for_it(store: Store, tmp_path: Path):
    stop, written = threading.Event(), 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            view(store, f"{written}")
            written += 1

    writer = threading.Thread(target=write)
    writer.start()
    counts = []
    while written < 200:
        backup(store.path, tmp_path / "copy.db")
        with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
            events, queues = copy.execute(
                "SELECT count(*), max(product_queue) FROM events, recommendation_queue"
            ).fetchone()
            counts.append(events)
            assert queues in (None, f'{{"pool":[["p",0,{events}.0]]}}')
    stop.set()
    writer.join()
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_the_database_itself_is_no_place_for_its_copy(store: Store):
    view(store, "1")
    with pytest.raises(InputError, match="is the database itself"):
        backup(store.path, store.path)


def test_a_database_in_use_is_not_replaced(store: Store, tmp_path: Path):
    copy = tmp_path / "copy.db"
    backup(store.path, copy)
    with closing(Store(copy, store.settings)) as restored:
        view(restored, "1")
        with pytest.raises(InputError, match="in use"):
            backup(store.path, copy)
        assert restored.queue("u") == (Entry("p", 0, 1.0),)


def test_a_damaged_store_does_not_replace_its_last_backup(store: Store, tmp_path: Path):
    copy = tmp_path / "copy.db"
    view(store, "1")
    backup(store.path, copy)
    before = copy.read_bytes()
    with store.reading() as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'events'"
        ((page,),) = connection.execute(query).fetchall()
    store.close()
    with store.path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)

    with pytest.raises(InputError, match="is damaged"):
        backup(store.path, copy)
    assert copy.read_bytes() == before
    assert [file.name for file in tmp_path.glob(".*")] == []


def test_without_a_store_there_is_no_backup(tmp_path: Path):
    with pytest.raises(InputError, match=r"nothing\.db cannot be used"):
        backup(tmp_path / "nothing.db", tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []
