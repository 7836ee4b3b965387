"""The real clickstream's tables, and the rows of a few shoppers and items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from progrec import settings, warehouse
from progrec.events import clickstream
from progrec.events.ingest import ingest
from progrec.features.build import Inputs, build, build_days
from progrec.features.enrich import enrich, enrich_days
from progrec.features.tables import Tables

PARAMS = Path(__file__).parents[2] / "params.yaml"
SHOPPERS = ("user_6", "user_19", "user_60", "user_82", "user_95")
ITEMS = ("item_9", "item_17", "item_23", "item_99", "item_304", "item_487")
RELATIONS = ("sessions", "user_profiles", "user_item_matrix", "user_features", "item_features")


Row = tuple[Any, ...]


class Shop:
    """The clickstream's tables, made as the pipeline's stages make them."""

    def __init__(self, real_data: Path, folder: Path, cutoff: date) -> None:
        raw, source = folder / "data", real_data / "clickstream"
        self.events, self.features = folder / "events", folder / "features"
        self.history = Tables(self.features / "history")
        self.delta = Tables(self.features / "delta")
        params = settings.load(PARAMS)
        self.config = params.model_copy(
            update={"split": params.split.model_copy(update={"cutoff": cutoff})}
        )
        clickstream.import_files(
            events=source / "user_activity_day1.csv",
            purchases=source / "purchases.csv",
            history=source / "historical_purchases.parquet",
            out=raw,
        )
        self.counts = ingest(
            raw, self.events, folder / "ingest.json", self.config.ingest, self.config.split.cutoff
        )
        self._build_history()
        self._build_delta()

    def _build_history(self) -> None:
        inputs = self._inputs(self.history)
        build("purchases", inputs)
        enrich(self.events / "history", self.history.folder, self.config.enrich.chunk_events)
        for name in RELATIONS:
            build(name, inputs)

    def _build_delta(self) -> None:
        inputs = self._inputs(self.delta)
        build_days("purchases", inputs, self.history)
        enrich_days(
            self.events / "delta",
            self.delta.folder,
            self.history.folder,
            self.config.enrich.chunk_events,
        )
        for name in RELATIONS:
            build_days(name, inputs, self.history)
        build("targets", inputs)

    def _inputs(self, side: Tables) -> Inputs:
        events, catalogue = self.events / side.folder.name, self.events / "catalogue.parquet"
        return Inputs(side, events, catalogue, self.config)

    def past(self, table: str, ids: Sequence[str] = SHOPPERS) -> list[Row]:
        """Rows of history's table, of shoppers (or items) in their order."""
        return rows_of(self.history.files(table), ids)

    def of_day(self, table: str, day: date, ids: Sequence[str] = SHOPPERS) -> list[Row]:
        """Rows of a day of the deltas, of shoppers (or items) in their order."""
        return rows_of([self.delta.day(table, day)], ids)


def rows_of(files: Sequence[Path], ids: Sequence[str]) -> list[Row]:
    """Rows of files; within an id they keep the files' order."""
    column = ids[0].split("_")[0] + "_id"
    with duckdb.connect() as connection:
        found = connection.execute(
            f"select * from {warehouse.parquet(files)} where {column} in {tuple(ids)} "
            f"order by list_position({list(ids)}, {column}), file_index, file_row_number"
        )
        return found.fetchall()


def about(rows: Iterable[Row]) -> list[Any]:
    """Rows whose floats may be off by a rounding, and nothing else."""
    return [
        tuple(pytest.approx(x, rel=1e-12) if isinstance(x, float) else x for x in row)
        for row in rows
    ]


def at(time: str) -> datetime:
    """A time of 2023, such as 12-01 00:29."""
    return datetime.fromisoformat(f"2023-{time}")
