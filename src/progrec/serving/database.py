"""The database file: made, opened, and brought up to the present schema."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from progrec.errors import InputError

SCHEMA_VERSION = 4
MIGRATIONS = {2: "migration_2", 4: "migration_4"}
"""What brings the tables up to a version; all others have changed the rules alone."""

BUSY_SECONDS = 10
OWNER_ONLY = 0o600

REMEDIES = {
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database; move it away",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore a backup (docs/queue.md), or move it away",
    sqlite3.SQLITE_READONLY: "it may not be written; check the permissions of file and folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that it is a file, and its permissions",
    sqlite3.SQLITE_PERM: "it may not be opened; check its permissions",
    sqlite3.SQLITE_FULL: "the disk is full; make room",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written; check it",
}


class Busy(InputError):  # noqa: N818  # what it says of the file
    """Another process has kept the database locked for longer than one waits; try again."""


@contextmanager
def remedies(path: Path) -> Iterator[None]:
    """Turns what the user can put right into an error that says how.

    Raises:
        Busy: others write all the time.
        InputError: the file cannot be used.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        # The low byte is the kind of error; errors of the sqlite3 module itself have none.
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if kind == sqlite3.SQLITE_BUSY:
            raise Busy(
                f"{path} is busy: another process has kept it locked for {BUSY_SECONDS} seconds"
            ) from error
        if kind not in REMEDIES:
            raise
        raise InputError(f"{path} cannot be used: {REMEDIES[kind]} ({error})") from error


def connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    """Opens a file that is there; a `mode` of `ro` never changes it."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        # Each thread uses its own; the store closes them all.
        check_same_thread=False,
    )
    # An event that was answered outlives a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    return connection


@contextmanager
def snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """A store as it is at one moment; nobody who writes meanwhile waits.

    Raises:
        InputError: it cannot be opened, or is something else than a store of this version.
    """
    with remedies(path), closing(connect(path)) as connection, connection:
        connection.execute("BEGIN")
        _require(path, version(connection), [SCHEMA_VERSION])
        yield connection


def prepare(path: Path) -> None:
    """Makes the store if it is not there, and brings it up to the present schema.

    Raises:
        InputError: it cannot be opened or written, or is something else than a store.
    """
    if not path.exists():
        _create(path)
    with remedies(path), closing(connect(path)) as connection:
        _require(path, version(connection), range(1, SCHEMA_VERSION + 1))
        _migrate(connection)
    _shut_out_others(path)


def version(connection: sqlite3.Connection) -> int:
    """The file's schema."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def rules() -> dict[str, str]:
    """The views and triggers that a store has, by name, as SQLite keeps them."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_script("schema") + _script("triggers"))
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type IN ('view', 'trigger')"
        )
        return dict(rows.fetchall())


def _require(path: Path, found: int, usable: Collection[int]) -> None:
    if found in usable:
        return
    if found > SCHEMA_VERSION:
        raise InputError(
            f"{path} was made by a newer version of progrec (its schema is {found}, not"
            f" {SCHEMA_VERSION}); install that one, or restore a backup from before"
        )
    if found:
        raise InputError(
            f"{path} was made by an earlier version of progrec (its schema is {found}, not"
            f" {SCHEMA_VERSION}); `progrec queue rebuild` or the service bring it up"
        )
    raise InputError(
        f"{path} is not a store of progrec; move it away, or set serving.database in params.yaml"
    )


def _create(path: Path) -> None:
    """Makes an empty store, which appears whole: several may open one for the first time at once.

    Raises:
        InputError: the folder is not there, or may not be written.
    """
    try:
        with TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            new = Path(folder) / path.name
            new.touch(mode=OWNER_ONLY)
            with closing(sqlite3.connect(new)) as connection:
                connection.executescript(
                    f"BEGIN; {_script('schema')} {_script('triggers')}"
                    f" PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"
                )
                connection.execute("PRAGMA journal_mode = WAL")
            with suppress(FileExistsError):
                os.link(new, path)
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}") from None


def _migrate(connection: sqlite3.Connection) -> None:
    """Brings a store of an earlier version up, in one transaction."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        before = version(connection)
        if before < SCHEMA_VERSION:
            tables = [script for step, script in MIGRATIONS.items() if step > before]
            for script in ["rules_dropped", *tables, "triggers"]:
                for statement in _statements(_script(script)):
                    connection.execute(statement)
        # Also when it is so already: a file that may not be written is refused now, not later.
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _script(name: str) -> str:
    return files("progrec.serving").joinpath(f"{name}.sql").read_text(encoding="utf-8")


def _statements(script: str) -> Iterator[str]:
    """A script's statements one by one: `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _shut_out_others(path: Path) -> None:
    """Takes others' permissions from a file that was copied here; SQLite's own files follow it."""
    for file in (path, *(path.with_name(f"{path.name}-{kind}") for kind in ("wal", "shm"))):
        with suppress(FileNotFoundError):
            if file.stat().st_mode & 0o077:
                file.chmod(OWNER_ONLY)
