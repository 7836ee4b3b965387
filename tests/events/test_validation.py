from __future__ import annotations

import csv
import gzip
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from progrec.errors import InputError
from progrec.events.ingest import Counts
from progrec.settings import IngestSettings
from raw_shop import FOUR, NINE, SIX, VIEW, Shop

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
    # in the shape of most times
    *("2020-01-1T 03:04:05 UTC", "2020-01-01  3:04:05 UTC", "2020-01-01 03:04:5. UTC"),
    *("2020-01-1  03:04:05 UTC", "2020-13-01 00:00:00 UTC", "2020-02-30 00:00:00 UTC"),
    *("2020-01-01 00:00:61 UTC", "2020-01-01 25:00:00 UTC", "2O20-01-01 00:00:00 UTC"),
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
        "999999999999.99": 999999999999.99,
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
        "1e12": "is absurd",
        "-1e12": "is absurd",
        "1e13": "is absurd",
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
        return abs(float(text)) < 1e12
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
