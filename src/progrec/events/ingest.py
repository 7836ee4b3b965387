"""The ingest stage: raw files -> history, deltas, late events and quarantine."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import duckdb
import typer

from progrec import atomic, progress, settings, stage, warehouse
from progrec.errors import InputError
from progrec.events import catalogue, raw, source, validation
from progrec.events.schema import BATCH, CATALOGUE, COLUMNS, RECEIVED_AT, REQUIRED, STREAM
from progrec.events.source import Source
from progrec.events.validation import LATE
from progrec.settings import IngestSettings
from progrec.warehouse import quoted

EXAMPLES, EXAMPLE_LENGTH = 5, 200

_TYPES = {  # of the columns that are no text
    "event_time": "timestamp",
    "price": "double",
    RECEIVED_AT: "timestamp",
}
_KNOWN = (*COLUMNS, RECEIVED_AT)  # of a log or a batch


@dataclass(frozen=True)
class Counts:
    """Where the rows went: `read` is the sum of the others."""

    read: int
    kept: int
    duplicates: int
    quarantined: int
    set_aside: int = 0


def ingest(data: Path, out: Path, report: Path, config: IngestSettings, cutoff: date) -> Counts:
    """Reads all raw files and writes validated, time-ordered events.

    Args:
        data: the raw folder: `events/`, and where there are any `purchases/` and `products/`.
        out: gets `history/` and `delta/` (a folder `date=YYYY-MM-DD` a UTC day; rows in order of
            time, and within one time of arrival), `late.parquet`, `quarantine.parquet` and
            `catalogue.parquet`.
        report: gets the counts, as JSON.
        config: what a valid row is, and where late ones go.
        cutoff: the first day that is not history.

    Raises:
        InputError: a file cannot be read, too many rows are bad, or no event lies before the
            cutoff. The message names file, line and remedy.
    """
    sources, products = _sources(data, config), catalogue.sources(data, config)
    with (
        warehouse.connect() as connection,
        atomic.replacing(out / "history") as history,
        atomic.replacing(out / "delta") as delta,
        atomic.replacing(out / "late.parquet") as late,
        atomic.replacing(out / "quarantine.parquet") as quarantine,
        atomic.replacing(out / "catalogue.parquet") as products_out,
    ):
        _stage(connection, sources, config)
        _part(connection, sources)
        _refuse_no_rows(connection)
        catalogue.stage(connection, products)
        _refuse_too_many_bad(connection, config)
        _refuse_no_history(connection, cutoff)
        days = _write_events(connection, history, delta, cutoff, config)
        _write_late(connection, late)
        _write_quarantine(connection, quarantine)
        catalogue.write(connection, products_out)
        content = _report(connection, [*sources, *products], days, cutoff)
        counts = _count(connection, days)
    atomic.write_json(report, content)
    return counts


def _sources(data: Path, config: IngestSettings) -> list[tuple[str, Source]]:
    """All logs, then all batches: a row's arrival is its file's place here, then its line."""
    _refuse_unknown_meanings(config)
    required = {
        STREAM: REQUIRED,
        BATCH: tuple(column for column in REQUIRED if column != "event_type"),
    }
    found = [
        (kind, source.understand(path, _KNOWN, required[kind], config.column_aliases))
        for kind, folder in ((STREAM, raw.EVENTS), (BATCH, raw.PURCHASES))
        for path in source.find(data / folder)
    ]
    if not found:
        raise InputError(
            f"{data} holds no events; make the sample shop with `progrec simulate --out {data}`, "
            "or put a log there with `progrec import`"
        )
    return found


def _refuse_unknown_meanings(config: IngestSettings) -> None:
    for alias, name in config.column_aliases.items():
        if name not in (*_KNOWN, *CATALOGUE):
            near = difflib.get_close_matches(name, (*_KNOWN, *CATALOGUE), n=1, cutoff=0)[0]
            raise InputError(
                f"params.yaml: ingest.column_aliases.{alias}: {name} is no column of ours; "
                f"did you mean {near}?"
            )


def _stage(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[tuple[str, Source]],
    config: IngestSettings,
) -> None:
    """Makes the table `staged` of all rows, and `files` of which of them are whose.

    Rows keep their order in a table, blank lines too: arrival is `rowid`, and a file's rows are
    those from its `start` to its `stop`. What memory does not hold, DuckDB moves to its scratch
    folder.
    """
    names = _KNOWN if _say_when_received(sources) else COLUMNS
    columns = ", ".join(f"{column} {_TYPES.get(column, 'varchar')}" for column in names)
    connection.execute(
        f"create table staged ({columns}, day date, content varchar, field varchar, reason varchar)"
    )
    connection.execute(
        "create table files "
        "(file varchar, kind varchar, first_line bigint, start bigint, stop bigint)"
    )
    start = 0
    for kind, file in progress.steps(sources, "reading raw files"):
        query = validation.judged(kind, file, config)
        with source.readable(file):
            inserted = connection.execute(f"insert into staged by name {query}").fetchall()
        stop = start + inserted[0][0]
        connection.execute(
            "insert into files values (?, ?, ?, ?, ?)",
            [str(file.path), kind, file.first_line, start, stop],
        )
        start = stop


def _say_when_received(sources: Sequence[tuple[str, Source]]) -> bool:
    return any(RECEIVED_AT in file.columns for _, file in sources)


def _part(connection: duckdb.DuckDBPyConnection, sources: Sequence[tuple[str, Source]]) -> None:
    """Makes the views `events` and `late` of good rows and the table `bad` of the others.

    A late row whose day is none is set aside; the others are events, too, from when they came in.
    """
    late, received, time = "false", "cast(null as timestamp)", "event_time"
    if _say_when_received(sources):
        late, received = LATE, RECEIVED_AT
        time = f"case when {LATE} then {RECEIVED_AT} else event_time end"
    ((streamed,),) = connection.execute(
        f"select coalesce(max(stop), 0) from files where kind = {quoted(STREAM)}"
    ).fetchall()
    columns = (f"{time} as {name}" if name == "event_time" else name for name in COLUMNS)
    connection.execute(
        f"""
            create view events as
            select
                {", ".join(columns)},
                case when rowid < {streamed} then {quoted(STREAM)} else {quoted(BATCH)} end
                    as source,
                day,
                rowid as arrival
            from staged
            where day is not null
        """
    )
    connection.execute(
        f"""
            create view late as
            select {", ".join(COLUMNS)}, {received} as {RECEIVED_AT}, day, rowid as arrival
            from staged
            where field is null and {late}
        """
    )
    connection.execute(
        """
            create table bad as
            select
                file,
                staged.rowid - start + first_line as line,
                field,
                reason,
                content,
                staged.rowid as arrival
            from staged
            join files on staged.rowid >= start and staged.rowid < stop
            where field is not null
        """
    )


def _refuse_no_rows(connection: duckdb.DuckDBPyConnection) -> None:
    if not any(_tally(connection)):
        raise InputError("the raw files hold no event: there is no row under their headers")


def _refuse_too_many_bad(connection: duckdb.DuckDBPyConnection, config: IngestSettings) -> None:
    good, bad, set_aside = _tally(connection)
    read = good + bad + set_aside
    if bad <= config.max_bad_fraction * read:
        return
    raise InputError(
        f"{bad} of {read} rows are bad, more than "
        f"ingest.max_bad_fraction = {config.max_bad_fraction} allows; mend the files, or raise "
        f"that setting in params.yaml. The first:\n{_first_bad(connection)}"
    )


def _refuse_no_history(connection: duckdb.DuckDBPyConnection, cutoff: date) -> None:
    first, last = connection.execute("select min(day), max(day) from events").fetchall()[0]
    if first is None:
        raise InputError(
            f"the raw files hold no usable event; the first rows:\n{_first_bad(connection)}"
        )
    if first >= cutoff:
        raise InputError(
            f"no event lies before split.cutoff = {cutoff}: the log runs from {first} to {last}; "
            "set split.cutoff in params.yaml to a day in between"
        )


def _first_bad(connection: duckdb.DuckDBPyConnection) -> str:
    examples = connection.execute(
        f"select file, line, field, reason, content[:{EXAMPLE_LENGTH}] from bad "
        f"order by arrival limit {EXAMPLES}"
    ).fetchall()
    return "\n".join(
        f"  {file}, line {line}: {field} {reason}: {content}"
        for file, line, field, reason, content in examples
    )


def _write_events(
    connection: duckdb.DuckDBPyConnection,
    history: Path,
    delta: Path,
    cutoff: date,
    config: IngestSettings,
) -> dict[date, int]:
    """Writes the good rows, once each unless duplicates stay, by time and arrival.

    Returns:
        The days and how many events each has.
    """
    history.mkdir()
    delta.mkdir()
    days = connection.execute("select distinct day from events order by day").fetchall()
    paths = {
        day: (history if day < cutoff else delta) / f"date={day}" / "events.parquet"
        for (day,) in days
    }
    columns = ", ".join((*COLUMNS, "source"))
    arrival, once = "arrival", ""
    if config.drop_duplicates:
        arrival, once = "min(arrival) as arrival", f"group by {columns}"
    queries = {
        path: f"""
            select {columns}
            from (select {columns}, {arrival} from events where day = date '{day}' {once})
            order by event_time, arrival
        """
        for day, path in paths.items()
    }
    rows = warehouse.write_many(connection, queries, "writing events")
    return {day: rows[path] for day, path in paths.items()}


def _count(connection: duckdb.DuckDBPyConnection, days: Mapping[date, int]) -> Counts:
    good, bad, set_aside = _tally(connection)
    kept = sum(days.values())
    return Counts(good + bad + set_aside, kept, good - kept, bad, set_aside)


def _tally(connection: duckdb.DuckDBPyConnection) -> tuple[int, int, int]:
    """How many rows count for a day, are bad, and are set aside."""
    ((good, bad),) = connection.execute("select count(day), count(field) from staged").fetchall()
    return good, bad, _count_rows(connection, "late where day is null")


def _count_rows(connection: duckdb.DuckDBPyConnection, rows: str) -> int:
    return int(connection.execute(f"select count(*) from {rows}").fetchall()[0][0])


def _write_late(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    names = ", ".join(dict.fromkeys(("event_id", "event_time", RECEIVED_AT, *COLUMNS)))
    warehouse.write_parquet(connection, f"select {names} from late order by arrival", path)


def _write_quarantine(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    warehouse.write_parquet(
        connection,
        "select file, line, field, reason, content from bad order by arrival",
        path,
    )


def _report(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[tuple[str, Source]],
    days: Mapping[date, int],
    cutoff: date,
) -> dict[str, object]:
    reasons = connection.execute(
        "select field || ' ' || split_part(reason, ':', 1) as problem, count(*) "
        "from bad group by problem order by problem"
    ).fetchall()
    return {
        "files": len(sources),
        "rows": asdict(_count(connection, days)),
        "quarantine": dict(reasons),
        "late": _count_rows(connection, "late"),
        "ignored_columns": {
            str(file.path): list(file.ignored) for _, file in sources if file.ignored
        },
        "history": _extent(connection, days, f"day < date '{cutoff}'"),
        "delta": _extent(connection, days, f"day >= date '{cutoff}'"),
        "catalogue": catalogue.counts(connection),
    }


def _extent(
    connection: duckdb.DuckDBPyConnection, events: Mapping[date, int], where: str
) -> Mapping[str, int | str | None]:
    users, products, days, first, last = connection.execute(
        f"""
            select
                count(distinct user_id),
                count(distinct product_id),
                list(distinct day),
                cast(min(event_time) as varchar),
                cast(max(event_time) as varchar)
            from events
            where {where}
        """
    ).fetchall()[0]
    return {
        "events": sum(events[day] for day in days or ()),
        "users": users,
        "products": products,
        "days": len(days or ()),
        "first": first,
        "last": last,
    }


def main(
    data: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    report: Annotated[Path, typer.Option()],
) -> None:
    """Validates raw files and writes history, deltas, late events and quarantine."""
    with stage.running("ingest") as done:
        config = settings.load()
        counts = ingest(data, out, report, config.ingest, config.split.cutoff)
        done(
            f"{counts.read:,} rows read = {counts.kept:,} kept + "
            f"{counts.duplicates:,} duplicates + {counts.quarantined:,} quarantined + "
            f"{counts.set_aside:,} set aside"
        )


if __name__ == "__main__":
    typer.run(main)
