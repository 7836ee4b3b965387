from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from progrec.errors import InputError
from progrec.events import export

TEXT = "id, name ,price\n007, é ,\n8,b,1.50\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.csv"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_every_value_is_trimmed_text(file: Path) -> None:
    table = export.read(file, ["price", "id"])

    assert table.to_dict("list") == {"price": ["", "1.50"], "id": ["007", "8"]}


def test_gzip_and_parquet_read_as_csv_does(tmp_path: Path) -> None:
    text = "id,price\n007,\n8,1.5\n"
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    frame = pd.DataFrame({"price": [None, 1.5], "id": [" 007", "8"]})
    frame.to_parquet(tmp_path / "a.parquet")

    plain, packed, columnar = (
        export.read(tmp_path / f"a.{kind}", ["id", "price"]).to_dict("list")
        for kind in ("csv", "csv.gz", "parquet")
    )

    assert plain == packed == columnar == {"id": ["007", "8"], "price": ["", "1.5"]}


def test_whole_numbers_of_parquet_stay_whole_where_some_are_missing(tmp_path: Path) -> None:
    ids = pd.array([2**60 + 1, None], dtype="Int64")
    pd.DataFrame({"id": ids}).to_parquet(tmp_path / "a.parquet")

    assert export.read(tmp_path / "a.parquet", ["id"])["id"].tolist() == [str(2**60 + 1), ""]


def test_rows_too_short_are_filled_up_and_too_long_cut(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,price\n1\n2,3,4\n")
    table = export.read(tmp_path / "a.csv", ["id", "price"])
    assert table.to_numpy().tolist() == [["1", ""], ["2", "3"]]


@pytest.mark.parametrize(("text", "rows"), [("h\n1\n\n \n2\n", 2), ("h\n1\n2", 2), ("h\n", 0)])
@pytest.mark.parametrize("pack", [False, True])
def test_rows_are_the_lines_under_the_header(
    tmp_path: Path, text: str, rows: int, pack: bool
) -> None:
    path = tmp_path / ("a.csv.gz" if pack else "a.csv")
    path.write_bytes(gzip.compress(text.encode()) if pack else text.encode())
    assert export.count(path) == rows


@pytest.mark.parametrize("name", ["2019-Oct.csv", "2019-Oct.csv.gz", "2019-Oct.parquet"])
def test_a_stem_does_not_say_how_the_file_is_stored(name: str) -> None:
    assert export.stem(Path("shop") / name) == "2019-Oct"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("17850.0", "17850"),
        ("17850.000", "17850"),
        ("1.785e+4", "17850"),
        ("1E+3", "1000"),
        ("1487580005134238553.0", "1487580005134238553"),  # more digits than a float has
        ("1.5e+0", "1.5e+0"),  # no whole number
        ("1e+400", "1e+400"),
        *((same, same) for same in ("007", "17850.5", "v1.0", "-3.0", "1.0.0", "", "12e5", ".0")),
    ],
)
def test_ids_that_became_floats_are_mended_and_others_left(text: str, expected: str) -> None:
    assert export.ids(pd.Series([text], dtype="str")).tolist() == [expected]


def test_times_are_utc_and_what_is_none_is_not_a_time() -> None:
    texts = pd.Series(["2020-01-01", "2020-01-01T01:00:00+01:00", "2020-01-01 00:00:00.5", "soon"])

    times = export.times(texts)

    assert times.isna().tolist() == [False, False, False, True]
    assert [time.isoformat() for time in times[:3]] == [
        "2020-01-01T00:00:00+00:00",
        "2020-01-01T00:00:00+00:00",
        "2020-01-01T00:00:00.500000+00:00",
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", None, "there is no such file; check the path"),
        ("a.txt", b"id\n1\n", r"is not one of \.csv, \.csv\.gz, \.parquet; unpack it"),
        ("a.csv", b"", "is empty; download or export it again"),
        ("a.csv", b"name\nx\n", "has no column id; found: name; give the file as it was publ"),
        ("a.csv", "id\né\n".encode("latin-1"), "is not UTF-8; convert it"),
        ("a.csv.gz", b"id\n1\n", "is damaged"),
        ("a.csv.gz", gzip.compress(b"id\n" * 1000)[:-9], "is damaged"),
        ("a.parquet", b"PAR1PAR1", "is damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_remedy(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: {message}"):
        export.read(tmp_path / name, ["id"])
