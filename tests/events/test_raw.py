from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from progrec.errors import InputError
from progrec.events import raw


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "deep/data"


def put(folder: Path, name: str, text: str = "new") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_what_is_staged_appears_when_all_of_it_is_there(out: Path) -> None:
    with raw.staged(out) as staging:
        put(staging, "events/log.csv")
        put(staging, "products/all.csv")
        assert not out.exists()

    assert names(out.parent) == ["data/events/log.csv", "data/products/all.csv"]
    assert [path.name for path in out.parent.iterdir()] == ["data"]


def test_a_body_that_fails_writes_nothing(out: Path) -> None:
    with pytest.raises(OSError, match="disk"), raw.staged(out) as staging:
        put_and_fail(staging)

    assert list(out.parent.iterdir()) == []


def put_and_fail(staging: Path) -> None:
    put(staging, "events/log.csv")
    raise OSError("the disk is full")


def test_an_empty_folder_may_be_filled(out: Path) -> None:
    out.mkdir(parents=True)
    with raw.staged(out) as staging:
        put(staging, "events/log.csv")
    assert names(out) == ["events/log.csv"]


def test_a_folder_in_use_is_added_to_only_when_asked(out: Path) -> None:
    put(out, "events/old.csv", "old")

    with pytest.raises(InputError, match="is not empty; remove it, name another folder, or"):
        raw.staged(out).__enter__()
    with raw.staged(out, add=True) as staging:
        put(staging, "events/new.csv")

    assert names(out.parent) == ["data/events/new.csv", "data/events/old.csv"]


def test_a_file_that_is_there_is_not_overwritten_nor_its_neighbour_written(out: Path) -> None:
    put(out, "events/old.csv", "old")

    with pytest.raises(InputError, match=r"already there, and not overwritten: .*old\.csv$"):
        add_two(out)

    assert names(out.parent) == ["data/events/old.csv"]
    assert (out / "events/old.csv").read_text() == "old"


def add_two(out: Path) -> None:
    with raw.staged(out, add=True) as staging:
        put(staging, "events/aaa.csv")
        put(staging, "events/old.csv")


@pytest.mark.parametrize("add", [True, False])
def test_a_file_is_no_folder_to_write_into(tmp_path: Path, add: bool) -> None:
    put(tmp_path, "data", "mine")
    with pytest.raises(InputError, match="data is a file; name a folder"):
        raw.staged(tmp_path / "data", add=add).__enter__()
    assert (tmp_path / "data").read_text() == "mine"


def test_rows_are_written_under_the_header_that_is_asked_for(tmp_path: Path) -> None:
    rows = pd.DataFrame({"b": ["1", "x,y"], "a": ["007", 'say "x"'], "other": ["", ""]})

    raw.write(rows, tmp_path / "events/log.csv", ["a", "b", "c"])

    assert (tmp_path / "events/log.csv").read_bytes() == (b'a,b,c\n007,1,\n"say ""x""","x,y",\n')


def test_a_line_of_a_raw_file_is_a_row_whatever_the_values_hold(tmp_path: Path) -> None:
    rows = pd.DataFrame({"title": ["two\nlines", "three\r\n\r\nmore", "one"]})

    raw.write(rows, tmp_path / "all.csv", ["title"])

    assert (tmp_path / "all.csv").read_bytes() == b"title\ntwo lines\nthree more\none\n"


def test_times_are_written_as_in_the_raw_form() -> None:
    times = pd.to_datetime(
        pd.Series(["2019-10-01 00:00:00", "2019-10-01 00:00:00.25"]), format="ISO8601", utc=True
    )

    assert raw.utc(times).tolist() == [
        "2019-10-01 00:00:00 UTC",
        "2019-10-01 00:00:00.250000 UTC",
    ]
