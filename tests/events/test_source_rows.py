from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from events.sources import Read, header, numbered, understood
from progrec.events import source

# Rows of CSV


def test_a_line_is_a_row_and_a_blank_line_none(read: Read) -> None:
    assert read("user_id,product_id\n1,2\n\n3,4\n\n\n5,6") == [
        (2, "1,2", None, "1", "2"),
        (4, "3,4", None, "3", "4"),
        (7, "5,6", None, "5", "6"),
    ]


def test_a_header_alone_has_no_rows(read: Read) -> None:
    assert read("user_id,product_id\n") == []
    assert read("user_id,product_id") == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_lines_are_numbered_alike_whatever_ends_them(read: Read, end: str, start: str) -> None:
    text = start + end.join(["user_id,product_id", "1,2", "", '"3","4"', "broken", "5,6"])
    expected = [
        (2, "1,2", None, "1", "2"),
        (4, '"3","4"', None, "3", "4"),
        (5, "broken", "it has 1 fields, the header 2", "broken", None),
        (6, "5,6", None, "5", "6"),
    ]

    assert read(text) == expected
    assert read(text + end) == expected


@pytest.mark.parametrize(
    ("line", "user", "product"),
    [
        ('"a,b",c', "a,b", "c"),
        ('a,"b,c"', "a", "b,c"),
        ('"a ""b"" c",d', 'a "b" c', "d"),
        ('"""",""""""', '"', '""'),
        ('"",b', None, "b"),
        (",", None, None),
        ('"",""', None, None),
        (" a , b ", "a", "b"),
        ("\ta\t,b\t", "a", "b"),
        ('" a ",b', "a", "b"),
        ("  ,b", None, "b"),
        ("a b,c  d", "a b", "c  d"),
        ("007,-0", "007", "-0"),
        ("１,ü 商品", "１", "ü 商品"),
        (r"a\x01b,\n", r"a\x01b", r"\n"),
        ("a\x00b,\x01", "a\x00b", "\x01"),
        ("a'b,c;d", "a'b", "c;d"),
        ("\u00a0a,\u2028b", "\u00a0a", "\u2028b"),
    ],
)
def test_fields_are_what_stands_between_the_commas(
    read: Read, line: str, user: str | None, product: str | None
) -> None:
    assert read(f"user_id,product_id\n{line}\n") == [(2, line, None, user, product)]


@pytest.mark.parametrize(
    "line", ['"a,b', 'a,"b', '"a"b,c', 'a"b,c', '"a"",b', ' "a,b",c', '"a" ,b', '"', '"""']
)
def test_quotes_that_do_not_match_spoil_their_line_alone(read: Read, line: str) -> None:
    broken, *others = read(f'user_id,product_id\n{line}\n1,2\n"3","4"\n')

    assert broken[:3] == (2, line, "its quotes do not match")
    assert others == [(3, "1,2", None, "1", "2"), (4, '"3","4"', None, "3", "4")]


@pytest.mark.parametrize(("line", "fields"), [("1", 1), ("1,2,3", 3), ("1,2,", 3), ("   ", 1)])
def test_a_line_of_another_width_has_a_problem(read: Read, line: str, fields: int) -> None:
    (row,) = read(f"user_id,product_id\n{line}\n")
    assert row[:3] == (2, line, f"it has {fields} fields, the header 2")


def test_a_line_break_within_quotes_ends_the_line_all_the_same(read: Read) -> None:
    rows = read('user_id,product_id\n"1\n2",3\n4,5\n')

    assert [row[:3] for row in rows] == [
        (2, '"1', "its quotes do not match"),
        (3, '2",3', "its quotes do not match"),
        (4, "4,5", None),
    ]


def test_an_id_may_be_very_long(read: Read) -> None:
    assert read(f"user_id,product_id\n{'x' * 100_000},2\n")[0][3] == "x" * 100_000


def test_lines_are_numbered_right_in_a_file_read_by_several_threads(
    read: Read, connection: duckdb.DuckDBPyConnection
) -> None:
    connection.execute("set threads = 4")
    pad = "x" * 200
    lines = [f"{n},{pad}" if n % 7 else "" for n in range(2, 400_000)]

    rows = read("user_id,product_id\r\n" + "\r\n".join(lines))

    assert len(rows) == sum(map(bool, lines))
    assert all(str(line) == user for line, _, _, user, _ in rows)


def test_rows_of_parquet_keep_their_order(
    read: Read, connection: duckdb.DuckDBPyConnection
) -> None:
    connection.execute("set threads = 4")
    table = pa.table({"user_id": range(1, 400_000), "product_id": ["p"] * 399_999})

    assert all(str(line) == user for line, _, _, user, _ in read(table))


def test_names_with_signs_of_a_pattern_are_read_as_they_stand(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    folder = tmp_path / "[ab]c*" / "day=3"
    folder.mkdir(parents=True)
    found = header(folder, "user_id,product_id\n1,2\n", "lo[g]'s?.csv")

    assert numbered(connection, found) == [(2, "1,2", None, "1", "2")]


def test_gzip_reads_the_same_in_one_part_or_two(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    packed = gzip.compress(b"user_id,product_id\n1,2\n") + gzip.compress(b"3,4\n")
    found = header(tmp_path, packed, "log.csv.gz")

    assert numbered(connection, found) == [(2, "1,2", None, "1", "2"), (3, "3,4", None, "3", "4")]


# Rows of Parquet


def texts(values: list[object], kind: pa.DataType, read: Read) -> list[str | None]:
    table = pa.table({"user_id": pa.array(values, kind), "product_id": ["p"] * len(values)})
    return [row[3] for row in read(table)]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([7, None, 2**63 - 1], pa.int64(), ["7", None, "9223372036854775807"]),
        ([2**64 - 1], pa.uint64(), ["18446744073709551615"]),
        ([17850.0, None, 0.0, -3.0], pa.float64(), ["17850", None, "0", "-3"]),
        ([float("nan"), 1.5, 1e20], pa.float64(), [None, "1.5", "1e+20"]),
        ([17850.0], pa.float32(), ["17850"]),
        (
            ["007", " a b ", "", "  ", "x\r\n", None],
            pa.string(),
            ["007", "a b", *[None] * 2, "x", None],
        ),
        (["007"], pa.large_string(), ["007"]),
        ([True], pa.bool_(), ["true"]),
        ([date(2020, 1, 2)], pa.date32(), ["2020-01-02"]),
        (
            [datetime(2020, 1, 2, 3, tzinfo=UTC)],
            pa.timestamp("us", "Europe/Berlin"),
            ["2020-01-02 03:00:00+00"],
        ),
        ([datetime(2020, 1, 2, 3)], pa.timestamp("ns"), ["2020-01-02 03:00:00"]),
    ],
)
def test_values_of_every_type_become_text(
    read: Read, values: list[object], kind: pa.DataType, expected: list[str | None]
) -> None:
    assert texts(values, kind, read) == expected


def test_a_price_that_is_no_number_stays_visible(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    path = tmp_path / "log.parquet"
    prices = pa.array([float("nan"), float("inf"), 2.0, None])
    pq.write_table(pa.table({"user_id": [1] * 4, "product_id": [2] * 4, "price": prices}), path)

    query = source.rows(understood(path), ["price"])

    assert connection.execute(f"select price from ({query})").fetchall() == [
        ("nan",),
        ("inf",),
        ("2.0",),
        (None,),
    ]


def test_ids_with_gaps_that_pandas_made_floats_of_are_mended(tmp_path: Path, read: Read) -> None:
    frame = pd.DataFrame({"user_id": [17850, None], "product_id": ["a", "b"]})
    assert frame["user_id"].dtype == float

    rows = read(pa.Table.from_pandas(frame))

    assert [row[3] for row in rows] == ["17850", None]


def test_a_row_of_parquet_is_shown_as_json(read: Read) -> None:
    table = pa.table({"x y": [None, "ü"], "product_id": [1, 2], "user_id": ["a", 'b"']})

    assert read(table) == [
        (1, '{"x y":null,"product_id":1,"user_id":"a"}', None, "a", "1"),
        (2, '{"x y":"ü","product_id":2,"user_id":"b\\""}', None, 'b"', "2"),
    ]


def test_a_column_that_is_absent_is_null(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    found = header(tmp_path, "user_id,product_id\n1,2\n")
    query = source.rows(found, ["event_time", "price"])
    assert connection.execute(f"select event_time, price from ({query})").fetchall() == [
        (None, None)
    ]
