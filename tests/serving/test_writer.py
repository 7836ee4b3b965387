from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from progrec.errors import InputError
from progrec.serving import database
from progrec.serving import writer as module
from progrec.serving.database import Busy
from progrec.serving.writer import Writer

Work = Callable[[sqlite3.Connection], object]


@pytest.fixture
def writer(numbers: Path) -> Iterator[Writer]:
    writer = Writer(numbers)
    yield writer
    writer.close()


def kept(numbers: Path) -> list[int]:
    """What somebody else sees."""
    with closing(sqlite3.connect(numbers)) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM numbers ORDER BY n")]


def insert(*numbers: int) -> Work:
    def work(connection: sqlite3.Connection) -> int:
        connection.executemany("INSERT INTO numbers VALUES (?)", [(n,) for n in numbers])
        return len(numbers)

    return work


def outcomes(writer: Writer, *works: Work) -> list[object]:
    """What becomes of works that are asked for in one turn of an event loop."""

    async def together() -> list[object]:
        waiting = [writer.write(work) for work in works]
        return await asyncio.gather(*waiting, return_exceptions=True)

    return asyncio.run(together())


@contextmanager
def locked(numbers: Path) -> Iterator[None]:
    """Another process writes until the body has ended."""
    with closing(sqlite3.connect(numbers, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_what_is_answered_is_committed(writer: Writer, numbers: Path):
    async def ask() -> None:
        assert await writer.write(insert(1, 2)) == 2
        assert kept(numbers) == [1, 2]

    asyncio.run(ask())


def test_what_waits_together_is_committed_together(writer: Writer, numbers: Path):
    assert outcomes(writer, insert(1), insert(2), lambda _: kept(numbers)) == [1, 1, []]
    assert kept(numbers) == [1, 2]


def seen_after(turns: int, writer: Writer, numbers: Path) -> list[int]:
    """What was committed when a work was done that came so many turns of the loop after another."""

    async def later() -> list[int]:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await writer.write(lambda _: kept(numbers))

    async def both() -> list[int]:
        _, seen = await asyncio.gather(writer.write(insert(1)), later())
        return seen

    return asyncio.run(both())


def test_what_comes_soon_is_waited_for(writer: Writer, numbers: Path):
    assert seen_after(module.QUIET, writer, numbers) == []
    assert kept(numbers) == [1]


def test_nobody_is_waited_for_long(writer: Writer, numbers: Path):
    assert seen_after(module.QUIET + 5, writer, numbers) == [1]


def test_the_more_wait_the_less_is_waited(
    writer: Writer, numbers: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MANY", 1)
    assert seen_after(2, writer, numbers) == [1]


def test_a_transaction_that_has_lasted_takes_no_more(
    writer: Writer, numbers: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "SECONDS", 0)
    assert outcomes(writer, insert(1), lambda _: kept(numbers), insert(2)) == [1, [1], 1]
    assert kept(numbers) == [1, 2]


def test_a_work_that_fails_takes_nothing_with_it(writer: Writer, numbers: Path):
    before, bad, after = outcomes(writer, insert(1), insert(2, 1), insert(3))
    assert (before, after) == (1, 1)
    assert isinstance(bad, sqlite3.IntegrityError)
    assert kept(numbers) == [1, 3]


def test_nobody_is_answered_by_a_transaction_that_the_database_ended(writer: Writer, numbers: Path):
    def end(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("ended")

    assert [str(each) for each in outcomes(writer, insert(1), end, insert(2))] == ["ended"] * 3
    assert kept(numbers) == []
    assert outcomes(writer, insert(4)) == [1]


def test_all_that_waited_for_a_locked_file_are_told_so(
    writer: Writer, numbers: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)

    async def ask() -> list[object]:
        works = [writer.write(insert(n)) for n in range(3)]
        return await asyncio.gather(*works, return_exceptions=True)

    with locked(numbers):
        assert [type(each) for each in asyncio.run(ask())] == [Busy] * 3
    assert outcomes(writer, insert(4)) == [1]
    assert kept(numbers) == [4]


def test_the_event_loop_goes_on_while_another_process_writes(writer: Writer, numbers: Path):
    async def ask() -> object:
        with locked(numbers):
            waiting = asyncio.ensure_future(writer.write(insert(1)))
            for _ in range(100):  # turns of the loop, each of which comes
                await asyncio.sleep(0)
            late = asyncio.ensure_future(writer.write(insert(2)))
            assert not waiting.done()
        return await asyncio.gather(waiting, late)

    assert asyncio.run(ask()) == [1, 1]
    assert kept(numbers) == [1, 2]


def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path: Path):
    (tmp_path / "numbers.db").write_text("no database, and longer than the header of one" * 10)
    writer = Writer(tmp_path / "numbers.db")
    with pytest.raises(InputError, match=r"numbers.db cannot be used: it is not a SQLite"):
        asyncio.run(writer.write(insert(1)))
    writer.close()


def test_closing_ends_what_waits_and_refuses_what_comes_later(numbers: Path):
    async def ask() -> list[object]:
        writer = Writer(numbers)
        works = [asyncio.ensure_future(writer.write(insert(n))) for n in range(200)]
        await asyncio.sleep(0)
        writer.close()
        assert kept(numbers) == list(range(200))
        with pytest.raises(RuntimeError, match="is closed"):
            await writer.write(insert(-1))
        return await asyncio.gather(*works)

    assert asyncio.run(ask()) == [1] * 200


def test_closing_ends_what_waits_for_another_process(numbers: Path):
    async def ask() -> object:
        writer = Writer(numbers)
        with locked(numbers):
            waiting = asyncio.ensure_future(writer.write(insert(1)))
            for _ in range(3):  # until it waits in a thread
                await asyncio.sleep(0)
        writer.close()
        return await waiting

    assert asyncio.run(ask()) == 1
    assert kept(numbers) == [1]


def test_what_an_event_loop_has_left_is_finished_for_the_next(writer: Writer, numbers: Path):
    async def leave() -> None:
        work = asyncio.ensure_future(writer.write(insert(1)))
        with locked(numbers):
            for _ in range(3):  # until it waits in a thread
                await asyncio.sleep(0)
            assert not work.done()

    asyncio.run(leave())
    writer.finish()
    assert kept(numbers) == [1]
    assert outcomes(writer, insert(2)) == [1]
    assert kept(numbers) == [1, 2]


def test_what_nobody_waits_for_any_more_is_done_all_the_same(writer: Writer, numbers: Path):
    async def ask() -> object:
        gone = asyncio.ensure_future(writer.write(insert(1)))
        await asyncio.sleep(0)
        gone.cancel()
        return await writer.write(insert(2))

    assert asyncio.run(ask()) == 1
    assert kept(numbers) == [1, 2]
