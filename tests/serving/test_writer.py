from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from progrec.errors import InputError
from progrec.serving import database
from progrec.serving import writer as module
from progrec.serving.database import Busy
from progrec.serving.writer import Writer

Work = Callable[[sqlite3.Connection], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "numbers.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
    return tmp_path / "numbers.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    writer = Writer(path)
    yield writer
    writer.close()


def kept(path: Path) -> list[int]:
    """What somebody else sees."""
    with closing(sqlite3.connect(path)) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM numbers ORDER BY n")]


def insert(*numbers: int) -> Work:
    def work(connection: sqlite3.Connection) -> int:
        connection.executemany("INSERT INTO numbers VALUES (?)", [(n,) for n in numbers])
        return len(numbers)

    return work


def outcomes(writer: Writer, *works: Work) -> list[object]:
    """What becomes of works that wait together, because the writer is busy."""

    async def together() -> list[object]:
        async with busy(writer):
            waiting = [asyncio.ensure_future(writer.write(work)) for work in works]
            await asyncio.sleep(0)  # each has handed over its work
        return await asyncio.gather(*waiting, return_exceptions=True)

    return asyncio.run(together())


@asynccontextmanager
async def busy(writer: Writer) -> AsyncIterator[None]:
    """Keeps the writer's thread from what comes next, until the body has ended."""
    started, release = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        started.set()
        release.wait()

    first = asyncio.ensure_future(writer.write(hold))
    await asyncio.to_thread(started.wait)
    try:
        yield
    finally:
        release.set()
    await first


def test_what_is_answered_is_committed(writer: Writer, path: Path):
    async def ask() -> None:
        assert await writer.write(insert(1, 2)) == 2
        assert kept(path) == [1, 2]

    asyncio.run(ask())


def test_what_waits_together_is_committed_together(writer: Writer, path: Path):
    assert outcomes(writer, insert(1), insert(2), lambda _: kept(path)) == [1, 1, []]
    assert kept(path) == [1, 2]


def test_a_transaction_that_has_lasted_takes_no_more(
    writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "SECONDS", 0)
    assert outcomes(writer, insert(1), lambda _: kept(path), insert(2)) == [1, [1], 1]
    assert kept(path) == [1, 2]


def test_a_work_that_fails_takes_nothing_with_it(writer: Writer, path: Path):
    before, bad, after = outcomes(writer, insert(1), insert(2, 1), insert(3))
    assert (before, after) == (1, 1)
    assert isinstance(bad, sqlite3.IntegrityError)
    assert kept(path) == [1, 3]


def test_nobody_is_answered_by_a_transaction_that_the_database_ended(writer: Writer, path: Path):
    def end(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("ended")

    assert [str(each) for each in outcomes(writer, insert(1), end, insert(2))] == ["ended"] * 3
    assert kept(path) == []
    assert outcomes(writer, insert(4)) == [1]


def test_all_that_waited_for_a_locked_file_are_told_so(
    writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)

    async def ask() -> list[object]:
        works = [writer.write(insert(n)) for n in range(3)]
        return await asyncio.gather(*works, return_exceptions=True)

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert [type(each) for each in asyncio.run(ask())] == [Busy] * 3
    assert outcomes(writer, insert(4)) == [1]
    assert kept(path) == [4]


def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path: Path):
    (tmp_path / "numbers.db").write_text("no database, and longer than the header of one" * 10)
    writer = Writer(tmp_path / "numbers.db")
    with pytest.raises(InputError, match=r"numbers.db cannot be used: it is not a SQLite"):
        asyncio.run(writer.write(insert(1)))
    writer.close()


def test_what_is_in_the_log_is_put_into_the_file_beside_the_commits(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    checkpoints: list[Callable[[], None]] = []
    ticker = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(module, "Ticker", lambda _, tick: checkpoints.append(tick) or ticker)
    with closing(Writer(path)) as writer:
        assert outcomes(writer, *(insert(n) for n in range(2000))) == [1] * 2000
        shutil.copy(path, tmp_path / "before.db")
        checkpoints[0]()
        shutil.copy(path, tmp_path / "after.db")
        assert outcomes(writer, insert(-1)) == [1]
        assert kept(path) == list(range(-1, 2000))
    assert kept(tmp_path / "before.db") == []
    assert kept(tmp_path / "after.db") == list(range(2000))


def test_closing_ends_what_waits_and_refuses_what_comes_later(path: Path):
    async def ask() -> list[object]:
        writer = Writer(path)
        works = [asyncio.ensure_future(writer.write(insert(n))) for n in range(200)]
        await asyncio.sleep(0)
        writer.close()
        assert kept(path) == list(range(200))
        with pytest.raises(RuntimeError, match="is closed"):
            await writer.write(insert(-1))
        return await asyncio.gather(*works)

    assert asyncio.run(ask()) == [1] * 200


def test_whoever_does_not_wait_harms_nobody(writer: Writer, path: Path):
    async def ask() -> object:
        async with busy(writer):
            gone = asyncio.ensure_future(writer.write(insert(1)))
            await asyncio.sleep(0)
            gone.cancel()
        return await writer.write(insert(2))

    assert asyncio.run(ask()) == 1
    assert kept(path) == [1, 2]


def test_several_event_loops_share_it(writer: Writer, path: Path):
    async def some(start: int) -> list[object]:
        return await asyncio.gather(*[writer.write(insert(n)) for n in range(start, start + 20)])

    with ThreadPoolExecutor(8) as threads:
        runs = threads.map(lambda start: asyncio.run(some(start)), range(0, 320, 20))
        assert list(runs) == [[1] * 20] * 16
    assert kept(path) == list(range(320))


def test_an_event_loop_that_was_closed_meanwhile_harms_no_other(writer: Writer, path: Path):
    async def leave() -> None:
        work = asyncio.ensure_future(writer.write(insert(1)))
        await asyncio.sleep(0)
        assert not work.done()

    async def ask() -> object:
        async with busy(writer):
            await asyncio.to_thread(asyncio.run, leave())
            waiting = asyncio.ensure_future(writer.write(insert(2)))
            await asyncio.sleep(0)
        return await asyncio.wait_for(waiting, 10)

    assert asyncio.run(ask()) == 1
    assert kept(path) == [1, 2]
