from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from events.sources import Read, Row, numbered, understood
from progrec import warehouse
from raw_shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with warehouse.connect() as opened:
        yield opened


@pytest.fixture
def read(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> Read:
    """Reads line, content, problem, user_id and product_id of a file with a content."""

    def rows(content: str | bytes | pa.Table) -> list[Row]:
        if isinstance(content, pa.Table):
            path = tmp_path / "log.parquet"
            pq.write_table(content, path)
        else:
            path = tmp_path / "log.csv"
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return numbered(connection, understood(path))

    return rows
