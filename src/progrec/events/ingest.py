"""The ingest stage: raw files -> history, deltas and quarantine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import duckdb
import typer

from progrec import atomic, progress, settings, warehouse
from progrec.errors import InputError, reported
from progrec.events import raw, source
from progrec.events.schema import CATALOGUE, COLUMNS, EVENT_TYPES, REQUIRED
from progrec.events.source import Source
from progrec.settings import IngestSettings
from progrec.warehouse import quoted

STREAM, BATCH = "stream", "batch"
EXAMPLES = 5

_TYPED = ("event_time", "price")

# Casting to TIMESTAMP drops an offset without a word, so a time that has one goes the long way.
_TIME = r"""
    case
        when regexp_matches(event_time, ':\d\d(\.\d+)? ?[+-]\d\d(:?\d\d)?$')
            then timezone('UTC', try_cast(event_time as timestamptz))
        else try_cast(event_time as timestamp)
    end
"""


@dataclass(frozen=True)
class Counts:
    """Where the rows went: `read` is the sum of the other three."""

    read: int
    kept: int
    duplicates: int
    quarantined: int


def ingest(data: Path, out: Path, report: Path, config: IngestSettings, cutoff: date) -> Counts:
    """Reads all raw files and writes validated, time-ordered events.

    Args:
        data: the raw folder: `events/`, and where there are any `purchases/` and `products/`.
        out: gets `history/` and `delta/` (a folder `date=YYYY-MM-DD` a UTC day; rows in order of
            time, and within one time of arrival), `quarantine.parquet` and `catalogue.parquet`.
        report: gets the counts, as JSON.
        config: what a valid row is.
        cutoff: the first day that is not history.

    Raises:
        InputError: a file cannot be read, too many rows are bad, or no event lies before the
            cutoff. The message names file, line and remedy.
    """
    with warehouse.connect() as connection:
        sources = _sources(data, config)
        _stage(connection, sources, config)
        _order(connection, config)
        counts = _count(connection)
        _refuse_too_many_bad(connection, counts, config)
        _refuse_no_history(connection, cutoff)
        _write_events(connection, out, cutoff)
        _write_quarantine(connection, out)
        _write_catalogue(connection, data, out, config)
        atomic.write_json(report, _report(connection, sources, counts, cutoff))
    return counts


def _sources(data: Path, config: IngestSettings) -> list[tuple[str, Source]]:
    """All logs, then all batches: a row's arrival is its file's place here, then its line."""
    required = {
        STREAM: REQUIRED,
        BATCH: tuple(column for column in REQUIRED if column != "event_type"),
    }
    found = [
        (kind, source.understand(path, COLUMNS, required[kind], config.column_aliases))
        for kind, folder in ((STREAM, raw.EVENTS), (BATCH, raw.PURCHASES))
        for path in source.find(data / folder)
    ]
    if not found:
        raise InputError(
            f"{data} holds no events; make the sample shop with `progrec simulate --out {data}`, "
            "or put a log there with `progrec import`"
        )
    return found


def _stage(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[tuple[str, Source]],
    config: IngestSettings,
) -> None:
    """Reads every row into the table `staged`, with what is wrong with it in field and reason."""
    texts = ", ".join(f"{column} varchar" for column in COLUMNS if column not in _TYPED)
    connection.execute(
        f"""create table staged (
            source varchar, file varchar, arrival bigint, line bigint, content varchar,
            field varchar, reason varchar, event_time timestamp, price double, {texts})"""
    )
    files = progress.steps(list(enumerate(sources)), "reading raw files")
    for number, (kind, file) in files:
        try:
            connection.execute(_staged(connection, number, kind, file, config))
        except duckdb.Error as error:
            raise InputError(f"{file.path}: cannot be read ({_first_line(error)})") from None


def _staged(
    connection: duckdb.DuckDBPyConnection,
    number: int,
    kind: str,
    file: Source,
    config: IngestSettings,
) -> str:
    """SQL that inserts one file's rows, typed and judged."""
    untyped = ", ".join(column for column in COLUMNS if column not in (*_TYPED, "event_type"))
    return f"""
        insert into staged by name
        with texts as ({source.rows(connection, file, COLUMNS)}),
        typed as (
            select
                line,
                content,
                problem,
                {untyped},
                {_event_type(kind, config)} as event_type,
                event_time as time_text,
                {_TIME} as event_time,
                price as price_text,
                try_cast(price as double) as price
            from texts
        ),
        judged as (select *, {_judge(config)} as verdict from typed)
        select
            {quoted(kind)} as source,
            case when verdict is not null then {quoted(file.path)} end as file,
            {number} * cast(1e12 as bigint) + line as arrival,
            line,
            case when verdict is not null then content end as content,
            verdict.field as field,
            verdict.reason as reason,
            {untyped},
            event_type,
            event_time,
            price
        from judged
    """


def _event_type(kind: str, config: IngestSettings) -> str:
    if kind == BATCH:
        return "'purchase'"
    cases = " ".join(
        f"when {quoted(alias)} then {quoted(name)}"
        for alias, name in config.event_type_aliases.items()
    )
    return f"case event_type {cases} else event_type end" if cases else "event_type"


def _judge(config: IngestSettings) -> str:
    """SQL of the first thing that is wrong with a row: {field, reason}, or NULL."""
    known = ", ".join(quoted(name) for name in EVENT_TYPES)
    rules = [
        ("problem is not null", "row", "problem"),
        ("user_id is null", "user_id", "'is missing'"),
        ("product_id is null", "product_id", "'is missing'"),
        ("time_text is null", "event_time", "'is missing'"),
        ("event_type is null", "event_type", "'is missing'"),
        (f"event_type not in ({known})", "event_type", "'is unknown: ' || event_type"),
        ("event_time is null", "event_time", "'is not a time: ' || time_text"),
        (
            f"event_time < {quoted(config.earliest)} or event_time >= {quoted(config.latest)}",
            "event_time",
            f"'is not between {config.earliest} and {config.latest}: ' || time_text",
        ),
        ("price is null and price_text is not null", "price", "'is not a number: ' || price_text"),
        ("not isfinite(price)", "price", "'is not finite: ' || price_text"),
    ]
    cases = "\n".join(
        f"when {condition} then {{'field': '{field}', 'reason': {reason}}}"
        for condition, field, reason in rules
    )
    return f"case {cases} end"


def _order(connection: duckdb.DuckDBPyConnection, config: IngestSettings) -> None:
    """Makes the table `events`: the good rows once each, by time and arrival."""
    columns = ", ".join(("source", *COLUMNS))
    good = f"select {columns}, arrival from staged where field is null"
    if config.drop_duplicates:
        good = f"""
            select {columns}, min(arrival) as arrival
            from staged
            where field is null
            group by {columns}
        """
    connection.execute(f"create table events as {good} order by event_time, arrival")


def _count(connection: duckdb.DuckDBPyConnection) -> Counts:
    read, quarantined = connection.execute("select count(*), count(field) from staged").fetchall()[
        0
    ]
    kept = connection.execute("select count(*) from events").fetchall()[0][0]
    return Counts(read, kept, read - quarantined - kept, quarantined)


def _refuse_too_many_bad(
    connection: duckdb.DuckDBPyConnection, counts: Counts, config: IngestSettings
) -> None:
    if counts.quarantined <= config.max_bad_fraction * counts.read:
        return
    examples = connection.execute(
        "select file, line, field, reason, content from staged where field is not null "
        f"order by arrival limit {EXAMPLES}"
    ).fetchall()
    shown = "\n".join(
        f"  {f}, line {n}: {field} {why}: {row}" for f, n, field, why, row in examples
    )
    raise InputError(
        f"{counts.quarantined} of {counts.read} rows are bad, more than "
        f"ingest.max_bad_fraction = {config.max_bad_fraction} allows; mend the files, or raise "
        f"that setting in params.yaml. The first:\n{shown}"
    )


def _refuse_no_history(connection: duckdb.DuckDBPyConnection, cutoff: date) -> None:
    first, last = connection.execute(
        "select min(event_time), max(event_time) from events"
    ).fetchall()[0]
    if first is None:
        raise InputError("the raw files hold no usable event; see the first rows of the quarantine")
    if first.date() >= cutoff:
        raise InputError(
            f"no event lies before split.cutoff = {cutoff}: the log runs from {first} to {last}; "
            "set split.cutoff in params.yaml to a day in between"
        )


def _write_events(connection: duckdb.DuckDBPyConnection, out: Path, cutoff: date) -> None:
    days = [
        row[0]
        for row in connection.execute(
            "select distinct cast(event_time as date) as day from events order by day"
        ).fetchall()
    ]
    columns = ", ".join((*COLUMNS, "source"))
    with atomic.replacing(out / "history") as history, atomic.replacing(out / "delta") as delta:
        history.mkdir()
        delta.mkdir()
        for day in progress.steps(days, "writing events"):
            warehouse.write_parquet(
                connection,
                f"""
                    select {columns}
                    from events
                    where event_time >= date '{day}' and event_time < date '{day}' + interval 1 day
                    order by event_time, arrival
                """,
                (history if day < cutoff else delta) / f"date={day}" / "events.parquet",
            )


def _write_quarantine(connection: duckdb.DuckDBPyConnection, out: Path) -> None:
    with atomic.replacing(out / "quarantine.parquet") as new:
        warehouse.write_parquet(
            connection,
            "select file, line, field, reason, content from staged where field is not null "
            "order by arrival",
            new,
        )


def _write_catalogue(
    connection: duckdb.DuckDBPyConnection, data: Path, out: Path, config: IngestSettings
) -> None:
    """One row a product: of each column, the value that stands last in the files."""
    parts = [
        f"select {number} as number, * from "
        f"({source.rows(connection, _catalogue_source(path, config), CATALOGUE)})"
        for number, path in enumerate(source.find(data / raw.PRODUCTS))
    ]
    nothing = ", ".join(f"cast(null as varchar) as {column}" for column in CATALOGUE)
    rows = " union all by name ".join(
        [*parts, f"select 0 as number, 0 as line, null as problem, {nothing} where false"]
    )
    attributes = ", ".join(
        f"arg_max({column}, (number, line)) filter ({column} is not null) as {column}"
        for column in CATALOGUE
        if column != "product_id"
    )
    with atomic.replacing(out / "catalogue.parquet") as new:
        warehouse.write_parquet(
            connection,
            f"""
                select product_id, {attributes}
                from ({rows})
                where problem is null and product_id is not null
                group by product_id
                order by product_id
            """,
            new,
        )


def _catalogue_source(path: Path, config: IngestSettings) -> Source:
    return source.understand(path, CATALOGUE, ("product_id",), config.column_aliases)


def _report(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[tuple[str, Source]],
    counts: Counts,
    cutoff: date,
) -> dict[str, object]:
    reasons = connection.execute(
        "select field || ' ' || split_part(reason, ':', 1) as problem, count(*) "
        "from staged where field is not null group by problem order by problem"
    ).fetchall()
    ignored = {str(file.path): list(file.ignored) for _, file in sources if file.ignored}
    return {
        "files": len(sources),
        "rows": asdict(counts),
        "quarantine": dict(reasons),
        "ignored_columns": ignored,
        "history": _extent(connection, f"event_time < date '{cutoff}'"),
        "delta": _extent(connection, f"event_time >= date '{cutoff}'"),
    }


def _extent(connection: duckdb.DuckDBPyConnection, where: str) -> Mapping[str, int | str | None]:
    cursor = connection.execute(
        f"""
            select
                count(*) as events,
                count(distinct user_id) as users,
                count(distinct product_id) as products,
                count(distinct cast(event_time as date)) as days,
                cast(min(event_time) as varchar) as first,
                cast(max(event_time) as varchar) as last
            from events
            where {where}
        """
    )
    names = [column[0] for column in cursor.description or ()]
    return dict(zip(names, cursor.fetchall()[0], strict=True))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def main(
    data: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    report: Annotated[Path, typer.Option()],
) -> None:
    """Validates raw files and writes history, deltas and quarantine."""
    with reported():
        config = settings.load()
        counts = ingest(data, out, report, config.ingest, config.split.cutoff)
    typer.echo(
        f"ingest: {counts.read:,} rows read = {counts.kept:,} kept + "
        f"{counts.duplicates:,} duplicates + {counts.quarantined:,} quarantined"
    )


if __name__ == "__main__":
    typer.run(main)
