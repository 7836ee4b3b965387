"""Readers of the tables: pandas and Arrow find in them what was written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from features.log import Log, event


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Log:
    log = Log(tmp_path_factory.mktemp("made"))
    log.write(
        event("2020-01-01T10:00", "purchase", "ann", "cup", 5.0),
        event("2020-01-01T10:00:00.000001", "view", "ann", "cup"),
        event("2020-01-02T10:00", "view", "ann", "pan", 2.5),
        event("2020-01-03T10:00", "view", "bob", "pan"),
        event("2020-01-04T10:00", "purchase", "bob", "pan", 2.5),
        cutoff="2020-01-03",
    )
    log.make()
    log.make_days()
    return log


def enriched(log: Log) -> Path:
    return log.history.folder / "enriched"


def test_pandas_reads_the_folder_of_enriched_events(made: Log) -> None:
    table = pd.read_parquet(enriched(made))

    assert list(table["date"].astype(str)) == ["2020-01-01", "2020-01-01", "2020-01-02"]
    assert list(table["event_type"]) == ["purchase", "view", "view"]
    assert list(table["past_purchases"]) == [0, 1, 1]
    assert table["avg_purchase_amount"].isna().tolist() == [True, False, False]
    assert table["event_time"].dt.tz is None
    assert table["event_time"][1] == pd.Timestamp("2020-01-01T10:00:00.000001")


def test_arrow_reads_the_folder_of_enriched_events(made: Log) -> None:
    data = ds.dataset(enriched(made), partitioning="hive")
    one_day = data.to_table(filter=ds.field("date") == "2020-01-02").to_pylist()

    assert data.count_rows() == 3
    assert [(row["item_id"], row["price"]) for row in one_day] == [("pan", 2.5)]


def test_pandas_reads_a_table_of_history(made: Log) -> None:
    table = pd.read_parquet(made.history.whole("sessions"))

    assert list(table["user_id"]) == ["ann", "ann"]
    assert list(table["session_length"]) == [0.000001, 0.0]
    assert str(table["session_start"].dtype) == "datetime64[us]"


@pytest.mark.parametrize("name", ["enriched", "purchases", "sessions", "item_features"])
def test_all_days_of_a_table_have_one_schema(made: Log, name: str) -> None:
    """So that no reader has to guess: a column without a value in a day has its type yet."""
    files = [*made.history.files(name), *made.delta.files(name)]
    assert len({pa.schema(ds.dataset(file).schema, metadata={}) for file in files}) == 1


def test_pandas_reads_all_days_of_a_table(made: Log) -> None:
    table = pd.read_parquet(made.delta.folder / "user_item_matrix")

    rows = table[["user_id", "item_id", "purchase_count", "num_views"]]
    assert rows.to_numpy().tolist() == [["bob", "pan", 0, 1], ["bob", "pan", 1, 1]]
    assert list(table["date"].astype(str)) == ["2020-01-03", "2020-01-04"]
