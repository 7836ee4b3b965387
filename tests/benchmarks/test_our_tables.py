"""Our tables of a log that is full of what a simulated shop lacks, against the twin's."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import pandas_features
from benchmarks.comparison import check_folders
from features.log import KINDS, Event, Log, event

GAP = timedelta(minutes=30)
NO_TIME, TICK = timedelta(), timedelta(microseconds=1)

SEEDS = range(4)
# From an event to the next: many are at one moment, and many are the gap apart, or all but.
STEPS = [NO_TIME] * 4 + [GAP, GAP - TICK, GAP + TICK, TICK, GAP / 3, timedelta(hours=7)]
PRICES = [None, None, 0.0, -3.5, 0.1, 0.2, 9.99, 12.345678, 100_000.01]
ATTRIBUTES = ["category_id", "category_code", "brand"]
WORDS = [None, None, "a", "b", "B", "c.d", "ä"]
UNSAID = {("pot", "brand"), *((item, "category_code") for item in ("jar", "lid", "mug", "pot"))}
USERS = ["ann", "bob", "cid", "Zoë"]
ITEMS = ["cup", "jar", "lid", "mug", "pan", "pot"]
PRODUCTS: list[dict[str, str]] = [
    {"product_id": "cup", "category_id": "1", "category_code": "kitchen.cup", "brand": "acme"},
    {"product_id": "lid", "category_id": "2"},
    {"product_id": "pan", "brand": "acme"},
    {"product_id": "unseen", "category_id": "4", "category_code": "no.one", "brand": "saw"},
]


def a_log(seed: int, length: int = 600) -> list[Event]:
    """A log of few users and items with many events each."""
    draw = random.Random(seed)
    kinds = {user: draw.sample(KINDS, draw.randint(2, 5)) for user in USERS}
    time, events = datetime(2020, 1, 1, 22, 30), []
    for number in range(length):
        # It ends with several events at one moment, so that an item's last words are several, too.
        time += draw.choice(STEPS) if number < length - 24 else NO_TIME
        user, item = draw.choice(USERS), draw.choice(ITEMS)
        said = {name: draw.choice(WORDS) for name in ATTRIBUTES if (item, name) not in UNSAID}
        source, price = draw.choice(["stream", "batch"]), draw.choice(PRICES)
        events.append(
            event(time, draw.choice(kinds[user]), user, item, price, source=source, **said)
        )
    return events


def check_all(log: Log) -> None:
    """Makes every table both ways, and compares them."""
    log.make()
    weights = {str(name): weight for name, weight in log.config.interactions.weights.items()}
    theirs = pandas_features.compute(
        log.folder / "events/history", log.catalogue, weights, log.config.sessions.gap_minutes
    )
    folder = log.folder / "pandas"
    folder.mkdir()
    for name, table in theirs.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    check_folders(log.history.folder, folder)


@pytest.mark.parametrize("seed", SEEDS)
def test_both_make_the_same_of_a_random_log(seed: int, tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write(*a_log(seed))
    log.list_products(*PRODUCTS)
    log.set(interactions={"weights": dict(zip(KINDS, (0.1, 0.25, 0.5, -1.0, 3.0), strict=True))})
    check_all(log)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_random_log_has_what_it_is_for(seed: int) -> None:
    log = pd.DataFrame(a_log(seed))
    bought = log[log["event_type"] == "purchase"]
    moments = log.groupby(["user_id", "event_time"])["event_type"].agg(list)
    pauses = log.groupby("user_id")["event_time"].diff()
    assert moments.map(lambda kinds: "purchase" in kinds and len(kinds) > 1).any()
    assert {GAP - TICK, GAP, GAP + TICK} <= {*pauses}
    assert bought["price"].isna().any()
    assert (bought["price"] == 0).any()
    assert (bought["price"] < 0).any()
    for attribute in ATTRIBUTES:
        last = log[log["event_time"] == log["event_time"].max()]
        assert last.groupby("product_id")[attribute].nunique().max() > 1


@pytest.mark.parametrize(
    "events",
    [
        [event("2020-01-01T10:00", "view")],
        [event("2020-01-01T10:00", "purchase")],
        [event("2020-01-01T10:00", "purchase", price=5.0), event("2020-01-02T10:00", "view")],
    ],
)
def test_both_make_the_same_where_almost_nothing_is_known(
    events: list[Event], tmp_path: Path
) -> None:
    log = Log(tmp_path)
    log.write(*events)
    check_all(log)
