"""Sessions: what a user did without a pause longer than the gap."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.log import KINDS, PRICES, Event, Log, Row, a_log, event, types, values

SECOND = timedelta(seconds=1)
COUNTS = ("num_clicks", "num_views", "num_carts", "num_removes", "num_purchases")
LENGTHS = ("session_length", "avg_time_gap")


def sessions(log: Log, *events: Event, columns: tuple[str, ...]) -> list[Any]:
    log.write(*events)
    log.make("enriched", "sessions")
    return log.values("sessions", *columns)


def test_a_session_worked_by_hand(log: Log) -> None:
    log.write(
        event("2020-01-01T09:00", "purchase", "ann", price=4.0),
        event("2020-01-01T10:00", "view", "ann", "cup"),
        event("2020-01-01T10:01", "click", "ann", "cup"),
        event("2020-01-01T10:01", "click", "ann", "pan"),
        event("2020-01-01T10:05", "cart", "ann", "pan"),
        event("2020-01-01T10:06", "remove_from_cart", "ann", "pan"),
        event("2020-01-01T10:20", "purchase", "ann", "cup", 10.0, source="batch"),
        event("2020-01-01T10:45:00.5", "view", "ann", "lid"),
    )
    log.make("enriched", "sessions")

    assert log.rows("sessions")[1] == {
        "user_id": "ann",
        "session_id": 1,
        "num_clicks": 2,
        "num_views": 2,
        "num_carts": 1,
        "num_removes": 1,
        "num_purchases": 1,
        "session_start": datetime(2020, 1, 1, 10),
        "session_length": 2700.5,
        "avg_time_gap": 2700.5 / 6,
        "last_event": "view",
        "avg_purchase_amount": 7.0,
        "past_purchases": 2,
    }


def test_columns_have_types_that_can_be_relied_on(log: Log) -> None:
    log.write(event("2020-01-01", "view"))
    log.make("enriched", "sessions")
    assert types(log.history.whole("sessions")) == {
        "user_id": "string",
        "session_id": "int64",
        **dict.fromkeys(COUNTS, "int64"),
        "session_start": "timestamp[us]",
        "session_length": "double",
        "avg_time_gap": "double",
        "last_event": "string",
        "avg_purchase_amount": "double",
        "past_purchases": "int64",
    }


# Where a session ends


def test_a_pause_as_long_as_the_gap_does_not_end_a_session_and_a_longer_one_does(log: Log) -> None:
    assert sessions(
        log,
        event("2020-01-01T10:00", "view"),
        event("2020-01-01T10:30", "view"),
        event("2020-01-01T11:00:00.000001", "view"),
        columns=("session_id", "num_views", "session_length"),
    ) == [(0, 2, 1800.0), (1, 1, 0.0)]


@pytest.mark.parametrize("first", ["10:29:59.999999", "10:30:00", "10:30:00.000001", "10:31:12"])
def test_a_pause_is_measured_wherever_on_the_clock_it_lies(log: Log, first: str) -> None:
    start = datetime.fromisoformat(f"2020-01-01T{first}")
    gap = timedelta(minutes=30)
    assert sessions(
        log,
        event(start, "view"),
        event(start + gap, "view"),
        event(start + 2 * gap + timedelta(microseconds=1), "view"),
        columns=("session_id", "num_views", "session_start"),
    ) == [(0, 2, start), (1, 1, start + 2 * gap + timedelta(microseconds=1))]


def test_the_pause_that_ends_a_session_is_in_no_average(log: Log) -> None:
    assert sessions(
        log,
        event("2020-01-01T10:00", "view"),
        event("2020-01-01T10:01", "view"),
        event("2020-01-01T20:00", "view"),
        event("2020-01-01T20:02", "view"),
        event("2020-01-01T20:06", "view"),
        columns=LENGTHS,
    ) == [(60.0, 60.0), (360.0, 180.0)]


def test_a_single_event_has_no_length_and_no_gap(log: Log) -> None:
    event_alone = event("2020-01-01T10:00:00.123456", "click")
    assert sessions(log, event_alone, columns=LENGTHS) == [(0.0, 0.0)]


def test_events_of_one_moment_have_no_length_either(log: Log) -> None:
    events = [event("2020-01-01T10:00", "click")] * 3
    assert sessions(log, *events, columns=("num_clicks", *LENGTHS)) == [(3, 0.0, 0.0)]


def test_a_session_goes_on_over_midnight(log: Log) -> None:
    assert sessions(
        log,
        event("2020-01-01T23:50", "view"),
        event("2020-01-02T00:10", "cart"),
        event("2020-01-02T00:40", "purchase"),
        columns=("session_id", *LENGTHS, "last_event"),
    ) == [(0, 3000.0, 1500.0, "purchase")]


def test_ids_count_from_0_for_each_user(log: Log) -> None:
    assert sessions(
        log,
        *(event(f"2020-01-0{day}T10:00", "view", "bob") for day in (1, 2, 3)),
        *(event(f"2020-01-0{day}T10:10", "view", "ann") for day in (2, 4)),
        columns=("user_id", "session_id"),
    ) == [("ann", 0), ("ann", 1), ("bob", 0), ("bob", 1), ("bob", 2)]


def test_what_others_do_ends_no_session_and_keeps_none_open(log: Log) -> None:
    assert sessions(
        log,
        event("2020-01-01T10:00", "view", "ann"),
        event("2020-01-01T10:25", "view", "bob"),
        event("2020-01-01T10:50", "view", "ann"),
        columns=("user_id", "session_id"),
    ) == [("ann", 0), ("ann", 1), ("bob", 0)]


@pytest.mark.parametrize(("minutes", "expected"), [(1, 4), (4, 3), (5, 2), (59, 2), (60, 1)])
def test_the_gap_is_a_setting(log: Log, minutes: int, expected: int) -> None:
    log.set(sessions={"gap_minutes": minutes})
    times = ("10:00", "10:02", "10:07", "11:07")
    events = [event(f"2020-01-01T{time}", "view") for time in times]
    assert len(sessions(log, *events, columns=("session_id",))) == expected


def test_a_gap_may_be_longer_than_a_day(log: Log) -> None:
    log.set(sessions={"gap_minutes": 3 * 24 * 60})
    events = [event(f"2020-01-{day:02}T10:00", "view") for day in (1, 4, 7, 11)]
    assert sessions(log, *events, columns=("session_id", "num_views")) == [(0, 3), (1, 1)]


# The last event


@pytest.mark.parametrize("kinds", [("view", "cart", "click"), ("click", "cart", "view")])
def test_of_events_at_one_moment_the_one_that_arrived_last_is_last(
    log: Log, kinds: tuple[str, ...]
) -> None:
    events = [event("2020-01-01T10:00", kind) for kind in kinds]
    assert sessions(log, *events, columns=("last_event",)) == [kinds[-1]]


def test_what_was_bought_before_is_what_it_was_at_the_last_event(log: Log) -> None:
    assert sessions(
        log,
        event("2020-01-01T10:00", "purchase", price=10.0),
        event("2020-01-01T10:01", "purchase", price=20.0),
        event("2020-01-01T10:01", "view"),
        event("2020-01-02T10:00", "purchase", price=60.0),
        event("2020-01-03T10:00", "view"),
        columns=("last_event", "past_purchases", "avg_purchase_amount"),
    ) == [("view", 1, 10.0), ("purchase", 2, 15.0), ("view", 3, 30.0)]


def test_purchases_of_unknown_amount_leave_the_average_unknown(log: Log) -> None:
    assert sessions(
        log,
        event("2020-01-01T10:00", "purchase"),
        event("2020-01-01T10:01", "view"),
        columns=("past_purchases", "avg_purchase_amount"),
    ) == [(1, None)]


# The days of the deltas


def test_a_day_holds_the_sessions_that_it_touches_whole(log: Log) -> None:
    log.write(
        event("2020-01-01T10:00", "view", "ann"),
        event("2020-01-01T23:40", "view", "ann"),
        event("2020-01-01T23:50", "purchase", "ann", price=3.0),
        event("2020-01-01T23:50", "view", "bob"),
        event("2020-01-02T00:10", "cart", "ann"),
        event("2020-01-02T00:20:00.000001", "click", "bob"),
        event("2020-01-02T12:00", "view", "ann"),
        event("2020-01-02T12:00", "view", "cid"),
        event("2020-01-04T12:00", "view", "bob"),
        cutoff="2020-01-02",
    )
    log.make("purchases", "enriched", "sessions")
    assert log.make_days("purchases", "enriched", "sessions")["sessions"] == [
        "2020-01-02",
        "2020-01-04",
    ]

    columns = ("user_id", "session_id", *LENGTHS, "last_event", "past_purchases")
    assert log.values("sessions", *columns) == [
        ("ann", 0, 0.0, 0.0, "view", 0),
        ("ann", 1, 600.0, 600.0, "purchase", 0),
        ("bob", 0, 0.0, 0.0, "view", 0),
    ]
    assert values(log.day("sessions", "2020-01-02"), *columns) == [
        ("ann", 1, 1800.0, 900.0, "cart", 1),
        ("ann", 2, 0.0, 0.0, "view", 1),
        ("bob", 1, 0.0, 0.0, "click", 0),
        ("cid", 0, 0.0, 0.0, "view", 0),
    ]
    assert values(log.day("sessions", "2020-01-04"), *columns) == [
        ("bob", 2, 0.0, 0.0, "view", 0),
    ]


def test_a_session_may_last_for_days(log: Log) -> None:
    log.set(sessions={"gap_minutes": 24 * 60})
    log.write(
        *(event(f"2020-01-0{day}T12:00", "view") for day in (1, 2, 3, 4)), cutoff="2020-01-02"
    )
    log.make("purchases", "enriched", "sessions")
    log.make_days("purchases", "enriched", "sessions")

    columns = ("session_id", "num_views", "session_length")
    days = [values(log.day("sessions", f"2020-01-0{day}"), *columns) for day in (2, 3, 4)]
    assert days == [[(0, n, 86400.0 * (n - 1))] for n in (2, 3, 4)]


# A naive twin

GAPS = (1, 7, 30, 90)


@st.composite
def visits(draw: st.DrawFn) -> list[Event]:
    """Events of a few users, paused for about a gap each time, off the borders of all the gaps."""
    unit = timedelta(microseconds=1)
    gaps = st.sampled_from(GAPS).map(lambda minutes: timedelta(minutes=minutes))
    pauses = st.one_of(
        st.sampled_from([timedelta(), unit, timedelta(hours=9), timedelta(days=1)]),
        st.builds(lambda gap, off: gap + off * unit, gaps, st.integers(-1, 1)),
        st.integers(0, 6 * 10**9).map(lambda us: us * unit),
    )
    events = []
    for user in ("ann", "bob", "cid", "dee"):
        slot = draw(st.integers(0, 10)) * draw(gaps)
        time = datetime(2020, 1, 1) + slot + draw(st.integers(0, 1)) * unit
        for pause in draw(st.lists(pauses, min_size=5, max_size=15)):
            events.append(event(time, draw(st.sampled_from(KINDS)), user, price=draw(PRICES)))
            time += pause - unit * (pause > unit and draw(st.booleans()))
    return events


def naive(enriched: list[Row], gap: timedelta) -> list[Row]:
    """Every event looked at one by one."""
    rows = []
    for user in sorted({row["user_id"] for row in enriched}):
        own = [row for row in enriched if row["user_id"] == user]
        cut = [n for n, (one, two) in enumerate(pairwise(times(own)), 1) if two - one > gap]
        for number, (first, last) in enumerate(pairwise([0, *cut, len(own)])):
            rows.append(session(user, number, own[first:last]))
    return rows


def times(rows: list[Row]) -> list[datetime]:
    return [row["event_time"] for row in rows]


def session(user: str, number: int, rows: list[Row]) -> Row:
    kinds = ("click", "view", "cart", "remove_from_cart", "purchase")
    length = (times(rows)[-1] - times(rows)[0]) / SECOND
    return {
        "user_id": user,
        "session_id": number,
        **{
            column: sum(row["event_type"] == kind for row in rows)
            for column, kind in zip(COUNTS, kinds, strict=True)
        },
        "session_start": times(rows)[0],
        "session_length": length,
        "avg_time_gap": length / (len(rows) - 1) if len(rows) > 1 else 0.0,
        "last_event": rows[-1]["event_type"],
        "avg_purchase_amount": rows[-1]["avg_purchase_amount"],
        "past_purchases": rows[-1]["past_purchases"],
    }


@settings(deadline=None, max_examples=8)
@given(visits())
def test_a_naive_twin_agrees_whatever_the_gap(events: list[Event]) -> None:
    with a_log(*events) as log:
        log.make("enriched")
        for minutes in GAPS:
            log.set(sessions={"gap_minutes": minutes})
            log.make("sessions")
            assert log.rows("sessions") == naive(log.rows("enriched"), timedelta(minutes=minutes))
