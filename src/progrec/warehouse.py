"""DuckDB as the pipeline uses it: bounded, in UTC, and writing the same bytes every time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

MEMORY = "4GB"
ROW_GROUP = 122_880


@contextmanager
def connect() -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens an in-memory database that spills to a scratch folder, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="progrec-") as scratch, duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"set memory_limit = '{MEMORY}'")
        connection.execute(f"set temp_directory = {quoted(scratch)}")
        yield connection


def write_parquet(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Writes a query's rows, in its order, to one Parquet file.

    Row groups have a fixed size and the query states its order, so the same rows make the same
    bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection.execute(
        f"copy ({query}) to {quoted(path)} "
        f"(format parquet, compression zstd, row_group_size {ROW_GROUP})"
    )


def quoted(value: object) -> str:
    """A value's text as an SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"


def named(name: str) -> str:
    """A column's name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
