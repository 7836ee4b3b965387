from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from progrec import content
from progrec.errors import InputError
from progrec.learning import day as days
from progrec.learning.day import Day

EVENTS = [
    ("2020-02-01", "zoe", "p01", "purchase"),
    ("2020-02-02", "ann", "p00", "view"),
    ("2020-02-02", "ann", "p00", "purchase"),
    ("2020-02-02", "bob", "p01", "cart"),
]


def test_a_day_is_its_own_events_and_what_is_known_at_its_end(
    deltas: Callable[..., Path], interactions: Callable[..., pd.DataFrame]
) -> None:
    day = Day.read(deltas(EVENTS), date(2020, 2, 2))

    assert day.date == date(2020, 2, 2)
    pd.testing.assert_frame_equal(
        day.interactions, interactions(EVENTS[1:]), check_dtype=False, check_like=True
    )
    assert day.user_features["user_id"].tolist() == ["ann", "bob"]
    sales = day.item_features.set_index("item_id")["total_sales"]
    assert sales.to_dict() == {"p00": 1, "p01": 1}


def test_what_was_bought(deltas: Callable[..., Path]) -> None:
    bought = Day.read(deltas(EVENTS), date(2020, 2, 2)).bought

    assert bought[["user_id", "item_id"]].to_numpy().tolist() == [["ann", "p00"]]


def test_digests_are_the_files(deltas: Callable[..., Path]) -> None:
    folder = deltas(EVENTS)

    digests = days.digests(folder, date(2020, 2, 1))

    assert digests == {
        name: content.digest(folder / name / "date=2020-02-01" / f"{name}.parquet")
        for name in ("enriched", "user_features", "item_features")
    }
    assert digests != days.digests(folder, date(2020, 2, 2))


@pytest.mark.parametrize("table", ["enriched", "user_features", "item_features"])
def test_a_table_that_is_missing_is_named(deltas: Callable[..., Path], table: str) -> None:
    folder = deltas(EVENTS)
    file = folder / table / "date=2020-02-02" / f"{table}.parquet"
    file.unlink()

    with pytest.raises(InputError, match=f"{file} does not exist; run the pipeline: `dvc repro`"):
        days.digests(folder, date(2020, 2, 2))


@pytest.mark.parametrize("table", ["enriched", "user_features", "item_features"])
def test_a_table_that_is_none_is_named(deltas: Callable[..., Path], table: str) -> None:
    folder = deltas(EVENTS)
    (folder / table / "date=2020-02-02" / f"{table}.parquet").write_text("no table")

    with pytest.raises(InputError, match=f"{table}.* cannot be read"):
        Day.read(folder, date(2020, 2, 2))


def test_joined_days_are_all_events_and_what_is_known_at_the_end(
    deltas: Callable[..., Path],
) -> None:
    events = [*EVENTS, ("2020-02-03", "ann", "p01", "view")]
    folder = deltas(events)

    joined = Day.joined(
        [Day.read(folder, date(2020, 2, day)) for day in (1, 2, 3)], date(2020, 2, 4)
    )

    assert joined.date == date(2020, 2, 4)
    assert len(joined.interactions) == 4
    users = joined.user_features.set_index("user_id")[["total_purchases", "views"]]
    assert users.T.to_dict("list") == {"zoe": [1, 0], "bob": [0, 0], "ann": [1, 2]}
    assert joined.item_features.set_index("item_id")["views"].to_dict() == {"p00": 1, "p01": 1}


@pytest.mark.parametrize(
    ("day", "before", "expected"),
    [
        ("2020-02-01", "2020-01-31", False),  # Saturday after Friday
        ("2020-02-02", "2020-02-01", True),
        ("2020-02-08", "2020-02-02", False),
        ("2020-02-12", "2020-02-03", True),  # nothing happened on Sunday
    ],
)
def test_a_week_begins_on_sunday_or_with_the_first_day_after_it(
    day: str, before: str, expected: bool
) -> None:
    assert days.begins_week(date.fromisoformat(day), date.fromisoformat(before)) is expected
