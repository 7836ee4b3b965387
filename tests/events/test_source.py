from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from progrec import warehouse
from progrec.errors import InputError
from progrec.events import source
from progrec.events.source import Source

KNOWN = ("user_id", "product_id", "event_time", "price")
REQUIRED = ("user_id", "product_id")
ALIASES = {"item_id": "product_id", "Timestamp": "event_time"}

Row = tuple[int, str, str | None, str | None, str | None]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with warehouse.connect() as opened:
        yield opened


@pytest.fixture
def read(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> Callable[[str | bytes | pa.Table], list[Row]]:
    """Reads line, content, problem, user_id and product_id of a file with a content."""

    def rows(content: str | bytes | pa.Table) -> list[Row]:
        if isinstance(content, pa.Table):
            path = tmp_path / "log.parquet"
            pq.write_table(content, path)
        else:
            path = tmp_path / "log.csv"
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return numbered(connection, understood(path))

    return rows


Read = Callable[[str | bytes | pa.Table], list[Row]]


def numbered(connection: duckdb.DuckDBPyConnection, found: Source) -> list[Row]:
    """The rows that are not blank, with their lines."""
    connection.execute(f"create or replace table read as {source.rows(found, REQUIRED)}")
    return connection.execute(
        f"select rowid + {found.first_line}, * from read where content is not null order by rowid"
    ).fetchall()


def understood(path: Path) -> Source:
    return source.understand(path, KNOWN, REQUIRED, ALIASES)


def header(folder: Path, content: str | bytes, name: str = "log.csv") -> Source:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return understood(folder / name)


# Which files there are


def test_the_files_of_a_folder_are_found_by_name(tmp_path: Path) -> None:
    for name in ("b.csv", "a.parquet", "c.csv.gz", ".gitkeep"):
        (tmp_path / name).touch()

    assert [path.name for path in source.find(tmp_path)] == ["a.parquet", "b.csv", "c.csv.gz"]


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert source.find(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", ["log.zip", "log.CSV", "log", "notes.txt"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=rf"{name}: cannot be read; use \.csv, \.csv\.gz, \.parq"):
        source.find(tmp_path)


def test_a_folder_within_is_refused(tmp_path: Path) -> None:
    (tmp_path / "2020.csv").mkdir()
    with pytest.raises(InputError, match=r"2020\.csv: cannot be read"):
        source.find(tmp_path)


# What a header means


def test_columns_are_known_by_name_and_alias_and_others_ignored(tmp_path: Path) -> None:
    found = header(tmp_path, "user_id,colour,item_id,timestamp\n")

    assert found.columns == {
        "user_id": "user_id",
        "product_id": "item_id",
        "event_time": "timestamp",
    }
    assert found.header == ("user_id", "colour", "item_id", "timestamp")
    assert found.ignored == ("colour",)


@pytest.mark.parametrize(
    "line",
    [
        '"user_id","product_id"',
        'USER_ID,"Product_Id"',
        " user_id ,\tproduct_id\t",
        '"user_id" , "product_id"',
        "\ufeffuser_id,product_id",
        '\ufeff"user_id",product_id',
        "User_ID,ITEM_ID",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", ""])
def test_quotes_case_white_space_and_bom_make_no_other_name(
    tmp_path: Path, line: str, end: str
) -> None:
    assert list(header(tmp_path, line + end).columns) == ["user_id", "product_id"]


def test_only_the_first_line_is_the_header(tmp_path: Path, read: Read) -> None:
    with pytest.raises(InputError, match="has no column product_id"):
        header(tmp_path, 'user_id,"x\nproduct_id"\n')


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("user_id,product_id,item_id", "'product_id' and 'item_id' both mean product_id"),
        ("USER_ID,user_id,product_id", "'USER_ID' and 'user_id' both mean user_id"),
        ("user_id,product_id,product_id", "'product_id' and 'product_id' both mean product_id"),
    ],
)
def test_two_columns_of_one_meaning_are_refused(tmp_path: Path, line: str, columns: str) -> None:
    with pytest.raises(InputError, match=rf"log\.csv: columns {columns}; remove one"):
        header(tmp_path, line + "\n")


def test_two_ignored_columns_may_have_one_name(tmp_path: Path) -> None:
    assert header(tmp_path, "x,user_id,x,product_id,\n").ignored == ("x", "x", "")


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        header(tmp_path, "user_id,thing,price\n")

    assert str(caught.value) == (
        f"{tmp_path}/log.csv: has no column product_id (it has user_id, thing, price); if it goes "
        "by another name, add that to ingest.column_aliases in params.yaml"
    )


def test_a_column_that_may_be_meant_is_proposed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"if productid is meant, add 'productid: product_id' to"):
        header(tmp_path, "user_id,productid\n")


@pytest.mark.parametrize("line", ["7,8,2020-01-01,9.99", "", "\ufeff", " ", "colour,size"])
def test_a_file_without_its_header_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=r"log\.csv: has no header; its first line is"):
        header(tmp_path, line + "\n7,8,2020-01-01,9.99\n")


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.parquet"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=rf"{name}: is empty; export it again or remove it"):
        header(tmp_path, b"", name)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("user_id,é\n".encode("latin-1"), "log.csv", "line 1 is not UTF-8; convert"),
        ("user_id,product_id\n".encode("utf-16"), "log.csv", "line 1 is not UTF-8; convert"),
        (b"user_id,product_id\n1,\xff\n", "log.csv", "line 2 is not UTF-8; convert"),
        (b"user_id,product_id\n", "log.csv.gz", "line 1 cannot be read .*Not a gzipped"),
        (gzip.compress(b"user_id,product_id\n")[:-12], "log.csv.gz", "line 1 cannot be read"),
        (b"PAR1 and then nothing", "log.parquet", "is damaged"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused(
    tmp_path: Path, content: bytes, name: str, message: str
) -> None:
    with pytest.raises(InputError, match=rf"{name}: {message}"):
        header(tmp_path, content, name)


def test_the_header_of_parquet_is_its_schema_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"price": [1.5], "Item_ID": ["a"], "x": [0], " user_id": ["b"]}), path)

    found = understood(path)

    assert found.is_parquet
    assert found.columns == {"price": "price", "product_id": "Item_ID", "user_id": " user_id"}
    assert found.ignored == ("x",)


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


# What is wrong with a file that cannot be read


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n1\n2\r\n3\n", "line 3 has CR LF where the lines before have LF"),
        (b"a\r\n1\r\n2\n", "line 3 has LF where the lines before have CR LF"),
        (b"a\n1\r2\n", "line 2 has CR where the lines before have LF"),
        (b"a\r\n1\r\r\n", "line 2 has CR where the lines before have CR LF"),
        (b"a\n1\n\xe9\n", "line 3 is not UTF-8"),
        (b"a\n" + b"x" * 2_000_001 + b"\n", "line 2 is longer than 2,000,000 bytes"),
    ],
)
def test_damage_is_found_by_its_line(
    tmp_path: Path,
    connection: duckdb.DuckDBPyConnection,
    content: bytes,
    message: str,
) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    found = Source(path, ("a",), {"user_id": "a"}, ())

    with pytest.raises(duckdb.Error):
        connection.execute(source.rows(found, ["user_id"])).fetchall()
    assert (source.damage(path) or "").startswith(message)


def test_a_gzip_file_cut_short_is_damaged_where_it_ends(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    lines = "".join(f"{n},{n * 7919 % 10_007}\n" for n in range(50_000))
    packed = gzip.compress(f"user_id,product_id\n{lines}".encode())
    found = header(tmp_path, packed[: len(packed) // 2], "log.csv.gz")

    with pytest.raises(duckdb.Error):
        connection.execute(source.rows(found, REQUIRED)).fetchall()
    message = source.damage(found.path) or ""
    assert message.endswith("; export the file again")
    assert 1000 < int(message.split()[1]) < 50_000


@pytest.mark.parametrize("content", [b"a\n1\n", b"a\r\n1", b"a\r1\r", b"\xef\xbb\xbfa\n"])
def test_a_sound_file_has_no_damage(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log.csv").write_bytes(content)
    assert source.damage(tmp_path / "log.csv") is None


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
