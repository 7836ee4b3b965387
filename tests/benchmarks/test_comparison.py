from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.comparison import DifferentError, check, check_folders

TABLE = pd.DataFrame(
    {
        "user_id": ["ada", "bob", None],
        "events": [1, 2, 3],
        "spent": [0.1 + 0.2, np.nan, 7.0],
        "seen": pd.to_datetime(["2020-01-01", "2020-01-02", None]),
    }
)


def test_rounding_and_width_make_no_difference() -> None:
    theirs = TABLE.assign(spent=[0.3, np.nan, 7.0], events=TABLE["events"].astype("int32"))
    check("users", TABLE, theirs)


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (TABLE.assign(events=[1, 2, 4]), r"(?s)users\.events: 1 of 3 rows.*2.*7\.0"),
        (TABLE.assign(spent=[0.3, 0.0, 7.0]), r"users\.spent: 1 of 3 rows"),
        (TABLE.assign(spent=[0.3, np.nan, 7.0001]), r"users\.spent: 1 of 3 rows"),
        (TABLE.assign(user_id=["ada", "bob", "cy"]), r"users\.user_id: 1 of 3 rows"),
        (TABLE.assign(seen=TABLE["seen"].max()), r"users\.seen: 2 of 3 rows"),
        (TABLE.assign(events=[1.0, 2.0, 3.0]), r"users\.events: is an integer, not a number"),
        (TABLE[1:].reset_index(drop=True), r"(?s)users\.user_id: 2 of 2 rows.*rows: 3, not 2"),
        (TABLE[:2], r"(?s)users\.user_id: .*rows: 3, not 2.*7\.0"),
        (TABLE.drop(columns="seen"), r"users: columns user_id, events, spent, seen, not"),
    ],
)
def test_a_difference_is_named(theirs: pd.DataFrame, message: str) -> None:
    with pytest.raises(DifferentError, match=message):
        check("users", TABLE, theirs)


def test_a_table_may_be_a_file_or_one_a_day(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for file, rows in {
        theirs / "users.parquet": TABLE,
        theirs / "days.parquet": TABLE,
        ours / "users.parquet": TABLE,
        ours / "days/date=2020-01-02/days.parquet": TABLE[2:],
        ours / "days/date=2020-01-01/days.parquet": TABLE[:2],
    }.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        rows.to_parquet(file, index=False)
    check_folders(ours, theirs)
    (ours / "users.parquet").unlink()
    with pytest.raises(DifferentError, match=r"users: .*ours does not hold it"):
        check_folders(ours, theirs)
