"""A copy of the store, made while it is in use."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from progrec import atomic
from progrec.errors import InputError
from progrec.serving import database


def backup(store: Path, copy: Path) -> None:
    """Copies the store as it is at one moment; nobody who writes meanwhile waits.

    The copy takes its place whole, after it was checked; until then an earlier one stays.

    Args:
        store: the database.
        copy: the file to make, which only its owner may read.

    Raises:
        InputError: the store cannot be read or is damaged, or the copy would replace a database
            that is in use.
    """
    _require_unused(store, copy)
    with database.snapshot(store) as connection, atomic.replacing(copy) as new:
        new.touch(mode=database.OWNER_ONLY)
        with database.remedies(copy), closing(database.connect(new)) as target:
            connection.backup(target)
            _require_sound(target, store)


def _require_unused(store: Path, copy: Path) -> None:
    if copy.exists() and copy.samefile(store):
        raise InputError(f"{copy} is the database itself; name another file")
    # SQLite would play the log of the replaced file into the new one.
    log = copy.with_name(f"{copy.name}-wal")
    if log.exists():
        raise InputError(f"{copy} is in use: {log} lies beside it; name another file")


def _require_sound(copy: sqlite3.Connection, store: Path) -> None:
    ((finding,),) = copy.execute("PRAGMA integrity_check(1)")
    if finding != "ok":
        raise InputError(
            f"{store} is damaged ({finding}); its copy was not kept: restore an earlier one"
        )
