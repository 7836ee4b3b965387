"""The log that SQLite writes ahead, and how it gets into the database file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from progrec.serving import database
from progrec.serving.ticker import Ticker

SECONDS = 1.0
"""How often what is in the log is put into the file, beside the commits."""

LONG = 1_000
"""Pages (of 4 KiB) after which the log is to begin anew; it would grow without end else.

The shorter, the sooner a commit writes over pages that the file has already: to make it grow takes
the disk twice as long.
"""

TRIES = 20
"""How often in a row it is tried to copy all that is in the log, while others write."""


class Checkpoints:
    """A thread that puts what is in the log into the file, while others add to the log."""

    def __init__(self, path: Path) -> None:
        """Takes a store that is there."""
        self._path = path
        self.overdue = False
        """Whether the log is long and all but the newest of it is in the file."""
        self._ticker = Ticker(SECONDS, self._copy)

    def begin_log_anew(self, connection: sqlite3.Connection) -> None:
        """Puts the little that came since into the file, between two transactions.

        If somebody still reads from the log it stays as it is: a later look finds it overdue again.
        """
        self.overdue = False
        connection.execute("PRAGMA wal_checkpoint(RESTART)")

    def close(self) -> None:
        """Ends the thread."""
        self._ticker.close()

    def _copy(self) -> None:
        with database.remedies(self._path), closing(database.connect(self._path)) as connection:
            pages = _copied(connection)
            if pages > LONG:
                # SQLite makes the file durable when nobody has added to the log meanwhile. What is
                # not durable yet, the writer would have to wait for.
                for _ in range(TRIES):
                    before, pages = pages, _copied(connection)
                    if pages == before:
                        break
                self.overdue = True


def _copied(connection: sqlite3.Connection) -> int:
    """Puts what is in the log into the file; how many pages the log has."""
    _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages)
