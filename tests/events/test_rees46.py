from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from progrec.errors import InputError
from progrec.events import rees46

NINE = """\
event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session
2019-10-01 00:00:00 UTC,cart,5773203,1487580005134238553,,runail,2.62,463240011,26dd6e6e
not a time,cart,,,,,,,
2019-10-01 00:00:03 UTC,view,5773353,1487580005134238553,,runail,2.62,463240011,26dd6e6e
"""
# As Kaggle has it after a cut: no line feed at the end.
SIX = """\
event_time,event_type,product_id,price,user_id,user_session
2022-12-01 00:00:00 UTC,remove_from_cart,5712790,6.27,576802932,51d85cb0"""

CATALOGUE = """\
product_id,category_id,category_code,brand
20,1.487580e+18,,runail
9,1487580005134238553,stationery.cartrige,
20,,,
20,,,cnd
9,7.0, ,
,1,,nobody
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return written(tmp_path / "2019-Oct.csv", NINE)


def written(file: Path, content: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(content, encoding="utf-8")
    return file


def test_logs_are_copied_byte_for_byte_whatever_their_rows(tmp_path: Path, log: Path) -> None:
    six = tmp_path / "2022-Dec.csv.gz"
    six.write_bytes(gzip.compress(SIX.encode()))
    out = tmp_path / "data"

    summary = rees46.import_files([log, six], out)

    assert summary == {"files copied": 2, "rows read": 4, "events written": 4}
    assert (out / "events" / log.name).read_bytes() == log.read_bytes()
    assert (out / "events" / six.name).read_bytes() == six.read_bytes()
    assert not (out / "products").exists()


def test_catalogue_has_the_last_known_value_of_each_column(tmp_path: Path, log: Path) -> None:
    catalogue = written(tmp_path / "shop.csv", CATALOGUE)
    out = tmp_path / "data"

    summary = rees46.import_files([log], out, catalogue=catalogue)

    assert (out / "products" / "shop.csv").read_text() == (
        "product_id,category_id,category_code,brand,title\n"
        "20,1487580000000000000,,cnd,\n"
        "9,7,stationery.cartrige,,\n"
    )
    assert summary == {
        "files copied": 1,
        "rows read": 3,
        "events written": 3,
        "catalogue rows read": 6,
        "dropped: no product": 1,
        "dropped: merged into another row of the product": 3,
        "products in the catalogue": 2,
    }


@pytest.mark.parametrize(
    ("category", "text"),
    [
        (pd.array([1487580005134238553, None], dtype="Int64"), "1487580005134238553"),
        (np.array([1487580005134238553, np.nan]), "1487580005134238464"),
    ],
    ids=["whole", "float"],
)
def test_category_of_a_parquet_catalogue_is_whole_text(
    tmp_path: Path, log: Path, category: object, text: str
) -> None:
    catalogue = tmp_path / "products.parquet"
    pd.DataFrame(
        {"product_id": [3, 4], "category_id": category, "category_code": None, "brand": ["é", None]}
    ).to_parquet(catalogue)

    rees46.import_files([log], tmp_path / "data", catalogue=catalogue)

    lines = (tmp_path / "data/products/products.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1:] == [f"3,{text},,é,", "4,,,,"]


def test_adding_keeps_what_is_there(tmp_path: Path, log: Path) -> None:
    out = tmp_path / "data"
    rees46.import_files([log], out)
    november = written(tmp_path / "2019-Nov.csv", NINE)

    with pytest.raises(InputError, match=r"not empty.*--add"):
        rees46.import_files([november], out)
    with pytest.raises(InputError, match=r"already there.*2019-Oct\.csv"):
        rees46.import_files([november, log], out, add=True)
    assert names(out) == ["2019-Oct.csv"]

    rees46.import_files([november], out, add=True)
    assert names(out) == ["2019-Nov.csv", "2019-Oct.csv"]


@pytest.mark.parametrize("twin", ["2019-Oct.csv", "2019-Oct.csv.gz"])
def test_two_files_of_one_name_are_refused(tmp_path: Path, log: Path, twin: str) -> None:
    other = tmp_path / "other" / twin
    other.parent.mkdir()
    other.write_bytes(gzip.compress(SIX.encode()) if twin.endswith("gz") else SIX.encode())

    refused(tmp_path, [log, other], rf"{twin}: has the name of .*2019-Oct\.csv; leave one out")


def test_missing_file_is_refused(tmp_path: Path, log: Path) -> None:
    refused(tmp_path, [log, tmp_path / "2019-Nov.csv"], r"2019-Nov\.csv: there is no such file")


def test_empty_file_is_refused(tmp_path: Path, log: Path) -> None:
    empty = written(tmp_path / "2019-Nov.csv", "")
    refused(tmp_path, [log, empty], r"2019-Nov\.csv: is empty; download or export it again")


def test_file_of_another_kind_is_refused(tmp_path: Path, log: Path) -> None:
    archive = written(tmp_path / "2019-Nov.csv.zip", NINE)
    refused(tmp_path, [log, archive], r"2019-Nov\.csv\.zip: is not one of \.csv, \.csv\.gz; unpack")


def test_missing_columns_are_named_with_those_found(tmp_path: Path, log: Path) -> None:
    wrong = written(tmp_path / "2019-Nov.csv", "event_time,user_id,price\n1,2,3\n")
    refused(
        tmp_path,
        [log, wrong],
        r"2019-Nov\.csv: has no column product_id, event_type; "
        r"found: event_time, user_id, price; give the file",
    )


def test_damaged_archive_is_refused(tmp_path: Path, log: Path) -> None:
    cut = tmp_path / "2019-Nov.csv.gz"
    cut.write_bytes(gzip.compress((NINE * 50).encode())[:-20])
    refused(tmp_path, [log, cut], r"/2019-Nov\.csv\.gz: is damaged")


def test_text_that_is_not_utf8_is_refused(tmp_path: Path, log: Path) -> None:
    latin = tmp_path / "2019-Nov.csv"
    latin.write_bytes("event_time,é\n".encode("latin-1"))
    refused(tmp_path, [log, latin], r"2019-Nov\.csv: is not UTF-8; convert it, .*iconv")


def test_catalogue_without_a_column_is_refused(tmp_path: Path, log: Path) -> None:
    catalogue = written(tmp_path / "products.csv", "product_id,category_id,brand\n1,2,cnd\n")
    refused(
        tmp_path, [log], r"products\.csv: has no column category_code; found", catalogue=catalogue
    )


def refused(
    folder: Path, files: list[Path], message: str, *, catalogue: Path | None = None
) -> None:
    before = names(folder)
    with pytest.raises(InputError, match=message):
        rees46.import_files(files, folder / "data", catalogue=catalogue)
    assert names(folder) == before


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_real_cosmetics_shop(tmp_path: Path, real_data: Path) -> None:
    shop = real_data / "cosmetics"
    files = sorted(shop.glob("*.csv"))

    summary = rees46.import_files(files, tmp_path, catalogue=shop / "products.parquet")

    assert summary == {
        "files copied": 4,
        "rows read": 3996,
        "events written": 3996,
        "catalogue rows read": 109_579,
        "dropped: no product": 0,
        "dropped: merged into another row of the product": 55_536,
        "products in the catalogue": 54_043,
    }
    for file in files:
        assert (tmp_path / "events" / file.name).read_bytes() == file.read_bytes()
    products = pd.read_csv(tmp_path / "products/products.csv", dtype=str, na_filter=False)
    assert products["product_id"].is_monotonic_increasing
    assert products["product_id"].is_unique
    assert products["category_id"].str.fullmatch(r"(\d{19})?").all()
