"""All tables of the real clickstream, beside `clickstream_figures`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

import pytest

from features.clickstream_figures import (
    ENRICHED,
    M19,
    M60,
    M82,
    MATRIX,
    PROFILES,
    PURCHASES,
    SESSIONS,
    SOLD,
    USERS,
)
from features.clickstream_shop import ITEMS, RELATIONS, SHOPPERS, Row, Shop, about, rows_of
from progrec.events.ingest import Counts
from progrec.features.export import export

STREAM_DAY, NEW_YEAR = date(2023, 12, 1), date(2024, 1, 1)


def before(day: date, rows: Iterable[Row]) -> list[Row]:
    """Rows of dated things before a day."""
    return [row for row in rows if _date(row) < day]


def on(day: date, rows: Iterable[Row]) -> list[Row]:
    """Rows of dated things on a day."""
    return [row for row in rows if _date(row) == day]


def _date(row: Row) -> date:
    return next(value for value in row if isinstance(value, datetime)).date()


# All of it is history


@pytest.fixture(scope="module")
def whole(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(real_data, tmp_path_factory.mktemp("whole"), NEW_YEAR)


def test_every_raw_row_is_an_event(whole: Shop) -> None:
    assert whole.counts == Counts(read=800, kept=800, duplicates=0, quarantined=0)


def test_purchases(whole: Shop) -> None:
    assert whole.past("purchases") == PURCHASES


def test_enriched(whole: Shop) -> None:
    assert whole.past("enriched") == about(ENRICHED)


def test_sessions(whole: Shop) -> None:
    assert whole.past("sessions") == about(SESSIONS)


def test_user_profiles(whole: Shop) -> None:
    assert whole.past("user_profiles") == about(PROFILES)


def test_user_item_matrix(whole: Shop) -> None:
    assert whole.past("user_item_matrix") == about(MATRIX)


def test_user_features(whole: Shop) -> None:
    assert whole.past("user_features") == about(USERS)


def test_item_features(whole: Shop) -> None:
    assert whole.past("item_features", ITEMS) == about(SOLD)


def test_nothing_comes_after_history(whole: Shop) -> None:
    assert [whole.delta.days(name) for name in ("purchases", "enriched", *RELATIONS)] == [[]] * 7
    assert rows_of([whole.delta.whole("targets")], SHOPPERS) == []


# The stream's day is a delta on top of the purchases before it


@pytest.fixture(scope="module")
def split(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(real_data, tmp_path_factory.mktemp("split"), STREAM_DAY)


def test_history_is_what_was_before_the_stream(split: Shop) -> None:
    assert split.counts == Counts(read=800, kept=800, duplicates=0, quarantined=0)
    assert split.past("purchases") == before(STREAM_DAY, PURCHASES)
    assert split.past("enriched") == about(before(STREAM_DAY, ENRICHED))
    assert split.past("sessions") == about(before(STREAM_DAY, SESSIONS))


def test_features_of_history(split: Shop) -> None:
    assert split.past("user_profiles") == about(
        [
            # One purchase each, which knew of none before it.
            ("user_6", 1, 0.0, 0.0, 0.0, 0.0, None, 0, 0, 0, 0.0, "purchase"),
            # (27 + 132.5 + 144 + 210.25) / 4
            ("user_19", 5, 0.0, 0.0, 0.0, 0.0, 128.4375, 4, 0, 0, 0.0, "purchase"),
            # 833.186 / 5, for the two purchases of one moment are one session of 6
            ("user_60", 6, 0.0, 0.0, 0.0, 0.0, 166.6372, 5, 0, 0, 0.0, "purchase"),
            (
                *("user_82", 9, 0.0, 0.0, 0.0, 0.0),
                (1482.4655 + 703 / 3 + 1269.85 / 6 + 1453.07 / 7) / 8,
                *(8, 0, 0, 0.0, "purchase"),
            ),
            ("user_95", 1, 0.0, 0.0, 0.0, 0.0, None, 0, 0, 0, 0.0, "purchase"),
        ]
    )
    bought = {(user, item) for user, item, _, _ in before(STREAM_DAY, PURCHASES)}
    assert split.past("user_item_matrix") == about(row for row in MATRIX if row[:2] in bought)
    assert split.past("user_features") == about(
        [
            ("user_6", 1, 48.03, 48.03, 0, 0, 0, 0, 1),
            ("user_19", 5, 952.53, M19, 0, 0, 0, 0, 5),
            ("user_60", 7, 1225.18, M60, 0, 0, 0, 0, 7),
            ("user_82", 9, 1763.67, M82, 0, 0, 0, 0, 9),
            ("user_95", 1, 59.0, 59.0, 0, 0, 0, 0, 1),
        ]
    )
    assert split.past("item_features", ITEMS) == about(
        [
            ("item_9", 4, 452.79, 452.79 / 4, 0, 0, None, None, None, None, 4),  # 646.16 - 193.37
            ("item_17", 6, 365.02, 365.02 / 6, 0, 0, None, None, None, None, 6),
            ("item_23", 2, 329.0, 164.5, 0, 0, None, None, None, None, 2),
        ]
    )


def test_the_streams_day_has_its_own_purchases_and_events(split: Shop) -> None:
    assert split.of_day("purchases", STREAM_DAY) == on(STREAM_DAY, PURCHASES)
    assert split.of_day("enriched", STREAM_DAY) == about(on(STREAM_DAY, ENRICHED))
    assert split.of_day("sessions", STREAM_DAY) == about(on(STREAM_DAY, SESSIONS))


def test_features_of_the_streams_day_are_whole_as_of_its_end(split: Shop) -> None:
    day = STREAM_DAY
    # user_19 and user_82 buy once more later: a session less, and one mean less to average.
    assert split.of_day("user_profiles", day) == about(
        [
            PROFILES[0],
            # (27 + 132.5 + 144 + 210.25 + 190.506) / 5
            ("user_19", 6, 2 / 6, 1 / 6, 480.0, 160.0, 140.8512, 5, 2, 1, 2880.0, "click"),
            PROFILES[2],
            (
                *("user_82", 10, 0.1, 0.1, 168.0, 84.0),
                (1482.4655 + 703 / 3 + 1269.85 / 6 + 1453.07 / 7 + M82) / 9,
                *(9, 1, 1, 1680.0, "view"),
            ),
            PROFILES[4],
        ]
    )
    # Only what they touched on the day, and nobody touched an item again.
    touched = {row[2:4] for row in on(day, ENRICHED)}
    assert split.of_day("user_item_matrix", day) == about(r for r in MATRIX if r[:2] in touched)
    assert split.of_day("user_features", day) == about(
        [
            USERS[0],
            ("user_19", 5, 952.53, M19, 1, 2, 1, 0, 5),
            USERS[2],
            ("user_82", 9, 1763.67, M82, 1, 1, 1, 0, 9),
            USERS[4],
        ]
    )
    assert split.of_day("item_features", day, ITEMS) == about(
        [
            SOLD[0],  # sold once on the day, at midnight
            SOLD[1],
            ("item_23", 2, 329.0, 164.5, 0, 1, 2.0, None, None, None, 2),
            SOLD[3],
            ("item_304", 0, 0.0, None, 0, 1, 0.0, None, None, None, 0),
            SOLD[5],
        ]
    )


@pytest.mark.parametrize(
    ("day", "shopper", "item"),
    [(date(2023, 12, 18), "user_19", "item_92"), (date(2023, 12, 13), "user_82", "item_222")],
)
def test_a_later_purchase_makes_the_figures_those_of_the_whole(
    split: Shop, day: date, shopper: str, item: str
) -> None:
    for table, rows in {
        "purchases": on(day, PURCHASES),
        "enriched": on(day, ENRICHED),
        "sessions": on(day, SESSIONS),
        "user_profiles": PROFILES,
        "user_item_matrix": [row for row in MATRIX if row[1] == item],
        "user_features": USERS,
    }.items():
        assert split.of_day(table, day) == about(row for row in rows if shopper in row), table


def test_items_are_sold_after_the_stream(split: Shop) -> None:
    assert split.of_day("item_features", date(2023, 12, 2), ITEMS) == about([SOLD[4]])
    assert split.of_day("item_features", date(2023, 12, 28), ITEMS) == about([SOLD[2]])


def test_targets_are_bought_within_14_days(split: Shop) -> None:
    # Until 2023-12-14: user_19's item_92 comes too late.
    assert rows_of([split.delta.whole("targets")], SHOPPERS) == [
        ("user_82", "item_222"),
        ("user_95", "item_13"),
    ]


def test_wherever_history_ends_the_tables_are_the_same(
    whole: Shop, split: Shop, tmp_path: Path
) -> None:
    """Of all shoppers and items, byte for byte."""
    counts = export(whole.features, tmp_path / "whole", "csv")

    assert export(split.features, tmp_path / "split", "csv") == counts
    for file in counts:
        assert (tmp_path / "split" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
