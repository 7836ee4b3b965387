"""User profiles: means over the sessions of a user, and the last one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings

from features.log import Event, Log, Row, a_log, event, logs, types, values


def test_a_profile_worked_by_hand(log: Log) -> None:
    log.write(
        # 2 views and a click within 3 minutes, nothing bought before
        event("2020-01-01T10:00", "view", "ann"),
        event("2020-01-01T10:01", "view", "ann"),
        event("2020-01-01T10:03", "click", "ann"),
        # a purchase, alone
        event("2020-01-02T10:00", "purchase", "ann", price=10.0),
        # a view and a purchase within 30 seconds, after the first purchase
        event("2020-01-03T10:00", "view", "ann"),
        event("2020-01-03T10:00:30", "purchase", "ann", price=30.0),
        # 3 clicks, 2 of them at one moment, after both
        event("2020-01-04T10:00", "click", "ann"),
        event("2020-01-04T10:00", "click", "ann"),
        event("2020-01-04T10:00:06", "click", "ann"),
    )
    log.make("enriched", "sessions", "user_profiles")

    assert log.rows("user_profiles") == [
        {
            "user_id": "ann",
            "total_sessions": 4,
            "avg_clicks_per_session": (1 + 3) / 4,
            "avg_views_per_session": (2 + 1) / 4,
            "avg_session_length": (180 + 0 + 30 + 6) / 4,
            "avg_time_gap": (90 + 0 + 30 + 3) / 4,
            "avg_purchase_amount": (10 + 20) / 2,  # where it is known
            "max_past_purchases": 2,
            "last_session_clicks": 3,
            "last_session_views": 0,
            "last_session_length": 6.0,
            "last_session_event": "click",
        }
    ]


def test_columns_have_types_that_can_be_relied_on(log: Log) -> None:
    log.write(event("2020-01-01", "view"))
    log.make("enriched", "sessions", "user_profiles")
    assert types(log.history.whole("user_profiles")) == {
        "user_id": "string",
        "total_sessions": "int64",
        "avg_clicks_per_session": "double",
        "avg_views_per_session": "double",
        "avg_session_length": "double",
        "avg_time_gap": "double",
        "avg_purchase_amount": "double",
        "max_past_purchases": "int64",
        "last_session_clicks": "int64",
        "last_session_views": "int64",
        "last_session_length": "double",
        "last_session_event": "string",
    }


@pytest.mark.parametrize("price", [None, 5.0])
def test_who_never_came_back_after_buying_has_no_average_amount(
    log: Log, price: float | None
) -> None:
    log.write(event("2020-01-01", "purchase", price=price))
    log.make("enriched", "sessions", "user_profiles")
    assert log.values("user_profiles", "avg_purchase_amount", "max_past_purchases") == [(None, 0)]


def test_the_last_session_is_the_latest_of_many(log: Log) -> None:
    """Ids are numbers: of 12 sessions the last is 11, not 9."""
    log.write(*(event(f"2020-01-{day:02}", "view" if day < 12 else "cart") for day in range(1, 13)))
    log.make("enriched", "sessions", "user_profiles")
    assert log.values("user_profiles", "total_sessions", "last_session_event") == [(12, "cart")]


def test_a_day_holds_its_users_with_their_sessions_of_all_time(log: Log) -> None:
    log.write(
        event("2020-01-01T23:50", "view", "ann"),
        event("2020-01-01T12:00", "click", "bob"),
        event("2020-01-02T00:10", "click", "ann"),  # the session of the day before goes on
        event("2020-01-03T00:30", "click", "ann"),
        event("2020-01-03T12:00", "view", "cid"),
        cutoff="2020-01-02",
    )
    names = ("purchases", "enriched", "sessions", "user_profiles")
    log.make(*names)
    log.make_days(*names)

    columns = ("user_id", "total_sessions", "avg_clicks_per_session", "last_session_length")
    assert log.values("user_profiles", *columns) == [("ann", 1, 0.0, 0.0), ("bob", 1, 1.0, 0.0)]
    assert values(log.day("user_profiles", "2020-01-02"), *columns) == [("ann", 1, 1.0, 1200.0)]
    assert values(log.day("user_profiles", "2020-01-03"), *columns) == [
        ("ann", 2, 1.0, 0.0),
        ("cid", 1, 0.0, 0.0),
    ]


def mean(rows: list[Row], column: str) -> Any:
    known = [Fraction(row[column]) for row in rows if row[column] is not None]
    return pytest.approx(float(sum(known) / len(known)), rel=1e-12, abs=1e-9) if known else None


@settings(deadline=None, max_examples=5)
@given(logs(fewest=20, most=40))
def test_a_naive_twin_agrees(events: list[Event]) -> None:
    with a_log(*events) as log:
        log.make("enriched", "sessions", "user_profiles")
        sessions = log.rows("sessions")
        for row in log.rows("user_profiles"):
            own = [session for session in sessions if session["user_id"] == row["user_id"]]
            assert row == {
                "user_id": row["user_id"],
                "total_sessions": len(own),
                "avg_clicks_per_session": mean(own, "num_clicks"),
                "avg_views_per_session": mean(own, "num_views"),
                "avg_session_length": mean(own, "session_length"),
                "avg_time_gap": mean(own, "avg_time_gap"),
                "avg_purchase_amount": mean(own, "avg_purchase_amount"),
                "max_past_purchases": max(session["past_purchases"] for session in own),
                "last_session_clicks": own[-1]["num_clicks"],
                "last_session_views": own[-1]["num_views"],
                "last_session_length": own[-1]["session_length"],
                "last_session_event": own[-1]["last_event"],
            }
