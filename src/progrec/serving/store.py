"""The shoppers' live state: queues, purchases and kept events, in one SQLite file."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from importlib.resources import files
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from weakref import WeakSet

from progrec.errors import InputError
from progrec.learning.touches import Done
from progrec.serving import rules
from progrec.serving.rules import Pool
from progrec.settings import EventType, QueueSettings

SCHEMA_VERSION = 1
BUSY_SECONDS = 10
BATCH_ROWS = 20_000

USERS_REMEDY = {
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database; move it away",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore a copy, or move it away",
    sqlite3.SQLITE_READONLY: "it may not be written; check the permissions of file and folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that it is a file, and its permissions",
    sqlite3.SQLITE_PERM: "it may not be opened; check its permissions",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_BUSY: f"another process has kept it locked for {BUSY_SECONDS} seconds",
}


@dataclass(frozen=True)
class Event:
    """What one shopper did with one product, as the store keeps it."""

    event_time: datetime
    """Aware of its time zone."""
    event_type: EventType
    user_id: str
    product_id: str
    user_session: str | None = None
    price: float | None = None
    category_id: str | None = None
    category_code: str | None = None
    brand: str | None = None
    event_id: str | None = None
    """Without one, events with the same content are the same event."""

    @property
    def identity(self) -> str:
        """The event's id, or the hash of its content."""
        if self.event_id is not None:
            return self.event_id
        content = json.dumps({**asdict(self), "event_time": _text(self.event_time)})
        return hashlib.sha256(content.encode()).hexdigest()


class Store:
    """One SQLite file, shared by any number of threads and processes.

    That no product waits in the queue of a user who has purchased it is a rule of the file's own
    (`schema.sql`), whoever writes to it.
    """

    def __init__(self, path: Path, settings: QueueSettings) -> None:
        """Opens the file, and makes it if it is not there.

        Raises:
            InputError: it cannot be opened or written, or is something else than a store.
        """
        self.path = path
        self.settings = settings
        self._local = threading.local()
        self._handles: WeakSet[_Handle] = WeakSet()
        if not path.exists():
            _create(path)
        with self.transaction():
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{path} is not a store of this version of progrec (its schema is {version}, not"
                f" {SCHEMA_VERSION}); move it away, or set serving.database in params.yaml"
            )

    def close(self) -> None:
        """Closes the connections of all threads."""
        for handle in list(self._handles):
            handle.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What this thread reads and writes within happens at once, or not at all.

        No other thread or process writes meanwhile.
        """
        with self._remedies(), self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield

    def record(self, events: Sequence[Event]) -> list[bool]:
        """Keeps events and applies them to the queues, in order and in one transaction.

        Returns:
            For each event whether it was new; a repeat has no effect.
        """
        received = _text(datetime.now(UTC))
        with self.transaction():
            new = [self._keep(event, received) for event in events]
            by_user: dict[str, list[Event]] = {}
            for event, is_new in zip(events, new, strict=True):
                if is_new:
                    by_user.setdefault(event.user_id, []).append(event)
            for user_id, own in by_user.items():
                self._apply(user_id, own)
        return new

    def queue(self, user_id: str) -> Pool:
        """The user's pool; of a user without a queue, an empty one."""
        for (text,) in self._rows(
            "SELECT product_queue FROM recommendation_queue WHERE user_id = ?", user_id
        ):
            return rules.loads(text)
        return ()

    def put(self, user_id: str, pool: Pool) -> None:
        """Stores the user's pool.

        Raises:
            sqlite3.IntegrityError: it holds a product that the user has purchased.
        """
        with self._remedies():
            self._connection.execute(
                "INSERT INTO recommendation_queue (user_id, product_queue) VALUES (?, ?)"
                " ON CONFLICT (user_id) DO UPDATE SET product_queue = excluded.product_queue",
                (user_id, rules.dumps(pool)),
            )

    def purchased(self, user_id: str) -> frozenset[str]:
        """The products that the user has purchased."""
        rows = self._rows("SELECT product_id FROM purchases WHERE user_id = ?", user_id)
        return frozenset(product_id for (product_id,) in rows)

    def touched(self, user_id: str) -> list[str]:
        """The products that the user has purchased or had an event with, each once."""
        rows = self._rows(
            "SELECT product_id FROM events WHERE user_id = ?1"
            " UNION SELECT product_id FROM purchases WHERE user_id = ?1",
            user_id,
        )
        return [product_id for (product_id,) in rows]

    def done(self, user_id: str, since: date | None) -> list[Done]:
        """What the user has done with products, from the start of a day (UTC) on, if one is named.

        The recommender takes it for what a bundle of an earlier day does not know yet.
        """
        start = "" if since is None else since.isoformat()
        with self._remedies():
            rows = self._connection.execute(
                "SELECT product_id, event_type, count(*), max(event_time) FROM events"
                " WHERE user_id = ? AND event_time >= ?"
                " GROUP BY product_id, event_type ORDER BY product_id, event_type",
                (user_id, start),
            ).fetchall()
        return [
            Done(product_id, event_type, times, datetime.fromisoformat(last).date())
            for product_id, event_type, times, last in rows
        ]

    def event_ids(self, before: date) -> Iterator[list[tuple[int, str]]]:
        """The kept events of the days (UTC) before one, batch by batch.

        They are those of one moment, and nobody who writes meanwhile waits.

        Yields:
            Places in the file, by which `events` finds them, and ids.
        """
        with self._remedies():
            cursor = self._connection.execute(
                "SELECT rowid, event_id FROM events WHERE max(event_time, received_at) < ?",
                (str(before),),
            )
            while batch := cursor.fetchmany(BATCH_ROWS):
                yield batch

    def events(self, places: Sequence[int]) -> list[tuple[str | float | None, ...]]:
        """Kept events by their places: the columns of the table `events`, and the day (UTC).

        An event's day is that on which it had both happened and come in.
        """
        with self._remedies():
            return self._connection.execute(
                "SELECT *, substr(max(event_time, received_at), 1, 10) FROM events"
                " WHERE rowid IN (SELECT value FROM json_each(?))",
                (json.dumps(places),),
            ).fetchall()

    def waiting(self, before: date) -> int:
        """How many kept events `event_ids` leaves out."""
        with self._remedies():
            ((count,),) = self._connection.execute(
                "SELECT count(*) FROM events WHERE max(event_time, received_at) >= ?",
                (str(before),),
            )
        return int(count)

    def add_purchases(self, rows: Iterable[tuple[str, str, datetime]]) -> int:
        """Adds purchases (user, product, aware time), and takes the products from the queues.

        Batch by batch, so that others can write in between; an interrupted call is completed by
        the next. Rows sorted by user and product are added fastest.

        Returns:
            How many of them were not there yet.
        """
        added = 0
        remaining = iter(rows)
        while batch := list(islice(remaining, BATCH_ROWS)):
            with self.transaction():
                added += self._connection.executemany(
                    "INSERT INTO purchases (user_id, product_id, purchased_at) VALUES (?, ?, ?)"
                    " ON CONFLICT DO NOTHING",
                    ((user_id, product_id, _text(time)) for user_id, product_id, time in batch),
                ).rowcount
        return added

    def _keep(self, event: Event, received: str) -> bool:
        """Keeps an event, and a purchase with it; says whether it was new."""
        cursor = self._connection.execute(
            "INSERT INTO events VALUES (:event_id, :event_time, :event_type, :user_id, :product_id,"
            " :user_session, :price, :category_id, :category_code, :brand, :received_at)"
            " ON CONFLICT (event_id) DO NOTHING",
            {
                **asdict(event),
                "event_id": event.identity,
                "event_time": _text(event.event_time),
                "received_at": received,
            },
        )
        return cursor.rowcount == 1

    def _apply(self, user_id: str, events: Sequence[Event]) -> None:
        """Changes the user's pool as kept events say; the purchases among them have done so."""
        before = pool = self.queue(user_id)
        purchased = self.purchased(user_id)
        for event in events:
            if event.event_type != "purchase" and event.product_id not in purchased:
                weight = self.settings.weights.get(event.event_type, 0.0)
                pool = rules.after_event(pool, event.product_id, weight)
        if pool != before:
            self.put(user_id, pool)

    def _rows(self, query: str, user_id: str) -> list[tuple[str]]:
        with self._remedies():
            return self._connection.execute(query, (user_id,)).fetchall()

    @property
    def _connection(self) -> sqlite3.Connection:
        """This thread's own."""
        if not hasattr(self._local, "handle"):
            self._local.handle = _Handle(_connect(self.path))
            self._handles.add(self._local.handle)
        connection: sqlite3.Connection = self._local.handle.connection
        return connection

    @contextmanager
    def _remedies(self) -> Iterator[None]:
        """Turns what the user can put right into an InputError that says how."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            # The low byte is the kind of error; errors of the sqlite3 module itself have none.
            remedy = USERS_REMEDY.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
            if remedy is None:
                raise
            raise InputError(f"{self.path} cannot be used: {remedy} ({error})") from error


class _Handle:
    """What a thread holds of its connection, which closes when the thread ends.

    By itself a connection, which stands in a reference cycle, would wait for the garbage collector.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        # Each thread uses its own; close() closes them all.
        check_same_thread=False,
    )
    # An event that was answered outlives a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _create(path: Path) -> None:
    """Makes an empty store, which appears whole: several may open one for the first time at once.

    Raises:
        InputError: the folder is not there, or may not be written.
    """
    schema = files("progrec.serving").joinpath("schema.sql").read_text(encoding="utf-8")
    try:
        with TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            new = Path(folder) / path.name
            new.touch(mode=0o600)
            with closing(sqlite3.connect(new)) as connection:
                connection.executescript(
                    f"BEGIN; {schema} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"
                )
                connection.execute("PRAGMA journal_mode = WAL")
            with suppress(FileExistsError):
                os.link(new, path)
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}") from None


def _text(time: datetime) -> str:
    """A time as it is stored, so that the order of texts is that of times."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
