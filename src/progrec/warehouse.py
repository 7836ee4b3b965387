"""DuckDB as the pipeline uses it: bounded, in UTC, and writing the same bytes every time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from progrec import progress

MEMORY = "4GB"
ROW_GROUP = 122_880
LINK = "link"


@contextmanager
def connect() -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens an in-memory database that spills to a scratch folder, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="progrec-") as scratch, duckdb.connect() as connection:
        connection.execute("set global timezone = 'UTC'")  # global: for its cursors, too
        # A file's columns would else be optional or not as the rest of its table has gaps or not.
        connection.execute("set disabled_optimizers = 'statistics_propagation'")
        connection.execute(f"set memory_limit = '{MEMORY}'")
        connection.execute(f"set temp_directory = {quoted(scratch)}")
        yield connection


def write_parquet(
    connection: duckdb.DuckDBPyConnection, query: str, path: Path, link: str | None = None
) -> int:
    """Writes a query's rows, in its order, to one Parquet file.

    Row groups have a fixed size and the query states its order, so the same rows make the same
    bytes.

    Args:
        connection: where the query runs.
        query: the rows.
        path: the file.
        link: what the file's metadata shall say under `link`.

    Returns:
        How many rows there are.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = f", kv_metadata {{{LINK}: {quoted(link)}}}" if link else ""
    copied = connection.execute(
        f"copy ({query}) to {quoted(path)} "
        f"(format parquet, compression zstd, row_group_size {ROW_GROUP}{metadata})"
    )
    return int(copied.fetchall()[0][0])


def write_table(table: pa.Table, path: Path, link: str | None = None) -> int:
    """Writes rows that are in Arrow's memory to one Parquet file; else as `write_parquet`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {LINK: link} if link else None
    pq.write_table(
        # Pages are cut where the table's chunks end, and those depend on how it was made.
        table.replace_schema_metadata(metadata).combine_chunks(),
        path,
        compression="zstd",
        row_group_size=ROW_GROUP,
    )
    return len(table)


def link(path: Path) -> str | None:
    """What a Parquet file's metadata says under `link`; None if there is no file."""
    if not path.exists():
        return None
    found = (pq.read_metadata(path).metadata or {}).get(LINK.encode())
    return found.decode() if found else None


def write_many(
    connection: duckdb.DuckDBPyConnection, queries: Mapping[Path, str], description: str
) -> dict[Path, int]:
    """Writes many Parquet files that fit into memory, as many at a time as there are threads.

    A query over one day's rows keeps one core busy at most; the others write other days meanwhile,
    and Arrow encodes with less work than DuckDB, though not with several threads.

    Args:
        connection: where the queries run; what they read are its tables and views, not temporary
            ones, which no other thread sees.
        queries: path -> its rows, in order.
        description: what to show while they are written.

    Returns:
        Rows by path.
    """
    threads = int(connection.execute("select current_setting('threads')").fetchall()[0][0])

    def write(path: Path) -> int:
        with connection.cursor() as cursor:
            return write_table(cursor.sql(queries[path]).to_arrow_table(), path)

    paths = list(queries)
    with ThreadPoolExecutor(threads) as pool:
        rows = progress.steps(pool.map(write, paths), description, total=len(paths))
        return dict(zip(paths, rows, strict=True))


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
