"""The enrich stage: the stream of events, each with what its user had bought before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import tee
from pathlib import Path
from typing import Annotated, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from progrec import atomic, progress, settings, stage, warehouse
from progrec.errors import InputError
from progrec.features import chain, spending, tables
from progrec.features.relation import Relation
from progrec.features.spending import Spending
from progrec.features.tables import Tables

T = TypeVar("T")

ENRICHED, PURCHASES = "enriched", "purchases"

_COLUMNS = ["event_time", "event_type", "user_id", "product_id", "price", "source"]
_UNDER_WAY = 3  # what is enriched or written at once takes memory


@dataclass(frozen=True)
class Day:
    """A day of the stream.

    Attributes:
        events: its events.
        out: the file for its enriched events.
        link: what that file is to be known by, if it is one of a chain.
    """

    events: Path
    out: Path
    link: str | None = None


@dataclass(frozen=True)
class Piece:
    """A part of a day's events that comes in one chunk.

    Attributes:
        day: the day.
        events: the part.
        is_last: whether the day ends with it.
    """

    day: Day
    events: pa.Table
    is_last: bool


def enrich(events: Path, out: Path, chunk_events: int) -> int:
    """Enriches all of history.

    Args:
        events: a folder of events, partitioned by date.
        out: gets `enriched/`, row by row what `events` holds.
        chunk_events: how many events come at a time; the result does not depend on it.

    Returns:
        How many events there are.

    Raises:
        CheckError: a day does not keep the relation's contract.
        InputError: there is no event.
    """
    files = sorted(events.glob("*/*.parquet"))
    if not files:
        raise InputError(f"{events} holds no events; run the pipeline: `dvc repro`")
    with warehouse.connect() as connection, atomic.replacing(out / ENRICHED) as new:
        days = [Day(file, new / file.parent.name / f"{ENRICHED}.parquet") for file in files]
        return stream(connection, days, Spending(), chunk_events)


def enrich_days(events: Path, out: Path, history: Path, chunk_events: int) -> int:
    """Enriches each day of the deltas that is new or changed, or follows such a day.

    Args:
        events: a folder of the deltas' events, partitioned by date.
        out: the tables of the deltas; `purchases` of the earlier days are there.
        history: the tables of history.
        chunk_events: how many events come at a time; the result does not depend on it.

    Returns:
        How many events the days that were made have.

    Raises:
        CheckError: a day does not keep the relation's contract.
    """
    ours, past = Tables(out), Tables(history).files(PURCHASES)
    files = {day: events / f"date={day}" / "events.parquet" for day in tables.days(events)}
    recipe = [
        chain.code("enrich", "relation", "spending", "tables"),
        Relation.named(ENRICHED).text,
        spending.query(),
    ]
    links = chain.links(recipe, past, {day: [file] for day, file in files.items()})
    stale = chain.stale(ours, ENRICHED, links)
    if not stale:
        return 0
    bought = [*past, *(ours.day(PURCHASES, day) for day in sorted(files) if day < stale[0])]
    days = [Day(files[day], ours.day(ENRICHED, day), links[day]) for day in stale]
    with warehouse.connect() as connection:
        state = Spending.after(connection, bought, [day.events for day in days])
        return stream(connection, days, state, chunk_events)


def stream(
    connection: duckdb.DuckDBPyConnection, days: Sequence[Day], state: Spending, chunk_events: int
) -> int:
    """Enriches days chunk by chunk, in the order in which their events arrived.

    Args:
        connection: where the SQL runs.
        days: the days, in order.
        state: what was bought before them; it is carried to their end.
        chunk_events: the most events of a chunk.

    Returns:
        How many events there are.

    Raises:
        CheckError: a day does not keep the relation's contract.
    """
    with ThreadPoolExecutor() as pool:
        chunks = _chunks(progress.steps(days, "enriching events"), chunk_events)
        pieces, chunks = tee(chunks)
        rows = _in_order(pool, _enrichments(connection, chunks, state))
        writes = (
            partial(_write, connection, day, enriched) for day, enriched in _by_day(pieces, rows)
        )
        return sum(_in_order(pool, writes))


def _in_order(pool: Executor, calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """What the calls return, in their order, while the next ones are under way."""
    waiting: deque[Future[T]] = deque()
    for call in calls:
        waiting.append(pool.submit(call))
        if len(waiting) > _UNDER_WAY:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _enrichments(
    connection: duckdb.DuckDBPyConnection, chunks: Iterable[list[Piece]], state: Spending
) -> Iterator[Callable[[], pa.Table]]:
    """The work on each chunk, to be done at any time: only the state goes from one to the next."""
    for chunk in chunks:
        events = pa.concat_tables(piece.events for piece in chunk)
        before = state.of(connection, events)
        yield partial(_enrich, connection, events, before)
        state.advance(connection, events, before)


def _enrich(connection: duckdb.DuckDBPyConnection, events: pa.Table, before: pa.Table) -> pa.Table:
    """One chunk, enriched."""
    position = pa.array(np.arange(len(events)))
    with connection.cursor() as cursor:
        cursor.register("events", events.append_column("position", position))
        cursor.register("spending", before)
        return cursor.sql(Relation.named(ENRICHED).query).to_arrow_table()


def _by_day(
    chunks: Iterable[list[Piece]], enriched: Iterable[pa.Table]
) -> Iterator[tuple[Day, pa.Table]]:
    """The days' enriched events, each day when its last event has come."""
    arrived: list[pa.Table] = []
    for chunk, rows in zip(chunks, enriched, strict=True):
        start = 0
        for piece in chunk:
            arrived.append(rows.slice(start, len(piece.events)))
            start += len(piece.events)
            if piece.is_last:
                yield piece.day, pa.concat_tables(arrived)
                arrived = []


def _chunks(days: Iterable[Day], size: int) -> Iterator[list[Piece]]:
    """The stream in chunks of `size` events; the last may be smaller."""
    chunk: list[Piece] = []
    room = size
    for day in days:
        events = pq.ParquetFile(day.events).read(columns=_COLUMNS)
        start = 0
        while start < len(events):
            piece = Piece(day, events.slice(start, room), start + room >= len(events))
            chunk.append(piece)
            start += len(piece.events)
            room -= len(piece.events)
            if room == 0:
                yield chunk
                chunk, room = [], size
    if chunk:
        yield chunk


def _write(connection: duckdb.DuckDBPyConnection, day: Day, rows: pa.Table) -> int:
    """Checks and writes a day."""
    with connection.cursor() as cursor, atomic.replacing(day.out) as new:
        cursor.register(ENRICHED, rows)
        cursor.execute(f"create temp view events as from {warehouse.parquet([day.events])}")
        Relation.named(ENRICHED).check(cursor)
        return warehouse.write_table(rows, new, day.link)


def main(
    events: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    history: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Enriches the events of history, or with --history of the deltas that follow it."""
    with stage.running(f"enrich of {out.name}") as done:
        chunk_events = settings.load().enrich.chunk_events
        if history is None:
            n_events = enrich(events, out, chunk_events)
        else:
            n_events = enrich_days(events, out, history, chunk_events)
        done(f"{n_events:,} events")


if __name__ == "__main__":
    typer.run(main)
