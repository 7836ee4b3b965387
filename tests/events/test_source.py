from __future__ import annotations

import gzip
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from events.sources import REQUIRED, Read, header, understood
from progrec.errors import InputError
from progrec.events import source
from progrec.events.source import Source

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
