from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from progrec.errors import InputError
from progrec.events import clickstream

EVENTS = """\
user_id,item_id,event_type,timestamp
user_12,item_227,click,2023-12-01 00:00:00
 007 ,item_306,add_to_cart,2023-12-01T01:30:00.250+01:00
user_2,item_306,view,2023-12-02
user_2,,teleport,yesterday
"""
PURCHASES = """\
user_id,item_id,purchase_amount,timestamp
user_33,item_8,101.19,2023-11-05
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {
        "events": tmp_path / "day.csv",
        "purchases": tmp_path / "purchases.csv",
        "history": tmp_path / "history.parquet",
    }
    paths["events"].write_text(EVENTS)
    paths["purchases"].write_text(PURCHASES)
    pd.DataFrame(
        {
            "user_id": ["user_8", "user_9"],
            "item_id": ["item_202", "item_1"],
            "purchase_amount": [450, None],
            "purchase_date": pd.to_datetime(pd.Series(["2023-08-09", None])),
        }
    ).astype({"purchase_amount": "Int64"}).to_parquet(paths["history"])
    return paths


def imported(files: dict[str, Path], out: Path, *, add: bool = False) -> dict[str, int]:
    return clickstream.import_files(
        events=files["events"],
        purchases=files["purchases"],
        history=files["history"],
        out=out,
        add=add,
    )


def test_every_row_is_written_under_our_names(tmp_path: Path, files: dict[str, Path]) -> None:
    out = tmp_path / "data"

    summary = imported(files, out)

    assert summary == {
        "rows read": 7,
        "events written": 4,
        "purchases of the batch written": 1,
        "historical purchases written": 2,
    }
    assert (out / "events/clickstream.csv").read_text() == (
        "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,"
        "user_session\n"
        "2023-12-01 00:00:00 UTC,click,item_227,,,,,user_12,\n"
        "2023-12-01 00:30:00.250000 UTC,cart,item_306,,,,,007,\n"
        "2023-12-02 00:00:00 UTC,view,item_306,,,,,user_2,\n"
        "yesterday,teleport,,,,,,user_2,\n"
    )
    assert (out / "purchases/batch.csv").read_text() == (
        "user_id,product_id,event_time,price\nuser_33,item_8,2023-11-05 00:00:00 UTC,101.19\n"
    )
    assert (out / "purchases/history.csv").read_text() == (
        "user_id,product_id,event_time,price\n"
        "user_8,item_202,2023-08-09 00:00:00 UTC,450\n"
        "user_9,item_1,,\n"
    )


def test_headers_alone_are_no_events(tmp_path: Path, files: dict[str, Path]) -> None:
    files["events"].write_text(EVENTS.splitlines()[0])

    assert imported(files, tmp_path / "data")["events written"] == 0


@pytest.mark.parametrize(
    ("part", "missing"),
    [
        ("events", "user_id, item_id, event_type, timestamp"),
        ("purchases", "user_id, item_id, purchase_amount, timestamp"),
        ("history", "user_id, item_id, purchase_amount, purchase_date"),
    ],
)
def test_missing_columns_are_named_with_those_found(
    tmp_path: Path, files: dict[str, Path], part: str, missing: str
) -> None:
    write: Callable[..., object] = (
        pd.DataFrame.to_parquet if part == "history" else pd.DataFrame.to_csv
    )
    write(pd.DataFrame({"who": ["user_1"], "when": ["now"]}), files[part], index=False)

    refused(tmp_path, files, rf"{files[part].name}: has no column {missing}; found: who, when;")


@pytest.mark.parametrize("part", ["events", "purchases", "history"])
def test_empty_file_is_refused(tmp_path: Path, files: dict[str, Path], part: str) -> None:
    files[part].write_bytes(b"")
    refused(tmp_path, files, f"{files[part].name}: is empty")


@pytest.mark.parametrize("part", ["events", "purchases", "history"])
def test_missing_file_is_refused(tmp_path: Path, files: dict[str, Path], part: str) -> None:
    files[part].unlink()
    refused(tmp_path, files, f"{files[part].name}: there is no such file")


def test_damaged_parquet_is_refused(tmp_path: Path, files: dict[str, Path]) -> None:
    files["history"].write_bytes(b"PAR1 and then nothing")
    refused(tmp_path, files, r"history\.parquet: is damaged")


def test_folder_in_use_is_left_alone(tmp_path: Path, files: dict[str, Path]) -> None:
    out = tmp_path / "data"
    imported(files, out)

    with pytest.raises(InputError, match="--add"):
        imported(files, out)
    with pytest.raises(InputError, match=r"already there.*batch\.csv"):
        imported(files, out, add=True)


def refused(folder: Path, files: dict[str, Path], message: str) -> None:
    before = set(folder.iterdir())
    with pytest.raises(InputError, match=message):
        imported(files, folder / "data")
    assert set(folder.iterdir()) == before


def test_real_clickstream(tmp_path: Path, real_data: Path) -> None:
    shop = real_data / "clickstream"

    summary = clickstream.import_files(
        events=shop / "user_activity_day1.csv",
        purchases=shop / "purchases.csv",
        history=shop / "historical_purchases.parquet",
        out=tmp_path,
    )

    assert summary == {
        "rows read": 800,
        "events written": 200,
        "purchases of the batch written": 100,
        "historical purchases written": 500,
    }
    events = pd.read_csv(tmp_path / "events/clickstream.csv", dtype=str)
    assert set(events["event_type"]) == {"view", "click", "cart"}
    for table in (events, *map(pd.read_csv, (tmp_path / "purchases").iterdir())):
        assert table["event_time"].str.fullmatch(r"2023-\d\d-\d\d \d\d:\d\d:00 UTC").all()
