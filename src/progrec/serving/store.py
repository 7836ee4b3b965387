"""The shoppers' live state: queues, purchases and kept events, in one SQLite file."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from weakref import WeakSet

from progrec.learning.touches import Done
from progrec.serving import database, kept, queues, sessions
from progrec.serving.database import Busy
from progrec.serving.kept import Event
from progrec.serving.rules import Pool
from progrec.serving.writer import T, Work, Writer
from progrec.settings import QueueSettings

__all__ = ["Busy", "Event", "Store"]

BATCH_ROWS = 20_000


class Store:
    """One SQLite file, shared by any number of threads and processes.

    That no product waits in the queue of a user who has purchased it is a rule of the file's own
    (`triggers.sql`), whoever writes to it.
    """

    def __init__(self, path: Path, settings: QueueSettings) -> None:
        """Opens the file, makes it if it is not there, and brings an older one up.

        Raises:
            InputError: it cannot be opened or written, or is something else than a store.
        """
        self.path = path
        self.settings = settings
        self._local = threading.local()
        self._handles: WeakSet[_Handle] = WeakSet()
        self._writers: dict[asyncio.AbstractEventLoop, Writer] = {}
        self._lock = threading.Lock()
        database.prepare(path)

    def close(self) -> None:
        """Does what waits to be written, and closes all connections."""
        for writer in self._writers.values():
            writer.close()
        for handle in list(self._handles):
            handle.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """What this thread reads and writes within happens at once, or not at all.

        No other thread or process writes meanwhile. It lasts when the body has ended.

        Raises:
            Busy: the others did not stop writing.
            InputError: the file cannot be used.
        """
        with self._begun("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """What this thread reads within is of one moment; others write meanwhile."""
        with self._begun("BEGIN") as connection:
            yield connection

    async def write(self, work: Work[T]) -> T:
        """Has a work done within a transaction that others of this event loop share.

        Returns:
            What the work returns, once it is committed.

        Raises:
            Busy: the others did not stop writing.
            InputError: the file cannot be used.
            Exception: what the work raises; nothing of it is kept then.
        """
        return await self._writer().write(work)

    def queue(self, user_id: str) -> Pool:
        """The user's pool; of a user without a queue, an empty one."""
        with self.reading() as connection:
            return queues.pool(connection, sessions.shopper(connection, user_id))

    def purchased(self, user_id: str) -> frozenset[str]:
        """The products that the user has purchased, but for those that were refunded since."""
        with self.reading() as connection:
            return queues.purchased(connection, sessions.shopper(connection, user_id))

    def refunded(self, user_id: str) -> dict[str, date]:
        """The products that the user has given back and not bought again, and the day (UTC)."""
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT product_id, substr(refunded_at, 1, 10) FROM purchases"
                " WHERE user_id = ? AND refunded_at IS NOT NULL",
                (sessions.shopper(connection, user_id),),
            )
            return {product_id: date.fromisoformat(day) for product_id, day in rows}

    def touched(self, user_id: str) -> list[str]:
        """The products that the user has purchased or had an event with, each once."""
        with self.reading() as connection:
            return kept.touched(connection, sessions.shopper(connection, user_id))

    def done(self, user_id: str, since: date | None) -> list[Done]:
        """What the user has done, from the start of a day (UTC) on; see `kept.done`."""
        with self.reading() as connection:
            return kept.done(connection, sessions.shopper(connection, user_id), since)

    def event_ids(self, before: date) -> Iterator[list[tuple[int, str]]]:
        """The kept events of the days (UTC) before one, batch by batch.

        They are those of one moment, and nobody who writes meanwhile waits. Refunds are not among
        them: the pipeline does not know that type.

        Yields:
            Places in the file, by which `events` finds them, and ids.
        """
        with database.remedies(self.path):
            cursor = self._connection.execute(
                "SELECT rowid, event_id FROM events WHERE max(event_time, received_at) < ?"
                " AND event_type IN (SELECT value FROM json_each(?))",
                (str(before), json.dumps(kept.TYPES)),
            )
            while batch := cursor.fetchmany(BATCH_ROWS):
                yield batch

    def events(self, places: Sequence[int]) -> list[tuple[str | float | None, ...]]:
        """Kept events by their places: the columns of the table `events`, and the day (UTC).

        An event's day is that on which it had both happened and come in.
        """
        with self.reading() as connection:
            return connection.execute(
                "SELECT *, substr(max(event_time, received_at), 1, 10) FROM events"
                " WHERE rowid IN (SELECT value FROM json_each(?))",
                (json.dumps(places),),
            ).fetchall()

    def waiting(self, before: date) -> int:
        """How many kept events of later days `event_ids` leaves out."""
        with self.reading() as connection:
            ((count,),) = connection.execute(
                "SELECT count(*) FROM events WHERE max(event_time, received_at) >= ?"
                " AND event_type IN (SELECT value FROM json_each(?))",
                (str(before), json.dumps(kept.TYPES)),
            )
        return int(count)

    def add_purchases(self, rows: Iterable[tuple[str, str, datetime]]) -> int:
        """Adds purchases (user, product, aware time), and takes the products from the queues.

        Batch by batch, so that others can write in between; an interrupted call is completed by
        the next. Rows sorted by user and product are added fastest.

        Returns:
            How many of them were new.
        """
        added = 0
        remaining = iter(rows)
        while batch := list(islice(remaining, BATCH_ROWS)):
            with self.transaction() as connection:
                added += kept.add_purchases(connection, batch)
        return added

    def _writer(self) -> Writer:
        """The running event loop's own."""
        loop = asyncio.get_running_loop()
        if writer := self._writers.get(loop):
            return writer
        with self._lock:
            ended = next((each for each in self._writers if each.is_closed()), None)
            if ended is None:
                writer = Writer(self.path)
            else:
                writer = self._writers.pop(ended)
                writer.finish()
            self._writers[loop] = writer
            return writer

    @contextmanager
    def _begun(self, begin: str) -> Iterator[sqlite3.Connection]:
        with database.remedies(self.path), self._connection as connection:
            connection.execute(begin)
            yield connection

    @property
    def _connection(self) -> sqlite3.Connection:
        """This thread's own."""
        if not hasattr(self._local, "handle"):
            self._local.handle = _Handle(database.connect(self.path))
            self._handles.add(self._local.handle)
        connection: sqlite3.Connection = self._local.handle.connection
        return connection


class _Handle:
    """What a thread holds of its connection, which closes when the thread ends.

    By itself a connection, which stands in a reference cycle, would wait for the garbage collector.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()
