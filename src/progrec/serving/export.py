"""What the service has accepted -> raw files, each of a day that is over."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from functools import partial
from itertools import count
from pathlib import Path

import duckdb
import pyarrow as pa

from progrec import progress, warehouse
from progrec.errors import InputError
from progrec.events import raw
from progrec.events.schema import COLUMNS, RECEIVED_AT
from progrec.serving.store import BATCH_ROWS, Store

NAMES = (*COLUMNS, RECEIVED_AT)
"""Columns of the files, and of the store's events."""

_TYPES = {"event_time": "timestamptz", "price": "double", RECEIVED_AT: "timestamptz"}
_IDS = pa.schema([("place", pa.int64()), ("event_id", pa.string())])
_EVENTS = pa.schema(
    [(name, pa.float64() if name == "price" else pa.string()) for name in (*NAMES, "day")]
)


def export(store: Store, data: Path, before: date) -> dict[Path, int]:
    """Adds accepted events to the raw data, each once: `events/service-YYYY-MM-DD.parquet`.

    An event belongs to the day (UTC) on which it had both happened and come in, as ingest counts
    it: so a day is complete when it is over. What has been exported already is known from the
    files alone, whatever became of them and of earlier calls. No file is ever changed: what comes
    to a day that has one goes into a further one, `service-YYYY-MM-DD-2.parquet`.

    Args:
        store: what the service has accepted.
        data: the folder of raw data.
        before: the first day that is left out, such as today's.

    Returns:
        Events by new file, in the order of days.

    Raises:
        InputError: the database or an earlier file cannot be read, or another export has written
            the same files meanwhile.
    """
    folder = data / raw.EVENTS
    earlier = sorted(folder.glob("service-*.parquet"))
    with warehouse.connect() as connection, raw.staged(data, add=True) as staging:
        _read_ids(connection, store, before, earlier)
        _read_new(connection, store)
        # By the same list as the events: two exports at once choose one name for the same events.
        files = _name_days(connection, {file.name for file in earlier})
        return {
            folder / name: _write(connection, day, staging / raw.EVENTS / name)
            for name, day in progress.steps(files.items(), "exporting days", len(files))
        }


def _read_ids(
    connection: duckdb.DuckDBPyConnection, store: Store, before: date, earlier: Sequence[Path]
) -> None:
    """Makes the tables `accepted` and `exported` of ids, more of which than memory holds."""
    connection.execute("create table accepted (place bigint, event_id varchar)")
    for batch in progress.steps(store.event_ids(before), "looking for new events"):
        _insert(connection, "accepted", batch, _IDS)
    connection.execute("create table exported (event_id varchar)")
    for file in progress.steps(earlier, "reading exported events"):
        try:
            connection.execute(
                f"insert into exported select event_id from {warehouse.parquet([file])}"
            )
        except duckdb.Error as error:
            raise InputError(
                f"{file}: cannot be read ({str(error).splitlines()[0]}); move it away, and its "
                "events are exported again"
            ) from None


def _read_new(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Makes the table `new` of the accepted events that are in no file yet."""
    columns = ", ".join(f"{name} {_TYPES.get(name, 'varchar')}" for name in NAMES)
    connection.execute(f"create table new ({columns}, day date)")
    with connection.cursor() as cursor:
        cursor.execute(
            "select place from accepted anti join exported using (event_id) order by place"
        )
        batches = iter(partial(cursor.fetchmany, BATCH_ROWS), [])
        for batch in progress.steps(batches, "reading new events"):
            _insert(connection, "new", store.events([place for (place,) in batch]), _EVENTS)


def _insert(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    rows: Sequence[tuple[object, ...]],
    schema: pa.Schema,
) -> None:
    columns = zip(zip(*rows, strict=True), schema.types, strict=True)
    arrays = [pa.array(values, kind) for values, kind in columns]
    connection.register("batch", pa.table(arrays, schema))
    connection.execute(f"insert into {table} select * from batch")


def _name_days(connection: duckdb.DuckDBPyConnection, taken: Collection[str]) -> dict[str, date]:
    """A file's name for each day that has events left, in the order of days."""
    days = connection.execute("select distinct day from new order by day").fetchall()
    return {_free_name(day, taken): day for (day,) in days}


def _free_name(day: date, taken: Collection[str]) -> str:
    names = (f"service-{day}{f'-{n}' if n > 1 else ''}.parquet" for n in count(1))
    return next(name for name in names if name not in taken)


def _write(connection: duckdb.DuckDBPyConnection, day: date, path: Path) -> int:
    return warehouse.write_parquet(
        connection,
        f"""
            select {", ".join(NAMES)}
            from new
            where day = date '{day}'
            order by event_time, event_id
        """,
        path,
    )
