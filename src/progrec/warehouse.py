"""DuckDB as the pipeline uses it: bounded, in UTC, and writing the same bytes every time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
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
        # A file's columns would else be optional or not as the rest of its table has gaps or not.
        connection.execute("set disabled_optimizers = 'statistics_propagation'")
        connection.execute(f"set memory_limit = '{MEMORY}'")
        connection.execute(f"set temp_directory = {quoted(scratch)}")
        yield connection


def write_parquet(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    """Writes a query's rows, in its order, to one Parquet file.

    Row groups have a fixed size and the query states its order, so the same rows make the same
    bytes.

    Returns:
        How many rows there are.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    copied = connection.execute(
        f"copy ({query}) to {quoted(path)} "
        f"(format parquet, compression zstd, row_group_size {ROW_GROUP})"
    )
    return int(copied.fetchall()[0][0])


def parquet(files: Iterable[Path]) -> str:
    """SQL of the rows of Parquet files, of which there is at least one."""
    listed = ", ".join(quoted(file) for file in files)
    return f"read_parquet([{listed}], hive_partitioning = false)"


def quoted(value: object) -> str:
    """A value's text as an SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"


def named(name: str) -> str:
    """A column's name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
