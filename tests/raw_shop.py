"""A shop's raw files, as tests write them, and what ingest makes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from progrec import settings
from progrec.events import ingest as ingestion
from progrec.events.ingest import Counts
from progrec.events.schema import COLUMNS

PARAMS = Path(__file__).parents[1] / "params.yaml"
CUTOFF = date(2020, 2, 1)

SIX = "event_time,event_type,product_id,price,user_id,user_session"
NINE = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
FOUR = "user_id,product_id,event_time,event_type"
VIEW = "u1,p1,2020-01-01,view"


class Shop:
    """A shop's raw files, and what ingest makes of them."""

    def __init__(self, folder: Path) -> None:
        self.data, self.out = folder / "data", folder / "artifacts/events"
        self.report_file = folder / "reports/ingest.json"
        self.config = settings.load(PARAMS).ingest.model_copy(update={"max_bad_fraction": 1.0})

    def write(self, content: str | bytes | pa.Table, file: str = "events/log.csv") -> Shop:
        path = self.data / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def log(self, *lines: str, header: str = FOUR, file: str = "events/log.csv") -> Shop:
        return self.write("\n".join([header, *lines]) + "\n", file)

    def ingest(self, cutoff: date = CUTOFF, **changes: Any) -> Counts:
        config = self.config.model_copy(update=changes)
        return ingestion.ingest(self.data, self.out, self.report_file, config, cutoff)

    def events(self, part: str = "history", columns: str = ", ".join(COLUMNS)) -> list[Any]:
        """The rows of a part in the order of its files; values alone where a column is asked."""
        rows: list[Any] = []
        for file in sorted((self.out / part).glob("*/*.parquet")):
            rows += duckdb.execute(f"select {columns} from read_parquet('{file}')").fetchall()
        return [row[0] for row in rows] if "," not in columns else rows

    def quarantine(self) -> list[tuple[str, int, str, str, str]]:
        table = pq.read_table(self.out / "quarantine.parquet")
        assert table.column_names == ["file", "line", "field", "reason", "content"]
        return [
            (Path(row["file"]).relative_to(self.data).as_posix(), *list(row.values())[1:])
            for row in table.to_pylist()
        ]

    def late(self, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        table = pq.read_table(self.out / "late.parquet")
        assert table.column_names == ["event_id", "event_time", "received_at", *COLUMNS[2:]]
        return list(zip(*table.select(columns).to_pydict().values(), strict=True))

    def catalogue(self) -> list[dict[str, str | None]]:
        return pq.read_table(self.out / "catalogue.parquet").to_pylist()

    def report(self) -> dict[str, Any]:
        return json.loads(self.report_file.read_text())

    def bytes(self) -> dict[str, bytes]:
        """Everything that there is beside the raw files."""
        top = self.data.parent
        files = (path for path in top.rglob("*") if path.is_file())
        return {
            path.relative_to(top).as_posix(): path.read_bytes()
            for path in files
            if not path.is_relative_to(self.data)
        }
