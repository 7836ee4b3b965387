"""The features stage: events -> the tables that a recommender learns from."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated

import duckdb
import typer

from progrec import atomic, progress, settings, warehouse
from progrec.errors import reported
from progrec.settings import SplitSettings

DAILY = "interactions"
TABLES = ("user_features", "item_features", "targets")

_NO_EVENTS = """
    select
        null::timestamp as event_time, null::varchar as event_type, null::varchar as user_id,
        null::varchar as product_id, null::double as price, null::varchar as category_id,
        null::varchar as category_code, null::varchar as brand
    where false
"""


class Part(StrEnum):
    """A side of the cutoff."""

    HISTORY = "history"
    DELTA = "delta"


def build(
    events: Path, catalogue: Path, out: Path, target_window: tuple[date, date]
) -> dict[str, int]:
    """Runs every relation of `sql/` over one side of the cutoff.

    Args:
        events: a folder of events, partitioned by date; it may be empty.
        catalogue: the catalogue that ingest wrote.
        out: gets `interactions/date=YYYY-MM-DD/` and a Parquet file for each other table.
        target_window: first and last day of the purchases that go to `targets`.

    Returns:
        Rows by table.
    """
    with warehouse.connect() as connection, atomic.replacing(out) as new:
        _bind(connection, events, catalogue, target_window)
        for name in progress.steps((DAILY, *TABLES), f"features of {events.name}"):
            query = (resources.files("progrec.features") / "sql" / f"{name}.sql").read_text()
            connection.execute(f"create table {name} as {query}")
        _write_daily(connection, new / DAILY)
        for name in TABLES:
            warehouse.write_parquet(connection, f"from {name}", new / f"{name}.parquet")
        return {name: _count(connection, name) for name in (DAILY, *TABLES)}


def _bind(
    connection: duckdb.DuckDBPyConnection,
    events: Path,
    catalogue: Path,
    target_window: tuple[date, date],
) -> None:
    """Gives the relations their inputs: events, catalogue and target_window."""
    files = sorted(events.glob("*/*.parquet"))
    rows = f"from {warehouse.parquet(files)}" if files else _NO_EVENTS
    first, last = target_window
    connection.execute(f"create view events as {rows}")
    connection.execute(f"create view catalogue as from {warehouse.parquet([catalogue])}")
    connection.execute(
        "create view target_window as "
        f"select date '{first}' as first_day, date '{last}' as last_day"
    )


def _write_daily(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    folder.mkdir(parents=True)
    days = connection.execute(f"select distinct date from {DAILY} order by date").fetchall()
    for (day,) in days:
        query = f"select * exclude (date) from {DAILY} where date = date '{day}'"
        warehouse.write_parquet(connection, query, folder / f"date={day}" / "interactions.parquet")


def _count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    return int(connection.execute(f"select count(*) from {name}").fetchall()[0][0])


def window(part: Part, split: SplitSettings) -> tuple[date, date]:
    """The days whose purchases are to be foreseen: the end of history, the start of the deltas."""
    if part is Part.HISTORY:
        return split.cutoff - timedelta(split.validation_days), split.cutoff - timedelta(1)
    return split.cutoff, split.cutoff + timedelta(split.horizon_days - 1)


def main(
    part: Annotated[Part, typer.Option()],
    events: Annotated[Path, typer.Option()],
    catalogue: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
) -> None:
    """Builds the feature tables of history or of the deltas."""
    with reported():
        rows = build(events, catalogue, out, window(part, settings.load().split))
    typer.echo(f"features: {', '.join(f'{count:,} {name}' for name, count in rows.items())}")


if __name__ == "__main__":
    typer.run(main)
