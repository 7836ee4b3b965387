from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from progrec.errors import InputError
from progrec.events import online_retail

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
EVENTS = (
    "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
)
DECEMBER, JANUARY = "2010-12-01 08:26:00", "2011-01-04 10:00:00"


def line(
    invoice: str = "536365",
    *,
    code: str = "21730",
    title: str = "A",
    quantity: str = "6",
    date: str = DECEMBER,
    price: str = "4.25",
    customer: str = "17850.0",
) -> str:
    return f"{invoice},{code},{title},{quantity},{date},{price},{customer},United Kingdom"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data"


def written(folder: Path, *lines: str, header: str = HEADER) -> Path:
    file = folder / "retail.csv"
    file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return file


def rows(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def test_line_of_an_invoice_is_a_purchase(tmp_path: Path, out: Path) -> None:
    online_retail.import_file(written(tmp_path, line(code=" 84029E ")), out)

    assert rows(out / "events/2010-Dec.csv") == [
        EVENTS,
        "2010-12-01 08:26:00 UTC,purchase,84029E,,,,4.25,17850,536365",
    ]


def test_gzipped_file_reads_the_same(tmp_path: Path, out: Path) -> None:
    plain = written(tmp_path, line())
    packed = tmp_path / "retail.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))

    assert online_retail.import_file(packed, out)["events written"] == 1
    assert (out / "products/retail.csv").exists()


def test_months_are_files_in_the_order_of_arrival(tmp_path: Path, out: Path) -> None:
    file = written(
        tmp_path,
        line("3", date=JANUARY),
        line("2", date="2010-12-31 23:59:00"),
        line("1"),
        line("4", date=JANUARY),
    )

    online_retail.import_file(file, out)

    assert sorted(path.name for path in (out / "events").iterdir()) == [
        "2010-Dec.csv",
        "2011-Jan.csv",
    ]
    assert [row[-1] for row in rows(out / "events/2010-Dec.csv")[1:]] == ["2", "1"]
    assert [row[-1] for row in rows(out / "events/2011-Jan.csv")[1:]] == ["3", "4"]


def test_month_may_come_first(tmp_path: Path, out: Path) -> None:
    online_retail.import_file(written(tmp_path, line(date="12/1/2010 8:26")), out)

    assert rows(out / "events/2010-Dec.csv")[1].startswith("2010-12-01 08:26:00 UTC,")


def test_what_is_dropped_is_counted_under_its_first_reason(tmp_path: Path, out: Path) -> None:
    file = written(
        tmp_path,
        line(),
        line(),
        line("C536379", quantity="-1", customer=""),
        line("C536380"),
        line(quantity="0", customer=""),
        line(quantity="-3"),
        line(quantity="-3", date="never"),
        line(customer=" "),
        line(customer="", price="dear"),
        line(quantity="many"),
        line(date="never"),
        line(price=""),
        "536365,21730",
    )

    assert online_retail.import_file(file, out) == {
        "rows read": 13,
        "dropped: cancellation": 2,
        "dropped: quantity not above 0": 3,
        "dropped: no customer": 3,
        "dropped: date, quantity or price cannot be read": 3,
        "events written": 2,
        "kept although not a product's code": 0,
        "products in the catalogue": 1,
    }
    assert len(rows(out / "events/2010-Dec.csv")) == 1 + 2


def test_codes_that_are_no_products_are_kept_and_counted(tmp_path: Path, out: Path) -> None:
    codes = ["POST", "M", "BANK CHARGES", "C2", "84029E", "gift_0001_20", "2173"]

    summary = online_retail.import_file(
        written(tmp_path, *(line(code=code) for code in codes)), out
    )

    assert [row.split(",")[2] for row in rows(out / "events/2010-Dec.csv")[1:]] == codes
    assert summary["events written"] == 7
    assert summary["kept although not a product's code"] == 6


def test_free_purchases_are_kept(tmp_path: Path, out: Path) -> None:
    assert (
        online_retail.import_file(written(tmp_path, line(price="0.0")), out)["events written"] == 1
    )


def test_title_is_the_most_frequent_description_then_the_first_by_alphabet(
    tmp_path: Path, out: Path
) -> None:
    file = written(
        tmp_path,
        line(code="30000", title="RARE"),
        line(code="30000", title='"FRAME, 7"" SINGLE "'),
        line(code="30000", title='"FRAME, 7"" SINGLE"'),
        line(code="20000", title="B"),
        line(code="20000", title="A"),
        line(code="20000", title=""),
        line(code="20000", title=""),
        line(code="10000", title=""),
        line("C1", code="40000", title="only ever cancelled"),
        line(code="", title="no code"),
    )

    summary = online_retail.import_file(file, out)

    assert rows(out / "products/retail.csv") == [
        "product_id,category_id,category_code,brand,title",
        "10000,,,,",
        "20000,,,,A",
        '30000,,,,"FRAME, 7"" SINGLE"',
    ]
    assert summary["products in the catalogue"] == 3
    # For ingest to set aside.
    assert summary["events written"] == 9


def test_header_alone_is_no_purchase(tmp_path: Path, out: Path) -> None:
    summary = online_retail.import_file(written(tmp_path), out)

    assert set(summary.values()) == {0}


def test_added_month_joins_those_there(tmp_path: Path, out: Path) -> None:
    online_retail.import_file(written(tmp_path, line()), out)
    later = written(tmp_path, line(date=JANUARY)).rename(tmp_path / "later.csv")

    with pytest.raises(InputError, match="--add"):
        online_retail.import_file(later, out)
    online_retail.import_file(later, out, add=True)

    assert len(list(out.rglob("*.csv"))) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"InvoiceNo,StockCode\n1,2\n", "has no column Description, .*; found: InvoiceNo, StockC"),
        (f"{HEADER}\n1,2,£5,,,,,\n".encode("latin-1"), "is not UTF-8; .*iconv"),
        (f'{HEADER}\n1,2,"never closed,,,,,\n'.encode(), "is damaged"),
    ],
)
def test_file_that_cannot_be_used_is_refused(
    tmp_path: Path, out: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "retail.csv"
    file.write_bytes(content)

    with pytest.raises(InputError, match=rf"retail\.csv: {message}"):
        online_retail.import_file(file, out)
    assert list(tmp_path.iterdir()) == [file]


def test_workbook_is_refused_with_a_way_out(tmp_path: Path, out: Path) -> None:
    file = tmp_path / "Online Retail.xlsx"
    file.write_bytes(b"PK")

    with pytest.raises(InputError, match=r"xlsx: is not one of \.csv.*save it as one"):
        online_retail.import_file(file, out)


def test_missing_file_is_refused(tmp_path: Path, out: Path) -> None:
    with pytest.raises(InputError, match=r"retail\.csv: there is no such file"):
        online_retail.import_file(tmp_path / "retail.csv", out)


def test_real_shop(out: Path, real_data: Path) -> None:
    file = real_data / "online_retail" / "online_retail_2010-12_2011-09.csv.gz"

    summary = online_retail.import_file(file, out)

    assert summary == {
        "rows read": 370_931,
        "dropped: cancellation": 6_652,
        "dropped: quantity not above 0": 1_023,
        "dropped: no customer": 96_738,
        "dropped: date, quantity or price cannot be read": 0,
        "events written": 266_518,
        "kept although not a product's code": 1_071,
        "products in the catalogue": 3_508,
    }
    months = [pd.read_csv(path, dtype=str) for path in sorted((out / "events").iterdir())]
    events = pd.concat(months)
    assert len(months) == 10
    assert len(events) == 266_518
    assert events["user_id"].str.fullmatch(r"\d{5}").all()
    assert all(month["event_time"].is_monotonic_increasing for month in months)
    assert events["event_time"].min() == "2010-12-01 08:26:00 UTC"
