"""What each user has bought so far: the state that the enrichment of a stream carries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from progrec import warehouse

_TOTALS = [("purchases", pa.int64()), ("priced", pa.int64()), ("spent", pa.decimal128(38, 6))]
_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("last_time", pa.timestamp("us")),
        *_TOTALS,
        *((f"last_{name}", kind) for name, kind in _TOTALS),
    ]
)


def query() -> str:
    """The SQL that carries the state on."""
    return (resources.files("progrec.features") / "sql" / "spending.sql").read_text("utf-8")


class Spending:
    """A row of `spending.sql` for each user who has bought anything.

    To look a user up, or to replace what is known of one, costs the same however many there are.
    """

    def __init__(self) -> None:
        self._rows: dict[str, tuple[Any, ...]] = {}

    @classmethod
    def after(
        cls,
        connection: duckdb.DuckDBPyConnection,
        purchases: Sequence[Path],
        events: Sequence[Path],
    ) -> Spending:
        """What the users of events have bought before them.

        Args:
            connection: where the SQL runs.
            purchases: tables of purchases.
            events: the events that follow them.
        """
        state = cls()
        if purchases:
            query = f"""
                select
                    user_id,
                    purchase_date as event_time,
                    'purchase' as event_type,
                    purchase_amount as price
                from {warehouse.parquet(purchases)}
                where user_id in (select user_id from {warehouse.parquet(events)})
            """
            bought = connection.sql(query).to_arrow_table()
            state.advance(connection, bought, _table([]))
        return state

    def of(self, connection: duckdb.DuckDBPyConnection, events: pa.Table) -> pa.Table:
        """The rows of the users of events, as far as they have bought."""
        with connection.cursor() as cursor:
            cursor.register("events", events)
            users = cursor.execute(
                "select distinct user_id from events where user_id is not null"
            ).fetchnumpy()["user_id"]
        return _table(self._rows[user] for user in users if user in self._rows)

    def advance(
        self, connection: duckdb.DuckDBPyConnection, events: pa.Table, before: pa.Table
    ) -> None:
        """Takes in the purchases among events.

        Args:
            connection: where the SQL runs.
            events: the next ones of the stream.
            before: the rows of their users.
        """
        with connection.cursor() as cursor:
            cursor.register("events", events)
            cursor.register("spending", before)
            rows = cursor.execute(f"select {', '.join(_SCHEMA.names)} from ({query()})").fetchall()
        self._rows.update((row[0], row) for row in rows)


def _table(rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(_SCHEMA)
    arrays = [pa.array(c, field.type) for c, field in zip(columns, _SCHEMA, strict=True)]
    return pa.table(arrays, schema=_SCHEMA)
