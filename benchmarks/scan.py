"""The yardstick: what DuckDB takes merely to read a log."""

from __future__ import annotations

import time
from pathlib import Path

import duckdb

from progrec.events.schema import REES46

_TYPES = {"event_time": "timestamptz", "price": "double"}


def scan(data: Path, events: int) -> float:
    """Reads and parses every column of a log in REES46's form, with DuckDB's own number of threads.

    Args:
        data: the folder of raw data.
        events: how many rows it has.

    Returns:
        Seconds.

    Raises:
        RuntimeError: rows were left out, beyond the few malformed ones.
    """
    counts = ", ".join(f"count({column})" for column in REES46)
    columns = {column: _TYPES.get(column, "varchar") for column in REES46}
    query = f"""
        select {counts}
        from read_csv(
            '{data}/events/*.csv',
            auto_detect = false, header = true, ignore_errors = true, columns = {columns}
        )
    """
    with duckdb.connect() as connection:
        connection.execute("set enable_progress_bar = false")
        begin = time.perf_counter()
        counted = connection.execute(query).fetchall()[0]
        seconds = time.perf_counter() - begin
    parsed = dict(zip(REES46, counted, strict=True))
    if min(parsed["event_time"], parsed["price"]) < 0.99 * events:
        raise RuntimeError(f"of {events} rows, the scan of {data} parsed only {parsed}")
    return seconds
