from __future__ import annotations

import csv
import gzip
import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from progrec import settings, warehouse
from progrec.errors import InputError
from progrec.events import ingest as ingestion
from progrec.events.ingest import Counts
from progrec.events.schema import COLUMNS
from progrec.settings import IngestSettings

PARAMS = Path(__file__).parents[2] / "params.yaml"
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


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


# What is kept


def test_the_nine_column_cut_is_read_whole(shop: Shop) -> None:
    shop.log(
        "2020-01-02 03:04:05 UTC,purchase,p1,c1,a.b,runail,2.62,u1,s1",
        "2020-01-02 03:04:06 UTC,cart,p1,,,,,u1,",
        header=NINE,
    )

    assert shop.ingest() == Counts(read=2, kept=2, duplicates=0, quarantined=0)
    first, second = datetime(2020, 1, 2, 3, 4, 5), datetime(2020, 1, 2, 3, 4, 6)
    assert shop.events() == [
        (None, first, "purchase", "u1", "p1", "s1", 2.62, "c1", "a.b", "runail"),
        (None, second, "cart", "u1", "p1", None, None, None, None, None),
    ]
    assert shop.events(columns="source") == ["stream", "stream"]


def test_the_six_column_cut_lacks_only_what_it_lacks(shop: Shop) -> None:
    shop.log("2020-01-02 03:04:05 UTC,view,p1,2.62,u1,s1", header=SIX).ingest()

    assert shop.events() == [
        (None, datetime(2020, 1, 2, 3, 4, 5), "view", "u1", "p1", "s1", 2.62, None, None, None)
    ]


def test_columns_and_event_types_go_by_their_aliases(shop: Shop) -> None:
    shop.log(
        "e1,2020-01-02,add_to_cart,p1,u1,9.5",
        header="event_id,timestamp,event_type,item_id,user_id,purchase_amount",
    ).ingest()

    assert shop.events(columns="event_id, event_type, product_id, price") == [
        ("e1", "cart", "p1", 9.5)
    ]


def test_every_event_type_is_known_and_no_other(shop: Shop) -> None:
    kinds = ["view", "click", "cart", "remove_from_cart", "purchase", "View", "refund", "add"]
    shop.log(*(f"u,p,2020-01-01,{kind}" for kind in kinds))

    assert shop.ingest() == Counts(read=8, kept=5, duplicates=0, quarantined=3)
    assert shop.events(columns="event_type") == kinds[:5]
    assert [row[1:4] for row in shop.quarantine()] == [
        (7, "event_type", "is unknown: View"),
        (8, "event_type", "is unknown: refund"),
        (9, "event_type", "is unknown: add"),
    ]


def test_an_alias_for_no_column_of_ours_is_refused(shop: Shop) -> None:
    shop.log(VIEW)
    with pytest.raises(InputError, match=r"column_aliases\.sku: .* did you mean product_id\?"):
        shop.ingest(column_aliases={"sku": "produkt_id"})


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
def test_every_kind_of_file_reads_the_same(shop: Shop, kind: str) -> None:
    text = f"{FOUR},price\nu1,p1,2020-01-01 10:00:00,view,1.5\n007,é p,2020-02-01,purchase,\n"
    rows = list(csv.DictReader(text.splitlines()))
    contents: dict[str, Any] = {
        "csv": text,
        "csv.gz": gzip.compress(text.encode()),
        "parquet": pa.Table.from_pylist(rows),
    }

    shop.write(contents[kind], f"events/log.{kind}").ingest()

    assert shop.events(columns="user_id, product_id, event_time, price") == [
        ("u1", "p1", datetime(2020, 1, 1, 10), 1.5)
    ]
    assert shop.events("delta", "user_id, product_id, event_time, price") == [
        ("007", "é p", datetime(2020, 2, 1), None)
    ]


def test_ids_are_opaque(shop: Shop) -> None:
    ids = ["007", "7", "7.0", "1e3", "a b", "é", "商品", "x" * 50_000, "NULL", "nan", "-1", "'"]
    shop.log(*(f"{name},{name},2020-01-01,view" for name in ids)).ingest()

    assert shop.events(columns="user_id") == ids
    assert shop.events(columns="product_id") == ids


def test_parquet_of_any_types_and_order_of_columns(shop: Shop) -> None:
    shop.write(
        pa.table(
            {
                "price": pa.array([1, None], pa.decimal128(10, 2)),
                "event_type": pa.array(["view", "cart"]).dictionary_encode(),
                "timestamp": pa.array(
                    [datetime(2020, 1, 1, 23, 30, tzinfo=UTC)] * 2, pa.timestamp("us", "Asia/Tokyo")
                ),
                "user_session": pa.array([17850.0, None]),
                "item_id": pa.array([5, 6], pa.int32()),
                "user_id": pa.array([2**62, 1]),
            }
        ),
        "events/log.parquet",
    ).ingest()

    moment = datetime(2020, 1, 1, 23, 30)
    assert shop.events() == [
        (None, moment, "view", str(2**62), "5", "17850", 1.0, None, None, None),
        (None, moment, "cart", "1", "6", None, None, None, None, None),
    ]


def test_an_unknown_column_is_left_out_and_reported(shop: Shop) -> None:
    shop.log("u,p,2020-01-01,view,red,9", header=f"{FOUR},colour,Size").ingest()

    assert shop.report()["ignored_columns"] == {
        str(shop.data / "events/log.csv"): ["colour", "Size"]
    }


@pytest.mark.parametrize("end", ["\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_bom_and_ends_of_lines_change_nothing(tmp_path: Path, start: str, end: str) -> None:
    lines = [FOUR, "u1,p1,2020-01-01,view", "", "u2,p2,soon,view", "u3,p3,2020-01-02,view"]
    plain = Shop(tmp_path / "plain").write("\n".join(lines))
    other = Shop(tmp_path / "other").write(start + end.join(lines) + end)

    assert plain.ingest() == other.ingest() == Counts(3, 2, 0, 1)
    assert plain.events() == other.events()
    assert plain.quarantine() == other.quarantine()


# Time

TIMES = {
    "2020-01-02 03:04:05 UTC": datetime(2020, 1, 2, 3, 4, 5),
    "2020-01-02 03:04:05": datetime(2020, 1, 2, 3, 4, 5),
    "2020-01-02T03:04:05Z": datetime(2020, 1, 2, 3, 4, 5),
    "2020-01-02T03:04": datetime(2020, 1, 2, 3, 4),
    "2020-01-02": datetime(2020, 1, 2),
    "2020-1-2 3:04:05": datetime(2020, 1, 2, 3, 4, 5),
    "2020-01-02T03:04:05.250+01:00": datetime(2020, 1, 2, 2, 4, 5, 250_000),
    "2020-01-02 03:04:05+0530": datetime(2020, 1, 1, 21, 34, 5),
    "2020-01-02 03:04:05 -02": datetime(2020, 1, 2, 5, 4, 5),
    "2020-01-02 03:04:05 +02:00": datetime(2020, 1, 2, 1, 4, 5),
    "2020-01-02T03:04-09:30": datetime(2020, 1, 2, 12, 34),
    "2020-01-02 03:04:05.123456789": datetime(2020, 1, 2, 3, 4, 5, 123_456),
    "2020-01-02 03:04:05.5 UTC": datetime(2020, 1, 2, 3, 4, 5, 500_000),
    "2000-01-01": datetime(2000, 1, 1),
}
NO_TIMES = [
    *("inf", "-infinity", "epoch", "now", "today", "nan", "0", "1577836800", "20200101"),
    *("2020-13-01", "2020-02-30", "2020-01-01 25:00:00", "2020-01-01 00:00:61"),
    *("-0044-03-15", "0044-03-15 (BC)", "12020-01-01", "01/02/2020", "1 January 2020"),
    *("2020-01-01 00:00:00 Europe/Berlin", "2020-01-01 00:00:00 EST", "2020-01-01 UTC+2"),
    *("2020-01-01 00:00:00+99:99", "2020-01-01 00:00:00-02:00:30", "2020-01-01 1:00 PM"),
    *("2020-01-01+02:00", "2020-01-01T00:00:00,5", "2020-01-01 00:00:00 UTC UTC"),
]
ABSURD_TIMES = [
    *("9999-12-31", "1999-12-31 23:59:59.999999", "2100-01-01", "2000-01-01 00:30:00+01:00")
]


def test_times_are_iso_and_utc_unless_they_say_otherwise(shop: Shop) -> None:
    shop.log(*(f"u{n:02d},p,{text},view" for n, text in enumerate(TIMES))).ingest()

    read = dict(shop.events(columns="user_id, event_time"))
    assert {text: read[f"u{n:02d}"] for n, text in enumerate(TIMES)} == TIMES


def test_what_is_no_iso_time_is_quarantined(shop: Shop) -> None:
    shop.log(VIEW, *(f'u,p,"{text}",view' for text in NO_TIMES)).ingest()

    assert [row[1:4] for row in shop.quarantine()] == [
        (line, "event_time", f"is not an ISO time: {text}") for line, text in enumerate(NO_TIMES, 3)
    ]


def test_an_absurd_time_is_quarantined(shop: Shop) -> None:
    shop.log(VIEW, *(f"u,p,{text},view" for text in ABSURD_TIMES)).ingest()

    assert [row[1:4] for row in shop.quarantine()] == [
        (line, "event_time", f"is not between 2000-01-01 and 2100-01-01: {text}")
        for line, text in enumerate(ABSURD_TIMES, 3)
    ]


# Price


def test_a_price_is_any_finite_number_or_none(shop: Shop) -> None:
    prices = {
        "0": 0.0,
        "-5.25": -5.25,
        "1e3": 1000.0,
        ".5": 0.5,
        "": None,
        "  ": None,
        "1e-400": 0.0,
        "1e12": 1e12,
    }
    lines = (f"u{n},p,2020-01-01,view,{text}" for n, text in enumerate(prices))
    shop.log(*lines, header=f"{FOUR},price").ingest()

    assert dict(zip(prices, shop.events(columns="price"), strict=True)) == prices


def test_any_other_price_is_quarantined(shop: Shop) -> None:
    prices = {
        "nan": "is not finite",
        "inf": "is not finite",
        "-Infinity": "is not finite",
        "1e400": "is not finite",
        "1e13": "is absurd",
        "-1e13": "is absurd",
        "cheap": "is not a number",
        "1,50": "is not a number",
        "$5": "is not a number",
    }
    lines = (f'u,p,2020-01-01,view,"{text}"' for text in prices)
    shop.log(VIEW + ",", *lines, header=f"{FOUR},price").ingest()

    assert [row[1:4] for row in shop.quarantine()] == [
        (line, "price", f"{reason}: {text}")
        for line, (text, reason) in enumerate(prices.items(), 3)
    ]


def test_a_price_of_parquet_is_judged_alike(shop: Shop) -> None:
    prices = [math.nan, math.inf, 2.0, None]
    shop.write(
        pa.table(
            {
                "user_id": list("abcd"),
                "product_id": ["p"] * 4,
                "event_time": ["2020-01-01"] * 4,
                "event_type": ["view"] * 4,
                "price": prices,
            }
        ),
        "events/log.parquet",
    ).ingest()

    assert shop.events(columns="user_id, price") == [("c", 2.0), ("d", None)]
    assert [row[:4] for row in shop.quarantine()] == [
        ("events/log.parquet", 1, "price", "is not finite: nan"),
        ("events/log.parquet", 2, "price", "is not finite: inf"),
    ]
    assert json.loads(shop.quarantine()[1][4])["user_id"] == "b"


# Quarantine


def test_each_kind_of_bad_row_is_kept_with_file_line_and_reason(shop: Shop) -> None:
    shop.log(
        VIEW,
        ",p,2020-01-01,view",
        "u, ,2020-01-01,view",
        'u,p,"",view',
        "u,p,2020-01-01,",
        "",
        "u,p,2020-01-01",
        'u,"p,2020-01-01,view',
        'u,"p,""1""",2020-01-01,wish',
        ",,,",
        "u2,p2,2020-01-01,view",
    )

    assert shop.ingest() == Counts(read=10, kept=2, duplicates=0, quarantined=8)
    log = "events/log.csv"
    assert shop.quarantine() == [
        (log, 3, "user_id", "is missing", ",p,2020-01-01,view"),
        (log, 4, "product_id", "is missing", "u, ,2020-01-01,view"),
        (log, 5, "event_time", "is missing", 'u,p,"",view'),
        (log, 6, "event_type", "is missing", "u,p,2020-01-01,"),
        (log, 8, "row", "it has 3 fields, the header 4", "u,p,2020-01-01"),
        (log, 9, "row", "its quotes do not match", 'u,"p,2020-01-01,view'),
        (log, 10, "event_type", "is unknown: wish", 'u,"p,""1""",2020-01-01,wish'),
        (log, 11, "user_id", "is missing", ",,,"),
    ]
    assert shop.events(columns="user_id") == ["u1", "u2"]
    assert shop.report()["quarantine"] == {
        "event_time is missing": 1,
        "event_type is missing": 1,
        "event_type is unknown": 1,
        "product_id is missing": 1,
        "row it has 3 fields, the header 4": 1,
        "row its quotes do not match": 1,
        "user_id is missing": 2,
    }


def test_a_file_cut_in_mid_line_loses_that_line_alone(shop: Shop) -> None:
    shop.write(f"{FOUR}\n{VIEW}\nu2,p2,2020-0")

    assert shop.ingest() == Counts(read=2, kept=1, duplicates=0, quarantined=1)
    assert shop.quarantine() == [
        ("events/log.csv", 3, "row", "it has 3 fields, the header 4", "u2,p2,2020-0")
    ]


def test_a_sound_log_has_an_empty_quarantine(shop: Shop) -> None:
    shop.log(VIEW).ingest()
    assert shop.quarantine() == []


def test_bad_rows_are_listed_by_file_and_line(shop: Shop) -> None:
    for file in ("events/b.csv", "events/a.csv", "purchases/a.csv"):
        shop.log(",p,2020-01-01,view", "u,,2020-01-01,view", VIEW, file=file)
    shop.ingest()

    assert [row[:2] for row in shop.quarantine()] == [
        (file, line)
        for file in ("events/a.csv", "events/b.csv", "purchases/a.csv")
        for line in (2, 3)
    ]


def test_more_bad_rows_than_allowed_stop_it_with_examples(shop: Shop) -> None:
    bad = ["u,p,soon,view", ",p,2020-01-01,view", *["x" * 500] * 6]
    shop.log(*[f"u{n},p,2020-01-01,view" for n in range(42)], *bad)

    assert shop.ingest(max_bad_fraction=0.16) == Counts(50, 42, 0, 8)
    with pytest.raises(InputError) as caught:
        shop.ingest(max_bad_fraction=0.159)

    first, *examples = str(caught.value).splitlines()
    file = shop.data / "events/log.csv"
    assert first == (
        "8 of 50 rows are bad, more than ingest.max_bad_fraction = 0.159 allows; mend the files, "
        "or raise that setting in params.yaml. The first:"
    )
    assert examples[:2] == [
        f"  {file}, line 44: event_time is not an ISO time: soon: u,p,soon,view",
        f"  {file}, line 45: user_id is missing: ,p,2020-01-01,view",
    ]
    assert len(examples) == 5
    assert max(map(len, examples)) < len(str(file)) + 300


# Files that cannot be used


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty"),
        (VIEW.encode() + b"\n", r"has no header; its first line is 'u1,p1,2020-01-01,view'"),
        (b"user_id,product_id,event_time\n", r"has no column event_type"),
        (f"{FOUR}\n{VIEW}\nu,p\xe9,2020-01-01,view\n".encode("latin-1"), r"line 3 is not UTF-8"),
        (f"{FOUR}\n{VIEW}\r\n{VIEW}\n".encode(), r"line 2 has CR LF where .* before have LF"),
        (f"{FOUR}\n{VIEW}\n{'x' * 2_000_001}\n".encode(), r"line 3 is longer than 2,000,000"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(
    shop: Shop, content: bytes, message: str
) -> None:
    shop.log(VIEW).write(content, "events/m.csv")
    with pytest.raises(InputError, match=rf"events/m\.csv: {message}"):
        shop.ingest()


def test_a_gzip_file_cut_short_is_refused(shop: Shop) -> None:
    packed = gzip.compress((FOUR + "\n" + (VIEW + "\n") * 10_000).encode())
    shop.write(packed[:-10], "events/log.csv.gz")
    with pytest.raises(InputError, match=r"log\.csv\.gz: line \d+ cannot be read .*export"):
        shop.ingest()


def test_parquet_with_spoilt_pages_is_refused(shop: Shop) -> None:
    rows = {column: [f"{column}{n}" for n in range(1000)] for column in FOUR.split(",")}
    shop.write(pa.table(rows), "events/log.parquet")
    path = shop.data / "events/log.parquet"
    spoilt = bytearray(path.read_bytes())
    spoilt[4:2000] = b"\xff" * 1996
    path.write_bytes(spoilt)

    with pytest.raises(InputError, match=r"log\.parquet: cannot be read \("):
        shop.ingest()


def test_no_file_at_all_is_answered_with_how_to_get_one(shop: Shop) -> None:
    with pytest.raises(InputError, match=r"holds no events; .*progrec simulate .*progrec import"):
        shop.ingest()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_headers_alone_hold_no_event(shop: Shop, end: str) -> None:
    shop.write(FOUR + end)
    with pytest.raises(InputError, match="hold no event: there is no row under their headers"):
        shop.ingest()


def test_a_header_alone_beside_a_log_is_no_matter(shop: Shop) -> None:
    shop.log(VIEW).write(FOUR, "events/m.csv")
    assert shop.ingest() == Counts(read=1, kept=1, duplicates=0, quarantined=0)


def test_bad_rows_alone_hold_no_usable_event(shop: Shop) -> None:
    shop.log("u,p,soon,view")
    with pytest.raises(
        InputError, match=r"no usable event; the first rows:\n  .*log\.csv, line 2: "
    ):
        shop.ingest()


def test_a_log_without_history_is_refused(shop: Shop) -> None:
    shop.log("u,p,2020-02-01 00:00:00,view", "u,p,2020-02-03,view")
    with pytest.raises(
        InputError,
        match=r"before split\.cutoff = 2020-02-01: the log runs from 2020-02-01 to 2020-02-03",
    ):
        shop.ingest()


def test_a_failure_leaves_everything_as_it_was(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.log(VIEW, "u,p,2020-03-01,view").write("product_id\np1\n", "products/all.csv").ingest()
    before = shop.bytes()

    shop.log("u9,p9,2020-01-09,view", "u,p,soon,view")
    with pytest.raises(InputError, match="rows are bad"):
        shop.ingest(max_bad_fraction=0.0)
    with pytest.raises(InputError, match="no event lies before"):
        shop.ingest(cutoff=date(2019, 1, 1))
    with monkeypatch.context() as broken:
        broken.setattr(ingestion, "_report", fail)
        with pytest.raises(OSError, match="disk"):
            shop.ingest()
    shop.write("product_id\n\xe9\n".encode("latin-1"), "products/all.csv")
    with pytest.raises(InputError, match=r"products/all\.csv: line 2 is not UTF-8"):
        shop.ingest()

    assert shop.bytes() == before


def fail(*args: object) -> object:
    raise OSError("the disk is full")


def test_nothing_is_left_in_the_scratch_folder(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    seen: list[Path] = []
    refuse = ingestion._refuse_no_history

    def look(*args: Any) -> None:
        seen.extend(scratch.iterdir())
        refuse(*args)

    monkeypatch.setattr(ingestion, "_refuse_no_history", look)
    shop.log(VIEW).ingest()
    with pytest.raises(InputError):
        shop.ingest(cutoff=date(2019, 1, 1))

    assert len(seen) == 4  # DuckDB's and ingest's own, of both runs
    assert list(scratch.iterdir()) == []


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

    assert astuple(shop.ingest()) == (5, 3, 1, 1)
    assert shop.report() == {
        "files": 2,
        "rows": {"read": 5, "kept": 3, "duplicates": 1, "quarantined": 1},
        "quarantine": {"event_time is not an ISO time": 1},
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
    assert len(before) == 5


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


# A naive twin of the validation

PRICES = ["1.5", "-2", "", "0", "1e2"]
NO_PRICES = ["nan", "-inf", "1e400", "dear", "1e15"]
SOME_TIMES = [
    *("2020-01-01", "2020-01-01 00:00:00 UTC"),
    *("2020-02-02T10:00:00.5Z", "2020-01-31T23:30-01:00"),
]
SOME_NO_TIMES = ["", "soon", "epoch", "2020-13-01", "1999-12-31", "2100-01-01"]
NAMES = ["u", "007", '"a,b"', '"say ""x"""', " pad ", "é"]

FIELDS = st.tuples(
    st.sampled_from([*NAMES, ""]),
    st.sampled_from([*NAMES, "", '""']),
    st.sampled_from([*SOME_TIMES, *SOME_TIMES, *SOME_NO_TIMES]),
    st.sampled_from(["view", "add_to_cart", "purchase", "VIEW", ""]),
    st.sampled_from([*PRICES, *PRICES, *NO_PRICES]),
).map(",".join)
LINES = st.lists(
    st.one_of(
        FIELDS, FIELDS, FIELDS, st.sampled_from(["", "x,y", 'u,"p,2020-01-01,view,', ",,,,,"])
    ),
    max_size=12,
)


def fields(line: str) -> list[str] | None:
    """The fields of a line; None if its quotes do not match."""
    try:
        found = next(csv.reader([line], strict=True))
    except csv.Error:
        return None
    return [field.strip(" ") for field in found]


def moment(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        return None
    return (time.astimezone(UTC) if time.tzinfo else time).replace(tzinfo=None)


def judged(line: str, config: IngestSettings) -> tuple[Any, ...] | str:
    """A good row, or the field that spoils a bad one."""
    found = fields(line)
    if found is None or len(found) != 5:
        return "row"
    user, product, time, kind, price = found
    kind, when = config.event_type_aliases.get(kind, kind), moment(time)
    faults = {
        "user_id": not user,
        "product_id": not product,
        "event_time": not time,
        "event_type": kind not in ("view", "click", "cart", "remove_from_cart", "purchase"),
        "event_time ": when is None or not config.earliest <= when.date() < config.latest,
        "price": price != "" and not is_price(price),
    }
    for field, is_wrong in faults.items():
        if is_wrong:
            return field.strip()
    return (when, kind, user, product, float(price) if price else None)


def is_price(text: str) -> bool:
    try:
        return abs(float(text)) <= 1e12
    except ValueError:
        return False


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(first=LINES, second=LINES, end=st.sampled_from(["\n", "\r\n"]), drop=st.booleans())
def test_a_naive_twin_agrees_row_by_row(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[str],
    second: list[str],
    end: str,
    drop: bool,
) -> None:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    header = f"{FOUR},price"
    good: list[tuple[Any, ...]] = []
    bad: list[tuple[str, int, str]] = []
    read = 0
    for name, lines in (("1.csv", ["kept,p,2020-01-01,view,", *first]), ("2.csv", second)):
        shop.write(end.join([header, *lines]), f"events/{name}")
        for number, line in enumerate(lines, 2):
            if line:
                read += 1
                verdict = judged(line, shop.config)
                if isinstance(verdict, str):
                    bad.append((f"events/{name}", number, verdict))
                else:
                    good.append(verdict)
    kept = sorted(dict.fromkeys(good) if drop else good, key=lambda row: row[0])

    counts = shop.ingest(drop_duplicates=drop)

    assert counts == Counts(read, len(kept), len(good) - len(kept), len(bad))
    assert counts.read == counts.kept + counts.duplicates + counts.quarantined
    assert [row[:3] for row in shop.quarantine()] == bad
    columns = "event_time, event_type, user_id, product_id, price"
    assert shop.events("history", columns) + shop.events("delta", columns) == kept
    assert all(row[0] < datetime(2020, 2, 1) for row in shop.events("history", columns))


# The command


def test_the_command_reads_params_and_tells_the_counts(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(shop.data.parent)
    Path("params.yaml").write_text(PARAMS.read_text())
    shop.log(VIEW, VIEW)

    ingestion.main(data=Path("data"), out=Path("out"), report=Path("report.json"))

    assert capsys.readouterr().out == (
        "ingest: 2 rows read = 1 kept + 1 duplicates + 0 quarantined\n"
    )
    assert Path("out/history/date=2020-01-01/events.parquet").exists()


def test_the_command_ends_an_error_without_a_stack_trace(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(shop.log("u,p,soon,view").data.parent)
    Path("params.yaml").write_text(PARAMS.read_text())

    with pytest.raises(SystemExit, match="1"):
        ingestion.main(data=Path("data"), out=Path("out"), report=Path("report.json"))

    assert capsys.readouterr().err.startswith("error: 1 of 1 rows are bad, more than")


def test_outputs_are_swapped_in_together(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first old output goes when the last new one lies ready."""
    shop.log(VIEW).ingest()
    write, before = ingestion._write_catalogue, shop.bytes()

    def look(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
        assert {name: shop.bytes()[name] for name in before} == before
        return write(connection, path)

    monkeypatch.setattr(ingestion, "_write_catalogue", look)
    shop.log("u9,p9,2020-01-09,view").ingest()

    assert shop.events(columns="user_id") == ["u9"]
