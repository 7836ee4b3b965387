"""Group commit: what waits to be written is made durable together."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

from progrec.serving import database
from progrec.serving.checkpoints import Checkpoints

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
"""What is done within a transaction, which it must not end; a few milliseconds at most."""

SECONDS = 0.01
"""After so long a transaction takes no more works.

While it lasts no other process can write, and the event loop does nothing else.
"""


QUIET, MANY = 3, 64
"""What waits is done when nothing came in so many turns of the event loop, or so many works wait.

A turn takes microseconds when there is nothing to do; when there is, others' requests are on their
way to here.
"""


class Writer:
    """A connection of an event loop's own, one loop at a time.

    What is asked for together is done in one transaction: each work wholly or not at all, in order
    of arrival. None is answered before it is committed.

    It is done in the loop itself: to hand a work to a thread and its result back takes as long as
    the work, and a thread would run only while the loop does not. What may take longer, to wait for
    another process, is done in a thread.
    """

    def __init__(self, path: Path) -> None:
        """Takes a store that is there."""
        self._path = path
        self._waiting: list[_Job] = []
        self._quiet = 0  # turns of the loop since the last of them came
        self._scheduled: asyncio.Handle | asyncio.Task[None] | None = None
        self._closed = False
        self._checkpoints = Checkpoints(path)
        self._thread = ThreadPoolExecutor(1, "writer")

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
        if self._closed:
            raise RuntimeError(f"{self._path} is closed")
        loop = asyncio.get_running_loop()
        job = _Job(work, loop.create_future())
        self._waiting.append(job)
        self._quiet = 0
        if not self._scheduled:
            self._scheduled = loop.call_soon(self._turn)
        result: T = await job.future
        return result

    def finish(self) -> None:
        """Does all that waits, in place of an event loop that has ended; another may come then."""
        self._thread.submit(int).result()  # what is still to be done there
        while self._waiting:
            try:
                with database.remedies(self._path):
                    if not self._connection.in_transaction:
                        _begin_patiently(self._connection)
            except Exception as error:
                self._fail(error)
            else:
                self._commit()
        self._scheduled = None

    def close(self) -> None:
        """Returns when everything that waits is done."""
        self._closed = True
        self.finish()
        self._thread.shutdown()
        self._checkpoints.close()
        if connection := vars(self).get("_connection"):
            connection.close()

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        connection = database.connect(self._path)
        # By default every so many pages a commit, and who waits for it, would wait for this too.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        # Nor does the event loop wait for whoever else writes or reads.
        connection.execute("PRAGMA busy_timeout = 0")
        return connection

    def _turn(self) -> None:
        """Does some of what waits, if no more is about to come and nobody else is in the way."""
        loop = asyncio.get_running_loop()
        if self._quiet < QUIET and len(self._waiting) < MANY:
            self._quiet += 1
            self._scheduled = loop.call_soon(self._turn)
            return
        try:
            with database.remedies(self._path):
                begun = self._begin()
        except Exception as error:  # whoever waits has to hear of it, whatever it is
            self._fail(error)
        else:
            if not begun:
                self._scheduled = loop.create_task(self._patiently())
                return
            self._commit()
        self._scheduled = loop.call_soon(self._turn) if self._waiting else None

    def _begin(self) -> bool:
        """Begins, if no other process writes."""
        if self._checkpoints.overdue:
            self._checkpoints.begin_log_anew(self._connection)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True

    async def _patiently(self) -> None:
        """Does some of what waits, as soon as no other process writes."""
        loop = asyncio.get_running_loop()
        try:
            with database.remedies(self._path):
                await loop.run_in_executor(self._thread, _begin_patiently, self._connection)
        except Exception as error:
            self._fail(error)
        else:
            self._commit()
        self._scheduled = loop.call_soon(self._turn) if self._waiting else None

    def _fail(self, error: Exception) -> None:
        jobs, self._waiting = self._waiting, []
        _settle([_Outcome(job.future, None, error) for job in jobs])

    def _commit(self) -> None:
        """Does the first of what waits, and commits it; the transaction has begun."""
        outcomes: list[_Outcome] = []
        end = perf_counter() + SECONDS
        try:
            with database.remedies(self._path), self._connection as connection:
                for job in self._waiting:
                    outcomes.append(self._attempt(connection, job))
                    if perf_counter() > end:
                        break
        except Exception as error:  # it was not committed, and nothing of it is kept
            self._fail(error)
        else:
            self._waiting = self._waiting[len(outcomes) :]
            _settle(outcomes)

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


def _begin_patiently(connection: sqlite3.Connection) -> None:
    """Begins as soon as no other process writes."""
    connection.execute(f"PRAGMA busy_timeout = {round(database.BUSY_SECONDS * 1000)}")
    try:
        connection.execute("BEGIN IMMEDIATE")
    finally:
        connection.execute("PRAGMA busy_timeout = 0")


class _Job(NamedTuple):
    work: Work[Any]
    future: asyncio.Future[Any]


class _Outcome(NamedTuple):
    future: asyncio.Future[Any]
    result: object
    error: Exception | None


def _settle(outcomes: Sequence[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():  # whoever asked has gone
            continue
        with suppress(RuntimeError):  # the loop is closed, and nobody waits in it any more
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
