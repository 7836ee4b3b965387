from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from progrec import cli
from progrec.errors import InputError
from progrec.features.export import NAMES, Format, export
from progrec.features.relation import Relation
from progrec.features.tables import Tables

FILES = {
    "purchases": "historical_purchases",
    "enriched": "enriched",
    "sessions": "session_features",
    "user_profiles": "user_profiles",
    "user_item_matrix": "user_item_matrix",
    "user_features": "user_features",
    "item_features": "item_features",
}
TYPES = {
    "varchar": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "timestamp": pa.timestamp("us"),
}
FIRST, SECOND = date(2020, 1, 5), date(2020, 1, 10)  # days of the deltas


def schema(table: str) -> pa.Schema:
    columns = Relation.named(table).contract.columns
    return pa.schema([(column, TYPES[kind]) for column, kind in columns.items()])


class Features:
    """Tables of history and of two days, with few rows; what a row does not state is NULL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history, self.delta = Tables(folder / "history"), Tables(folder / "delta")
        for table in FILES:
            self.write(self._past(table), table)
            (self.delta.folder / table).mkdir(parents=True)

    def remember(self, table: str, *rows: dict[str, Any]) -> None:
        self.write(self._past(table), table, *rows)

    def add(self, day: date, table: str, *rows: dict[str, Any]) -> None:
        self.write(self.delta.day(table, day), table, *rows)

    def write(self, path: Path, table: str, *rows: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(list(rows), schema(table)), path)

    def _past(self, table: str) -> Path:
        if table == "enriched":
            return self.history.day(table, date(2020, 1, 1))
        return self.history.whole(table)


@pytest.fixture
def features(tmp_path: Path) -> Features:
    return Features(tmp_path / "features")


def exported(features: Features, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """What a table's Parquet file holds."""
    out = features.folder.parent / f"{table}.out"
    export(features.folder, out, "parquet")
    rows = pq.read_table(out / f"{FILES[table]}.parquet").to_pylist()
    return [tuple(row[column] for column in columns) for row in rows]


def lines(features: Features, table: str) -> list[str]:
    """The lines of a table's CSV file."""
    out = features.folder.parent / f"{table}.out"
    export(features.folder, out, "csv")
    return (out / f"{FILES[table]}.csv").read_text("utf-8").splitlines()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


# Which files and rows there are


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_each_table_has_its_file_under_the_engines_name(
    tmp_path: Path, features: Features, form: Format
) -> None:
    features.remember("user_features", {"user_id": "ann"}, {"user_id": "bob"})
    features.add(FIRST, "user_features", {"user_id": "bob"}, {"user_id": "cid"})
    out = tmp_path / "some/where"

    counts = export(features.folder, out, form)

    assert counts == {f"{file}.{form}": 3 * (file == "user_features") for file in FILES.values()}
    assert sorted(path.name for path in out.iterdir()) == sorted(counts)
    assert NAMES == FILES
    assert sorted(path.name for path in out.parent.iterdir()) == ["where"]


def test_columns_and_types_are_the_tables(tmp_path: Path, features: Features) -> None:
    export(features.folder, tmp_path / "parquet", "parquet")
    export(features.folder, tmp_path / "csv", "csv")

    for table, file in FILES.items():
        assert pq.read_schema(tmp_path / f"parquet/{file}.parquet").equals(schema(table))
        header = (tmp_path / f"csv/{file}.csv").read_text().splitlines()
        assert header == [",".join(schema(table).names)]


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("sessions", [("ann", 1), ("bob", 0), ("bob", 1), ("bob", 2)]),
        ("user_profiles", [("ann",), ("bob",), ("cid",), ("dan",)]),
        ("user_item_matrix", [("ann", "b"), ("bob", "a"), ("bob", "b"), ("bob", "c")]),
        ("user_features", [("ann",), ("bob",), ("cid",), ("dan",)]),
        ("item_features", [("ann",), ("bob",), ("cid",), ("dan",)]),
    ],
)
def test_of_each_key_the_row_of_the_latest_day_stands(
    features: Features, table: str, key: Sequence[tuple[Any, ...]]
) -> None:
    names = Relation.named(table).contract.checks.key
    figure = next(
        f.name for f in schema(table) if pa.types.is_integer(f.type) and f.name not in names
    )

    def rows(figures: dict[int, int]) -> list[dict[str, Any]]:
        return [
            dict(zip(names, key[i], strict=True)) | {figure: value} for i, value in figures.items()
        ]

    features.remember(table, *rows({0: 9, 1: 9, 2: 9}))
    features.add(FIRST, table, *rows({1: 5, 2: 5}))
    features.add(SECOND, table, *rows({2: 1, 3: 2}))

    # Only history has the first row; the third was touched twice, and its figure fell.
    assert exported(features, table, *names, figure) == [
        (*key[0], 9),
        (*key[1], 5),
        (*key[2], 1),
        (*key[3], 2),
    ]


def test_a_null_of_a_later_day_stands(features: Features) -> None:
    features.remember("item_features", {"item_id": "cup", "brand": "acme"})
    features.add(FIRST, "item_features", {"item_id": "cup", "brand": None})

    assert exported(features, "item_features", "item_id", "brand") == [("cup", None)]


def test_purchases_and_events_are_all_there_in_order_of_time(features: Features) -> None:
    again = {"user_id": "zoe", "item_id": "cup", "purchase_date": at("2020-01-01T10:00")}
    features.remember("purchases", again, again)
    features.add(SECOND, "purchases", {"user_id": "ann"})
    features.add(FIRST, "purchases", {"user_id": "bob"}, {"user_id": "ann"})
    features.remember("enriched", {"user_id": "zoe"}, {"user_id": "ann"})
    features.write(
        features.history.day("enriched", date(2019, 12, 31)), "enriched", {"user_id": "x"}
    )
    features.add(FIRST, "enriched", {"user_id": "bob"})

    bought = exported(features, "purchases", "user_id")
    assert [user for (user,) in bought] == ["zoe", "zoe", "bob", "ann", "ann"]
    seen = exported(features, "enriched", "user_id")
    assert [user for (user,) in seen] == ["x", "zoe", "ann", "bob"]


# CSV


def test_csv_says_what_the_table_says(features: Features) -> None:
    features.remember(
        "enriched",
        {
            "event_time": at("2019-10-01T00:00:04"),
            "event_type": "view",
            "user_id": "007",
            "item_id": "商品",
            "source": "stream",
            "past_purchases": 0,
        },
        {
            "event_time": at("2019-10-01T00:00:04.250"),
            "event_type": "purchase",
            "user_id": 'a "b", c',
            "item_id": "",
            "price": 5.0,
            "source": "batch",
            "avg_purchase_amount": 1e-7,
            "past_purchases": 12,
        },
    )

    assert lines(features, "enriched") == [
        "event_time,event_type,user_id,item_id,price,source,avg_purchase_amount,past_purchases",
        "2019-10-01 00:00:04,view,007,商品,,stream,,0",
        '2019-10-01 00:00:04.25,purchase,"a ""b"", c","",5.0,batch,1e-07,12',
    ]


def test_a_day_starts_at_midnight_and_is_written_as_a_time(features: Features) -> None:
    features.remember("purchases", {"user_id": "u", "purchase_date": at("2019-10-01")})
    assert lines(features, "purchases")[1] == "u,,,2019-10-01 00:00:00"


def test_floats_come_back_as_they_were(features: Features) -> None:
    amounts = [0.1 + 0.2, 1 / 3, 1e15 + 0.3, 123456789.123456789, 5e-324, 1.7e308, -0.0, 1e22]
    features.remember("purchases", *({"purchase_amount": amount} for amount in amounts))

    rows = csv.DictReader(lines(features, "purchases"))
    assert [float(row["purchase_amount"]).hex() for row in rows] == [x.hex() for x in amounts]


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\rb", "a,b", '"', " a ", "#a", "é"])
def test_texts_come_back_as_they_were(features: Features, text: str) -> None:
    features.remember("item_features", {"item_id": text, "brand": text})
    out = features.folder.parent / "out"
    export(features.folder, out, "csv")

    with (out / "item_features.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["item_id"], row["brand"]) == (text, text)


# What is refused


@pytest.mark.parametrize("table", FILES)
@pytest.mark.parametrize("side", ["history", "delta"])
def test_a_missing_table_is_named(
    tmp_path: Path, features: Features, table: str, side: str
) -> None:
    whole = side == "history" and table != "enriched"
    missing = features.folder / side / (f"{table}.parquet" if whole else table)
    if whole:
        missing.unlink()
    else:
        shutil.rmtree(missing)

    with pytest.raises(InputError, match=rf"{missing} does not exist.*`dvc repro`"):
        export(features.folder, tmp_path / "out", "csv")
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_a_day_that_was_left_half_made_is_named(tmp_path: Path, features: Features) -> None:
    missing = features.delta.day("sessions", FIRST)
    missing.parent.mkdir(parents=True)

    with pytest.raises(InputError, match=f"{missing} does not exist"):
        export(features.folder, tmp_path / "out", "csv")


def test_a_folder_in_use_is_left_alone(tmp_path: Path, features: Features) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.csv").write_text("mine")

    with pytest.raises(InputError, match=rf"{out} is not empty"):
        export(features.folder, out, "csv")
    with pytest.raises(InputError, match="is a file"):
        export(features.folder, out / "mine.csv", "csv")
    assert [path.name for path in out.iterdir()] == ["mine.csv"]
    assert (out / "mine.csv").read_text() == "mine"


def test_an_empty_folder_is_taken(tmp_path: Path, features: Features) -> None:
    (tmp_path / "out").mkdir()
    export(features.folder, tmp_path / "out", "csv")
    assert len(list((tmp_path / "out").iterdir())) == len(FILES)


def test_an_export_that_fails_leaves_nothing(tmp_path: Path, features: Features) -> None:
    features.history.whole("item_features").write_bytes(b"PAR1 and then nothing")

    with pytest.raises(Exception, match="item_features"):  # DuckDB's own
        export(features.folder, tmp_path / "out", "csv")
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


# The command


def test_the_command_prints_a_line_a_file(tmp_path: Path, features: Features) -> None:
    features.remember("user_features", *({"user_id": f"{n:05}"} for n in range(1234)))
    out = tmp_path / "out"

    result = CliRunner().invoke(
        cli.app,
        f"features export --format parquet --out {out} --features {features.folder}".split(),
    )

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{out}/{file}.parquet: {'1,234' if file == 'user_features' else 0} rows"
        for file in FILES.values()
    ]
    assert sorted(path.stem for path in out.iterdir()) == sorted(FILES.values())


def test_the_command_refuses_another_format(tmp_path: Path, features: Features) -> None:
    result = CliRunner().invoke(
        cli.app, ["features", "export", "--format", "xml", "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()
