from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from progrec import warehouse
from progrec.errors import InputError
from progrec.events.ingest import Counts
from raw_shop import FOUR, VIEW, Shop

# Duplicates


def test_rows_equal_in_every_column_are_kept_once(shop: Shop) -> None:
    header = f"{FOUR},price,brand"
    shop.log(
        "u,p,2020-01-01 00:00:00,view,1.5,b",
        "u,p,2020-01-01 00:00:00,view,1.5,b",
        '"u",p,2020-01-01T01:00:00+01:00,view, 1.50,"b"',  # the same, told otherwise
        "u,p,2020-01-01 00:00:00,view,1.5,",
        "u,p,2020-01-01 00:00:00,view,1.5,",
        "u,p,2020-01-01 00:00:00,view,,b",
        "u,p,2020-01-01 00:00:01,view,1.5,b",
        header=header,
    )

    assert shop.ingest() == Counts(read=7, kept=4, duplicates=3, quarantined=0)
    assert shop.events(columns="event_time, price, brand") == [
        (datetime(2020, 1, 1), 1.5, "b"),
        (datetime(2020, 1, 1), 1.5, None),
        (datetime(2020, 1, 1), None, "b"),
        (datetime(2020, 1, 1, 0, 0, 1), 1.5, "b"),
    ]


def test_duplicates_are_found_across_files(shop: Shop) -> None:
    shop.log("u,b,2020-01-01,view", "u,a,2020-01-01,view", file="events/1.csv")
    shop.log("u,c,2020-01-01,view", "u,b,2020-01-01,view", file="events/2.csv")

    assert shop.ingest() == Counts(read=4, kept=3, duplicates=1, quarantined=0)
    assert shop.events(columns="product_id") == ["b", "a", "c"]


def test_duplicates_stay_when_they_are_wanted(shop: Shop) -> None:
    shop.log(VIEW, "u2,p1,2020-01-01,view", VIEW)

    assert shop.ingest(drop_duplicates=False) == Counts(3, kept=3, duplicates=0, quarantined=0)
    assert shop.events(columns="user_id") == ["u1", "u2", "u1"]


def test_a_purchase_of_the_batch_is_no_duplicate_of_the_streams(shop: Shop) -> None:
    shop.log("u,p,2020-01-01,purchase")
    shop.log("u,p,2020-01-01", header="user_id,product_id,event_time", file="purchases/b.csv")

    assert shop.ingest() == Counts(read=2, kept=2, duplicates=0, quarantined=0)
    assert shop.events(columns="source") == ["stream", "batch"]


# Batches of purchases


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_batch_holds_purchases(shop: Shop, kind: str) -> None:
    text = "user_id,item_id,purchase_date,purchase_amount\nu1,p1,2020-01-03,9.5\nu2,p2,2020-01-02,"
    rows = list(csv.DictReader(text.splitlines()))
    shop.log("u0,p0,2020-01-02,purchase")
    shop.write(text if kind == "csv" else pa.Table.from_pylist(rows), f"purchases/b.{kind}")

    shop.ingest()

    columns = "event_time, event_type, user_id, product_id, price, source"
    assert shop.events(columns=columns) == [
        (datetime(2020, 1, 2), "purchase", "u0", "p0", None, "stream"),
        (datetime(2020, 1, 2), "purchase", "u2", "p2", None, "batch"),
        (datetime(2020, 1, 3), "purchase", "u1", "p1", 9.5, "batch"),
    ]


def test_a_batch_without_a_log_is_enough(shop: Shop) -> None:
    shop.log("u,p,2020-01-01", header="user_id,product_id,event_time", file="purchases/b.csv")
    assert shop.ingest() == Counts(read=1, kept=1, duplicates=0, quarantined=0)


def test_what_a_batch_calls_its_rows_does_not_matter(shop: Shop) -> None:
    shop.log("u,p,2020-01-01,view", "u,p,2020-01-02,", file="purchases/b.csv").ingest()
    assert shop.events(columns="event_type") == ["purchase", "purchase"]


# Order, history and delta


def test_events_are_ordered_by_time_and_ties_by_arrival(shop: Shop) -> None:
    shop.log(
        "z,1,2020-01-02 00:00:05,view",
        "a,2,2020-01-01 00:00:00,view",
        "m,3,2020-01-02 00:00:05,view",
        file="events/a.csv",
    )
    shop.log(
        "b,4,2020-01-02 00:00:05,view", "c,5,2020-01-02 00:00:04.999999,view", file="events/b.csv"
    )
    shop.log(
        "a,6,2020-01-02 00:00:05", header="user_id,product_id,event_time", file="purchases/a.csv"
    )
    shop.ingest()

    assert shop.events(columns="product_id") == ["2", "5", "1", "3", "4", "6"]


def test_many_ties_stay_in_the_order_of_their_lines(shop: Shop) -> None:
    names = [str(n * 7919 % 5000) for n in range(5000)]
    shop.log(*(f"{name},p,2020-01-01,view" for name in names)).ingest()
    assert shop.events(columns="user_id") == names


def test_midnight_of_the_cutoff_is_delta(shop: Shop) -> None:
    shop.log(
        "u1,p,2020-01-31 23:59:59.999999,view",
        "u2,p,2020-02-01,view",
        "u3,p,2020-02-01T00:30:00+01:00,view",
        "u4,p,2020-02-02 23:59:59,view",
    ).ingest()

    assert shop.events("history", "user_id") == ["u3", "u1"]
    assert shop.events("delta", "user_id") == ["u2", "u4"]
    assert folders(shop.out / "history") == ["date=2020-01-31"]
    assert folders(shop.out / "delta") == ["date=2020-02-01", "date=2020-02-02"]


def folders(path: Path) -> list[str]:
    return sorted(folder.name for folder in path.iterdir())


def test_without_a_delta_there_is_an_empty_folder(shop: Shop) -> None:
    shop.log(VIEW).ingest()

    assert folders(shop.out / "delta") == []
    assert shop.report()["delta"] == {
        "events": 0,
        "users": 0,
        "products": 0,
        "days": 0,
        "first": None,
        "last": None,
    }


def test_an_earlier_runs_days_are_gone(shop: Shop) -> None:
    shop.log(VIEW, "u,p,2020-02-05,view").ingest()
    shop.log("u,p,2020-01-02,view").ingest()

    assert folders(shop.out / "history") == ["date=2020-01-02"]
    assert folders(shop.out / "delta") == []


def test_the_report_tells_where_every_row_went(shop: Shop) -> None:
    shop.log(VIEW, VIEW, "u2,p1,2020-01-31 12:00:00,view", "u1,p2,2020-02-03,view", "u,p,x,view")
    shop.write("product_id,brand\np1,b\np1,c\n,d\ne\n", "products/all.csv")

    assert astuple(shop.ingest()) == (5, 3, 1, 1, 0)
    assert shop.report() == {
        "files": 2,
        "rows": {"read": 5, "kept": 3, "duplicates": 1, "quarantined": 1, "set_aside": 0},
        "quarantine": {"event_time is not an ISO time": 1},
        "late": 0,
        "ignored_columns": {},
        "history": {
            "events": 2,
            "users": 2,
            "products": 1,
            "days": 2,
            "first": "2020-01-01 00:00:00",
            "last": "2020-01-31 12:00:00",
        },
        "delta": {
            "events": 1,
            "users": 1,
            "products": 1,
            "days": 1,
            "first": "2020-02-03 00:00:00",
            "last": "2020-02-03 00:00:00",
        },
        "catalogue": {"rows": 4, "unusable": 2, "products": 1},
    }


# The catalogue


def test_of_a_repeated_product_the_last_word_on_each_column_stands(shop: Shop) -> None:
    shop.log(VIEW)
    shop.write("product_id,brand,title\n2,old,Two\n1,b1,\n2,new,\n", "products/a.csv")
    shop.write(
        pa.table({"title": ["One", None], "colour": ["x", "y"], "Product_ID": [1, None]}),
        "products/b.parquet",
    ).ingest()

    nothing = {"category_id": None, "category_code": None}
    assert shop.catalogue() == [
        {"product_id": "1", **nothing, "brand": "b1", "title": "One"},
        {"product_id": "2", **nothing, "brand": "new", "title": "Two"},
    ]
    assert shop.report()["ignored_columns"] == {str(shop.data / "products/b.parquet"): ["colour"]}


def test_without_a_catalogue_there_is_an_empty_table(shop: Shop) -> None:
    shop.log(VIEW).ingest()

    assert shop.catalogue() == []
    assert pq.read_schema(shop.out / "catalogue.parquet").names == [
        "product_id",
        "category_id",
        "category_code",
        "brand",
        "title",
    ]


def test_a_catalogue_without_products_is_refused(shop: Shop) -> None:
    shop.log(VIEW).write("brand,title\nb,t\n", "products/all.csv")
    with pytest.raises(InputError, match=r"all\.csv: has no column product_id \(it has brand, t"):
        shop.ingest()


# The same bytes


def test_two_runs_write_the_same_bytes(shop: Shop) -> None:
    shop.log(*busy_day("2020-01-01"), *busy_day("2020-02-02"), "broken")
    shop.ingest()
    before = shop.bytes()

    shop.ingest()

    assert shop.bytes() == before
    assert len(before) == 6


def busy_day(day: str, users: int = 50) -> list[str]:
    return [f"u{n % users},p{n % 7},{day} 00:{n % 60:02d}:00,view" for n in range(300)]


@pytest.mark.parametrize("file", ["events/a.csv", "events/z.csv"])
@pytest.mark.parametrize(
    "late",
    [
        ["u,p,2020-02-09,view,1.5,b,s"],
        ["u,p,2020-02-09,purchase,,,"],  # the first gaps of three columns
        [f"new{n},q{n},2020-02-09 12:00:00,cart,{n},b{n},t{n}" for n in range(500)],
    ],
)
def test_a_later_day_changes_no_byte_of_the_days_before(
    shop: Shop, file: str, late: list[str]
) -> None:
    header = f"{FOUR},price,brand,user_session"
    days = [*busy_day("2020-01-01"), *busy_day("2020-01-02"), *busy_day("2020-02-03")]
    shop.log(*(f"{line},2.5,b,s" for line in days), header=header, file="events/log.csv").ingest()
    before = shop.bytes()
    del before["reports/ingest.json"]

    shop.log(*late, header=header, file=file).ingest()

    after = shop.bytes()
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {
        "artifacts/events/delta/date=2020-02-09/events.parquet",
        "reports/ingest.json",
    }


def test_one_days_file_is_the_same_alone_and_among_others(tmp_path: Path) -> None:
    alone, among = Shop(tmp_path / "alone"), Shop(tmp_path / "among")
    alone.log(*busy_day("2020-01-05")).ingest()
    among.log(*busy_day("2020-01-05"), *busy_day("2020-01-06"), VIEW).ingest()

    file = "artifacts/events/history/date=2020-01-05/events.parquet"
    assert alone.bytes()[file] == among.bytes()[file]


def test_the_number_of_threads_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, written = warehouse.connect, {}
    lines = [
        f"u{n * 7919 % 1009},p{n % 97},2020-01-01 {n % 24:02d}:00:00,view" for n in range(260_000)
    ]
    for threads in (1, 4):

        @contextmanager
        def limited(threads: int = threads) -> Iterator[duckdb.DuckDBPyConnection]:
            with connect() as connection:
                connection.execute(f"set threads = {threads}")
                yield connection

        monkeypatch.setattr(warehouse, "connect", limited)
        shop = Shop(tmp_path / str(threads)).log(*lines)
        shop.ingest(drop_duplicates=False)
        written[threads] = shop.bytes()

    day = tmp_path / "1/artifacts/events/history/date=2020-01-01/events.parquet"
    assert pq.ParquetFile(day).num_row_groups == 3
    assert written[1] == written[4]
