"""Files of a log as tests write them, and the rows that are read from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa

from progrec.events import source
from progrec.events.source import Source

KNOWN = ("user_id", "product_id", "event_time", "price")
REQUIRED = ("user_id", "product_id")
ALIASES = {"item_id": "product_id", "Timestamp": "event_time"}

Row = tuple[int, str, str | None, str | None, str | None]
Read = Callable[[str | bytes | pa.Table], list[Row]]


def numbered(connection: duckdb.DuckDBPyConnection, found: Source) -> list[Row]:
    """The rows that are not blank, with their lines."""
    connection.execute(f"create or replace table read as {source.rows(found, REQUIRED)}")
    return connection.execute(
        f"select rowid + {found.first_line}, * from read where content is not null order by rowid"
    ).fetchall()


def understood(path: Path) -> Source:
    return source.understand(path, KNOWN, REQUIRED, ALIASES)


def header(folder: Path, content: str | bytes, name: str = "log.csv") -> Source:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return understood(folder / name)
