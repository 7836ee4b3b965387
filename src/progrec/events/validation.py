"""What a valid row is, and what is wrong with one that is not."""

from __future__ import annotations

from collections.abc import Sequence

from progrec.events import source
from progrec.events.schema import BATCH, COLUMNS, EVENT_TYPES, RECEIVED_AT
from progrec.events.source import Source
from progrec.settings import IngestSettings
from progrec.warehouse import quoted

LATE = f"cast({RECEIVED_AT} as date) > cast(event_time as date)"
"""SQL of whether a row came in on a later day (UTC) than its own; NULL where it does not say."""

_TYPED = ("event_time", "price")

_CLOCK = r"\d{4}-\d\d?-\d\d?([ T]\d\d?:\d\d(:\d\d(\.\d+)?)?"
_OFFSET = r"[+-](0\d|1[0-4])(:?[0-5]\d)?"

_DAY = "cast(event_time as date)"
_DAY_OF_LATE = {"next_day": f"cast({RECEIVED_AT} as date)", "set_aside": "null"}

PRICE_LIMIT = 1e12
"""In any currency; a price that reaches it would not fit the features' decimals."""


def judged(kind: str, file: Source, config: IngestSettings) -> str:
    """SQL of one file's rows, typed and judged, in their order.

    Its columns: the canonical ones, `received_at` if the file has it, `day` (that a good row counts
    for; one that is set aside has none) and, of a bad row, its `content`, and the `field` and
    `reason` of the first thing that is wrong with it. A blank line has none of them.

    Args:
        kind: `stream` or `batch`.
        file: the file.
        config: what a valid row is.
    """
    untyped = ", ".join(column for column in COLUMNS if column not in (*_TYPED, "event_type"))
    # Most logs do not say when an event came in, and are not to pay for it.
    received = (RECEIVED_AT,) if RECEIVED_AT in file.columns else ()
    times = ("event_time", *received)
    day = f"case when {LATE} then {_DAY_OF_LATE[config.late]} else {_DAY} end" if received else _DAY
    return f"""
        with texts as ({source.rows(file, (*COLUMNS, *received))}),
        typed as (
            select
                content,
                problem,
                {untyped},
                {_event_type(kind, config)} as event_type,
                {", ".join(f"{time} as {time}_text, {_time(time)} as {time}" for time in times)},
                price as price_text,
                try_cast(price as double) as price
            from texts
        ),
        judged as (select *, {_judge(received, config)} as verdict from typed)
        select
            case when verdict is not null then content end as content,
            verdict.field as field,
            verdict.reason as reason,
            {untyped},
            event_type,
            {", ".join(times)},
            price,
            case when verdict is null then {day} end as day
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


def _time(column: str) -> str:
    """SQL of a column of texts as times in UTC, NULL for what is none.

    Cast alone, DuckDB drops an offset or the name of a zone without a word, and knows an `epoch`.
    """
    return rf"""
        case
            when regexp_full_match({column}, '{_CLOCK} ?(UTC|Z)?)?') then
                try_cast({column} as timestamp)
            when regexp_full_match({column}, '{_CLOCK} ?{_OFFSET})') then
                timezone('UTC', try_cast(regexp_replace({column}, ' ([+-])', '\1') as timestamptz))
        end
    """


def _judge(received: Sequence[str], config: IngestSettings) -> str:
    """SQL of the first thing that is wrong with a row: {field, reason}, or NULL.

    A blank line is not wrong.

    Args:
        received: the file's column of when an event came in, if it has one.
        config: what a valid row is.
    """
    # Of `not in` DuckDB makes a join, and a join does not keep the order of the rows.
    unknown = " and ".join(f"event_type <> {quoted(name)}" for name in EVENT_TYPES)
    rules = [
        ("problem is not null", "row", "problem"),
        ("user_id is null", "user_id", "'is missing'"),
        ("product_id is null", "product_id", "'is missing'"),
        ("event_time_text is null", "event_time", "'is missing'"),
        ("event_type is null", "event_type", "'is missing'"),
        (unknown, "event_type", "'is unknown: ' || event_type"),
        *_time_rules("event_time", config),
        ("price is null and price_text is not null", "price", "'is not a number: ' || price_text"),
        ("not isfinite(price)", "price", "'is not finite: ' || price_text"),
        (f"abs(price) >= {PRICE_LIMIT}", "price", "'is absurd: ' || price_text"),
        *(rule for column in received for rule in _time_rules(column, config)),
    ]
    cases = "\n".join(
        f"when {condition} then {{'field': '{field}', 'reason': {reason}}}"
        for condition, field, reason in rules
    )
    return f"case when content is null then null {cases} end"


def _time_rules(column: str, config: IngestSettings) -> list[tuple[str, str, str]]:
    return [
        (
            f"{column} is null and {column}_text is not null",
            column,
            f"'is not an ISO time: ' || {column}_text",
        ),
        (
            f"{column} < {quoted(config.earliest)} or {column} >= {quoted(config.latest)}",
            column,
            f"'is not between {config.earliest} and {config.latest}: ' || {column}_text",
        ),
    ]
