"""Group commit: one thread writes for a whole process, and what waits is made durable together."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

from progrec.serving import database
from progrec.serving.ticker import Ticker

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
"""What is done within a transaction, which it must not end."""

SECONDS = 0.02
"""After so long a transaction takes no more works: while it lasts no other process can write."""

CHECKPOINT_SECONDS = 1.0
"""How often what is in the log is put into the file, beside the commits."""


class Writer:
    """A thread with a connection of its own.

    A commit waits for the disk, longer than the work before it takes. What comes in meanwhile is
    done in the next transaction, all of it in one: each work wholly or not at all, in order of
    arrival. None is answered before it is committed.
    """

    def __init__(self, path: Path) -> None:
        """Takes a store that is there."""
        self._path = path
        self._waiting: list[_Job] = []
        self._closed = False
        self._changed = threading.Condition()
        self._copied = threading.Event()
        self._checkpoints = Ticker(CHECKPOINT_SECONDS, self._checkpoint)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    async def write(self, work: Work[T]) -> T:
        """Has a work done.

        Returns:
            What the work returns, once it is committed.

        Raises:
            Busy: others write all the time.
            InputError: the file cannot be used.
            RuntimeError: the writer is closed.
            Exception: what the work raises; nothing of it is kept then.
        """
        loop = asyncio.get_running_loop()
        job = _Job(work, loop.create_future())
        with self._changed:
            if self._closed:
                raise RuntimeError(f"{self._path} is closed")
            self._waiting.append(job)
        # Not at once: what other requests of this turn of the loop ask for comes along.
        loop.call_soon(self._wake)
        result: T = await job.future
        return result

    def close(self) -> None:
        """Returns when everything that waits is done."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._checkpoints.close()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while jobs := self._next():
            try:
                with database.remedies(self._path):
                    connection = connection or self._connect()
                    outcomes = self._committed(connection, jobs)
            except Exception as error:  # whoever waits has to hear of it, whatever it is
                outcomes = [_Outcome(job.future, None, error) for job in jobs]
            _tell(outcomes)
        if connection:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = database.connect(self._path)
        # By default every so many pages a commit, and who waits for it, would wait for this too.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection

    def _checkpoint(self) -> None:
        """Puts what is in the log into the file; the writer adds to the log meanwhile."""
        with database.remedies(self._path), closing(database.connect(self._path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._copied.set()

    def _begin_log_anew(self, connection: sqlite3.Connection) -> None:
        """Puts the little that came since into the file; else the log would grow without end."""
        if self._copied.is_set():
            self._copied.clear()
            connection.execute("PRAGMA wal_checkpoint(RESTART)")

    def _next(self) -> list[_Job]:
        """What waits, once something does; nothing when the writer is closed and all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            jobs, self._waiting = self._waiting, []
        return jobs

    def _committed(self, connection: sqlite3.Connection, jobs: Sequence[_Job]) -> list[_Outcome]:
        """What became of the first jobs, which are one transaction; the others wait on.

        Raises:
            sqlite3.Error: it could not begin or be committed; nothing of it is kept.
        """
        outcomes: list[_Outcome] = []
        self._begin_log_anew(connection)
        with connection:  # BEGIN is ours, COMMIT or ROLLBACK its
            connection.execute("BEGIN IMMEDIATE")
            end = perf_counter() + SECONDS
            while len(outcomes) < len(jobs) and (not outcomes or perf_counter() < end):
                outcomes.append(self._attempt(connection, jobs[len(outcomes)]))
        with self._changed:
            self._waiting[:0] = jobs[len(outcomes) :]
        return outcomes

    def _attempt(self, connection: sqlite3.Connection, job: _Job) -> _Outcome:
        """What a work returns or raises; what it did before it raised is taken back.

        Raises:
            sqlite3.Error: the database has ended the transaction, as it does when the disk is full.
        """
        connection.execute("SAVEPOINT work")
        try:
            with database.remedies(self._path):
                outcome = _Outcome(job.future, job.work(connection), None)
        except Exception as error:
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO work")
            outcome = _Outcome(job.future, None, error)
        connection.execute("RELEASE work")
        return outcome


class _Job(NamedTuple):
    work: Work[Any]
    future: asyncio.Future[Any]


class _Outcome(NamedTuple):
    future: asyncio.Future[Any]
    result: object
    error: Exception | None


def _tell(outcomes: Sequence[_Outcome]) -> None:
    """Wakes each event loop once, however many wait in it."""
    loops: dict[asyncio.AbstractEventLoop, list[_Outcome]] = defaultdict(list)
    for outcome in outcomes:
        loops[outcome.future.get_loop()].append(outcome)
    for loop, its in loops.items():
        with suppress(RuntimeError):  # the loop is closed, and nobody waits in it any more
            loop.call_soon_threadsafe(_settle, its)


def _settle(outcomes: Sequence[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():  # whoever asked has gone
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
