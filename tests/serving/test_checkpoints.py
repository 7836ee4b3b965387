from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from progrec.serving import checkpoints
from progrec.serving.checkpoints import Checkpoints


@pytest.fixture
def connection(numbers: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(numbers, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA busy_timeout = 0")
        yield connection


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What the thread would do; none is started."""
    looks: list[Callable[[], None]] = []
    ticker = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(checkpoints, "Ticker", lambda _, look: looks.append(look) or ticker)
    monkeypatch.setattr(checkpoints, "LONG", 10)
    return looks


def fill(connection: sqlite3.Connection, commits: int) -> None:
    """Adds a page to the log, or a few, with each."""
    for _ in range(commits):
        connection.execute("INSERT INTO numbers VALUES (NULL)")


def in_the_file(numbers: Path) -> int:
    """How many rows somebody sees who has the file and no log."""
    copy = numbers.with_name("copy.db")
    shutil.copy(numbers, copy)
    with closing(sqlite3.connect(copy)) as connection:
        return int(connection.execute("SELECT count(*) FROM numbers").fetchone()[0])


def length(numbers: Path) -> int:
    return numbers.with_name(f"{numbers.name}-wal").stat().st_size


def test_what_is_in_the_log_is_put_into_the_file(
    numbers: Path, connection: sqlite3.Connection, look: list[Callable[[], None]]
):
    its = Checkpoints(numbers)
    fill(connection, 5)
    assert in_the_file(numbers) == 0
    look[0]()
    assert in_the_file(numbers) == 5
    assert not its.overdue


def test_a_long_log_begins_anew(
    numbers: Path, connection: sqlite3.Connection, look: list[Callable[[], None]]
):
    its = Checkpoints(numbers)
    for _ in range(5):
        fill(connection, 20)
        look[0]()
        assert its.overdue
        its.begin_log_anew(connection)
        assert not its.overdue
    fill(connection, 20)
    assert length(numbers) < 50 * 4096
    assert in_the_file(numbers) == 100


def test_nobody_who_reads_holds_up_the_writer(
    numbers: Path, connection: sqlite3.Connection, look: list[Callable[[], None]]
):
    its = Checkpoints(numbers)
    fill(connection, 20)
    with closing(sqlite3.connect(numbers, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM numbers").fetchone() == (20,)
        fill(connection, 20)
        look[0]()
        its.begin_log_anew(connection)
        fill(connection, 20)
        assert reader.execute("SELECT count(*) FROM numbers").fetchone() == (20,)
    look[0]()
    assert its.overdue
    its.begin_log_anew(connection)
    assert in_the_file(numbers) == 60
