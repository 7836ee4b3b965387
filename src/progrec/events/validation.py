"""What a valid row is, and what is wrong with one that is not."""

from __future__ import annotations

from progrec.events import source
from progrec.events.schema import BATCH, COLUMNS, EVENT_TYPES
from progrec.events.source import Source
from progrec.settings import IngestSettings
from progrec.warehouse import quoted

_TYPED = ("event_time", "price")

_CLOCK = r"\d{4}-\d\d?-\d\d?([ T]\d\d?:\d\d(:\d\d(\.\d+)?)?"
_OFFSET = r"[+-](0\d|1[0-4])(:?[0-5]\d)?"
# Cast alone, DuckDB drops an offset or the name of a zone without a word, and knows an `epoch`.
_TIME = rf"""
    case
        when regexp_full_match(event_time, '{_CLOCK} ?(UTC|Z)?)?') then
            try_cast(event_time as timestamp)
        when regexp_full_match(event_time, '{_CLOCK} ?{_OFFSET})') then
            timezone('UTC', try_cast(regexp_replace(event_time, ' ([+-])', '\1') as timestamptz))
    end
"""

_PRICE_LIMIT = 1e12  # in any currency; what reaches it would not fit the features' decimals


def judged(kind: str, file: Source, config: IngestSettings) -> str:
    """SQL of one file's rows, typed and judged, in their order.

    Its columns: the canonical ones, `day` (of a good row) and, of a bad row, its `content`, and the
    `field` and `reason` of the first thing that is wrong with it. A blank line has none of them.

    Args:
        kind: `stream` or `batch`.
        file: the file.
        config: what a valid row is.
    """
    untyped = ", ".join(column for column in COLUMNS if column not in (*_TYPED, "event_type"))
    return f"""
        with texts as ({source.rows(file, COLUMNS)}),
        typed as (
            select
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
            case when verdict is not null then content end as content,
            verdict.field as field,
            verdict.reason as reason,
            {untyped},
            event_type,
            event_time,
            price,
            case when verdict is null then cast(event_time as date) end as day
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
    """SQL of the first thing that is wrong with a row: {field, reason}, or NULL.

    A blank line is not wrong.
    """
    # Of `not in` DuckDB makes a join, and a join does not keep the order of the rows.
    unknown = " and ".join(f"event_type <> {quoted(name)}" for name in EVENT_TYPES)
    rules = [
        ("problem is not null", "row", "problem"),
        ("user_id is null", "user_id", "'is missing'"),
        ("product_id is null", "product_id", "'is missing'"),
        ("time_text is null", "event_time", "'is missing'"),
        ("event_type is null", "event_type", "'is missing'"),
        (unknown, "event_type", "'is unknown: ' || event_type"),
        ("event_time is null", "event_time", "'is not an ISO time: ' || time_text"),
        (
            f"event_time < {quoted(config.earliest)} or event_time >= {quoted(config.latest)}",
            "event_time",
            f"'is not between {config.earliest} and {config.latest}: ' || time_text",
        ),
        ("price is null and price_text is not null", "price", "'is not a number: ' || price_text"),
        ("not isfinite(price)", "price", "'is not finite: ' || price_text"),
        (f"abs(price) >= {_PRICE_LIMIT}", "price", "'is absurd: ' || price_text"),
    ]
    cases = "\n".join(
        f"when {condition} then {{'field': '{field}', 'reason': {reason}}}"
        for condition, field, reason in rules
    )
    return f"case when content is null then null {cases} end"
