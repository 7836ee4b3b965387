from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from progrec import warehouse
from progrec.errors import InputError
from progrec.events import catalogue
from progrec.events import ingest as ingestion
from progrec.events.ingest import Counts
from raw_shop import FOUR, PARAMS, VIEW, Shop
from said import untimed

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


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_bad_rows_of_a_long_log_have_their_lines(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Several threads read such a log, and where a row landed in the table tells its line."""
    monkeypatch.setattr(warehouse, "connect", four_threads(warehouse.connect))
    columns = FOUR.split(",")
    first = 2 if kind == "csv" else 1
    rows = [
        (f"u{n}", "" if n % 1000 == 0 else "p" * 50, "2020-01-01 00:00:00", "view")
        for n in range(first, 400_000)
    ]
    if kind == "csv":
        shop.log(*map(",".join, rows))
    else:
        table = pa.table(dict(zip(columns, zip(*rows, strict=True), strict=True)))
        shop.write(table, "events/log.parquet")
    shop.log("u,,2020-01-01,view", file="events/z.csv").ingest()

    *bad, last = shop.quarantine()
    assert [row[1] for row in bad] == list(range(1000, 400_000, 1000))
    assert all(f"u{row[1]}" in row[4] for row in bad)
    assert last[:2] == ("events/z.csv", 2)
    users = shop.events(columns="user_id")
    assert users == [row[0] for row in rows if row[1]]


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


def four_threads(
    connect: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]],
) -> Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]:
    @contextmanager
    def limited() -> Iterator[duckdb.DuckDBPyConnection]:
        with connect() as connection:
            connection.execute("set threads = 4")
            yield connection

    return limited


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

    assert len(seen) == 2  # DuckDB's, of both runs
    assert list(scratch.iterdir()) == []


# The command


def test_the_command_reads_params_and_tells_the_counts(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(shop.data.parent)
    Path("params.yaml").write_text(PARAMS.read_text())
    shop.log(VIEW, VIEW)

    ingestion.main(data=Path("data"), out=Path("out"), report=Path("report.json"))

    assert untimed(capsys.readouterr().out) == (
        "ingest: 2 rows read = 1 kept + 1 duplicates + 0 quarantined + 0 set aside\n"
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
    write, before = catalogue.write, shop.bytes()

    def look(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        assert {name: shop.bytes()[name] for name in before} == before
        write(connection, path)

    monkeypatch.setattr(catalogue, "write", look)
    shop.log("u9,p9,2020-01-09,view").ingest()

    assert shop.events(columns="user_id") == ["u9"]
