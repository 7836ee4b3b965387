"""The shop's table of products, which may come in several files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from progrec import warehouse
from progrec.events import raw, source
from progrec.events.schema import CATALOGUE
from progrec.events.source import Source
from progrec.settings import IngestSettings

_USABLE = "problem is null and product_id is not null"


def sources(data: Path, config: IngestSettings) -> list[tuple[str, Source]]:
    """Its files in the raw folder; there may be none.

    Raises:
        InputError: a file cannot be used, as in `source.understand`.
    """
    return [
        (raw.PRODUCTS, source.understand(path, CATALOGUE, ("product_id",), config.column_aliases))
        for path in source.find(data / raw.PRODUCTS)
    ]


def stage(connection: duckdb.DuckDBPyConnection, products: Sequence[tuple[str, Source]]) -> None:
    """Makes the table `products` of every row, usable or not.

    Raises:
        InputError: a file cannot be read.
    """
    texts = ", ".join(f"{column} varchar" for column in CATALOGUE)
    connection.execute(f"create table products (problem varchar, {texts})")
    for _, file in products:
        with source.readable(file):
            connection.execute(
                "insert into products by name select * exclude (content) "
                f"from ({source.rows(file, CATALOGUE)}) where content is not null"
            )


def write(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """One row a product: of each column, the value that stands last in the files."""
    attributes = ", ".join(
        f"arg_max({column}, rowid) filter ({column} is not null) as {column}"
        for column in CATALOGUE
        if column != "product_id"
    )
    warehouse.write_parquet(
        connection,
        f"""
            select product_id, {attributes}
            from products
            where {_USABLE}
            group by product_id
            order by product_id
        """,
        path,
    )


def counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many `rows` there are, how many of them `unusable`, and how many `products`."""
    rows, unusable, products = connection.execute(
        f"""
            select
                count(*),
                count(*) filter (not ({_USABLE})),
                count(distinct product_id) filter ({_USABLE})
            from products
        """
    ).fetchall()[0]
    return {"rows": rows, "unusable": unusable, "products": products}
