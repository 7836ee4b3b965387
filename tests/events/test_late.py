from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from progrec.events.ingest import Counts
from raw_shop import FOUR, VIEW, Shop

RECEIVED = f"{FOUR},received_at"
LOG = [
    "ann,p,2020-01-10 23:59:59.5,view,2020-01-10 23:59:59.9",
    "bob,p,2020-01-10 23:59:59.5,view,2020-01-11",  # late by half a second
    "cem,p,2020-01-10,view,",  # nobody knows when it came in
    "dan,p,2020-01-12 08:00:00,view,2020-01-11 08:00:00",  # a clock that is ahead
    "eva,p,2020-01-31T23:30:00-01:00,cart,2020-02-01 09:00:00 UTC",  # the day is UTC's
    "fay,p,2020-01-31T23:30:00+01:00,cart,2020-02-01T02:00:00+02:00",  # late, and beyond the cutoff
]
CAME_IN = {
    "bob": (datetime(2020, 1, 10, 23, 59, 59, 500_000), datetime(2020, 1, 11)),
    "fay": (datetime(2020, 1, 31, 22, 30), datetime(2020, 2, 1)),
}


def test_a_late_event_counts_from_when_it_came_in(shop: Shop) -> None:
    shop.log(*LOG, header=RECEIVED)

    assert shop.ingest(late="next_day") == Counts(read=6, kept=6, duplicates=0, quarantined=0)
    assert shop.events("history", "user_id, event_time") == [
        ("cem", datetime(2020, 1, 10)),
        ("ann", datetime(2020, 1, 10, 23, 59, 59, 500_000)),
        ("bob", datetime(2020, 1, 11)),
        ("dan", datetime(2020, 1, 12, 8)),
    ]
    assert shop.events("delta", "user_id, event_time") == [
        ("fay", datetime(2020, 2, 1)),
        ("eva", datetime(2020, 2, 1, 0, 30)),
    ]


def test_a_late_event_is_set_aside_if_that_is_wanted(shop: Shop) -> None:
    shop.log(*LOG, header=RECEIVED)

    assert shop.ingest(late="set_aside") == Counts(
        6, kept=4, duplicates=0, quarantined=0, set_aside=2
    )
    assert shop.events("history", "user_id") == ["cem", "ann", "dan"]
    assert shop.events("delta", "user_id") == ["eva"]


@pytest.mark.parametrize("late", ["next_day", "set_aside"])
def test_late_events_are_listed_as_they_were_and_counted(shop: Shop, late: str) -> None:
    lines = [f"e{number},{line},7.5" for number, line in enumerate(LOG)]
    shop.log(*lines, header=f"event_id,{RECEIVED},price").ingest(late=late)

    assert shop.late(
        ["event_id", "user_id", "event_type", "price", "event_time", "received_at"]
    ) == [
        ("e1", "bob", "view", 7.5, *CAME_IN["bob"]),
        ("e5", "fay", "cart", 7.5, *CAME_IN["fay"]),
    ]
    assert shop.report()["late"] == 2


def test_a_log_that_does_not_say_when_events_came_in_has_no_late_ones(shop: Shop) -> None:
    shop.log(VIEW).ingest()

    assert shop.late(["user_id"]) == []
    assert shop.report()["late"] == 0


def test_each_file_says_for_itself_when_events_came_in(shop: Shop) -> None:
    shop.log("u1,p,2020-01-10,view", file="events/a.csv")
    shop.log("u2,p,2020-01-10,view,2020-01-11", header=RECEIVED, file="events/b.csv")
    shop.log(
        "u3,p,2020-01-10,2020-01-12",
        header="user_id,product_id,event_time,Received_At",
        file="purchases/c.csv",
    )
    shop.ingest()

    assert shop.events(columns="user_id, source, event_time") == [
        ("u1", "stream", datetime(2020, 1, 10)),
        ("u2", "stream", datetime(2020, 1, 11)),
        ("u3", "batch", datetime(2020, 1, 12)),
    ]
    assert shop.report()["ignored_columns"] == {}


def test_when_it_came_in_may_go_by_another_name(shop: Shop) -> None:
    shop.log("u,p,2020-01-10,view,2020-01-11", header=f"{FOUR},arrival")
    shop.ingest(column_aliases={"arrival": "received_at"})

    assert shop.events(columns="event_time") == [datetime(2020, 1, 11)]


def test_times_of_parquet_are_judged_alike(shop: Shop) -> None:
    moment = datetime(2020, 1, 10, 23, 30, tzinfo=UTC)
    times = {
        "event_time": pa.array([moment] * 2, pa.timestamp("us", "UTC")),
        "received_at": pa.array([moment + timedelta(hours=1), None], pa.timestamp("us", "UTC")),
    }
    ids = {"user_id": ["a", "b"], "product_id": ["p"] * 2, "event_type": ["view"] * 2}
    shop.write(pa.table({**ids, **times}), "events/log.parquet").ingest()

    assert shop.events(columns="user_id, event_time") == [
        ("b", datetime(2020, 1, 10, 23, 30)),
        ("a", datetime(2020, 1, 11, 0, 30)),
    ]


def test_a_bad_time_of_arrival_is_quarantined(shop: Shop) -> None:
    shop.log(
        "u,p,2020-01-01,view,soon",
        "u,p,2020-01-01,view,2100-01-01",
        "u,,2020-01-01,view,2020-01-02",
        "u,p,2020-01-01,view,2020-01-01",
        header=RECEIVED,
    )

    assert shop.ingest() == Counts(read=4, kept=1, duplicates=0, quarantined=3)
    assert [row[1:4] for row in shop.quarantine()] == [
        (2, "received_at", "is not an ISO time: soon"),
        (3, "received_at", "is not between 2000-01-01 and 2100-01-01: 2100-01-01"),
        (4, "product_id", "is missing"),
    ]
    assert shop.late(["user_id"]) == []


def test_equal_late_events_are_kept_once_and_listed_as_often_as_they_came(shop: Shop) -> None:
    twice = ["u,p,2020-01-01,view,2020-01-02"] * 2
    shop.log(VIEW + ",", *twice, header=RECEIVED)

    assert shop.ingest() == Counts(read=3, kept=2, duplicates=1, quarantined=0)
    assert len(shop.late(["user_id"])) == shop.report()["late"] == 2
    assert shop.ingest(late="set_aside") == Counts(
        3, kept=1, duplicates=0, quarantined=0, set_aside=2
    )


@pytest.mark.parametrize("late", ["next_day", "set_aside"])
def test_what_comes_in_late_changes_no_day_that_was_over(shop: Shop, late: str) -> None:
    shop.log(*LOG, header=RECEIVED).ingest(late=late)
    before = days(shop)

    stragglers = [f"gus,p,2020-01-{day},purchase,2020-02-03 10:00:00" for day in (10, 11, 31)]
    shop.log(*stragglers, header=RECEIVED, file="events/later.csv").ingest(late=late)

    new = {"artifacts/events/delta/date=2020-02-03/events.parquet"} if late == "next_day" else set()
    assert {name: content for name, content in days(shop).items() if name not in new} == before


def days(shop: Shop) -> dict[str, bytes]:
    return {name: content for name, content in shop.bytes().items() if "/date=" in name}


# A naive twin

HOURS = st.integers(-72, 72)
ROWS = st.lists(
    st.tuples(st.sampled_from("uvw"), HOURS, st.one_of(st.none(), HOURS, st.just("when?"))),
    max_size=12,
)
MIDNIGHT = datetime(2020, 2, 1)


def moved(rows: list[tuple[str, int, Any]], late: str) -> tuple[list[Any], list[Any], int]:
    """The events and the late events of rows, and how many rows are bad."""
    events, belated, bad = [], [], 0
    for user, hours, arrival in rows:
        if arrival == "when?":
            bad += 1
            continue
        time = MIDNIGHT + timedelta(hours=hours)
        received = None if arrival is None else MIDNIGHT + timedelta(hours=arrival)
        if received and received.date() > time.date():
            belated.append((user, time, received))
            if late == "next_day":
                events.append((received, user))
        else:
            events.append((time, user))
    return events, belated, bad


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS, late=st.sampled_from(["next_day", "set_aside"]), drop=st.booleans())
def test_a_naive_twin_agrees_on_what_is_late(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], late: str, drop: bool
) -> None:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.log(VIEW, file="events/history.csv")
    shop.log(*(line(*row) for row in rows), header=RECEIVED)
    events, belated, bad = moved(rows, late)
    kept = sorted(dict.fromkeys(events) if drop else events, key=lambda row: row[0])

    counts = shop.ingest(late=late, drop_duplicates=drop)

    set_aside = len(belated) if late == "set_aside" else 0
    assert counts == Counts(len(rows) + 1, len(kept) + 1, len(events) - len(kept), bad, set_aside)
    columns = "event_time, user_id"
    assert [*shop.events("history", columns)[1:], *shop.events("delta", columns)] == kept
    assert shop.late(["user_id", "event_time", "received_at"]) == belated


def line(user: str, hours: int, arrival: int | str | None) -> str:
    received = MIDNIGHT + timedelta(hours=arrival) if isinstance(arrival, int) else arrival or ""
    return f"{user},p,{MIDNIGHT + timedelta(hours=hours)},view,{received}"
