"""User features: what a user has done and spent in all."""

from __future__ import annotations

import pytest

from features.log import Log, event, types, values


def test_users_worked_by_hand(log: Log) -> None:
    log.write(
        event("2020-01-01T10:00", "view", "ann", "cup", 5.0),
        event("2020-01-01T10:01", "view", "ann", "pan", 5.0),
        event("2020-01-01T10:02", "cart", "ann", "cup", 5.0),
        event("2020-01-01T10:03", "purchase", "ann", "cup", 5.0),
        event("2020-01-02T00:00", "purchase", "ann", "pan", 4.0),
        event("2020-01-02T09:00", "purchase", "ann", "lid"),
        event("2020-01-02T09:30", "click", "bob", "pan", 20.2),
        event("2020-01-02T09:31", "remove_from_cart", "bob", "pan"),
        event("2020-01-03T08:00", "purchase", "cid", "lid"),
    )
    log.make("enriched", "user_features")

    assert values(log.rows("user_features"), *types(log.history.whole("user_features"))) == [
        # purchases, spent, mean; views, clicks, carts, removes; purchases with a price
        ("ann", 3, 9.0, 4.5, 2, 0, 1, 0, 2),
        ("bob", 0, 0.0, 0.0, 0, 1, 0, 1, 0),
        ("cid", 1, 0.0, 0.0, 0, 0, 0, 0, 0),
    ]


def test_columns_have_types_that_can_be_relied_on(log: Log) -> None:
    log.write(event("2020-01-01", "view"))
    log.make("enriched", "user_features")
    assert types(log.history.whole("user_features")) == {
        "user_id": "string",
        "total_purchases": "int64",
        "total_spent": "double",
        "avg_spent": "double",
        "views": "int64",
        "clicks": "int64",
        "carts": "int64",
        "removes": "int64",
        "priced_purchases": "int64",
    }


def test_prices_of_what_is_not_bought_are_not_spent(log: Log) -> None:
    kinds = ("view", "click", "cart", "remove_from_cart")
    log.write(*(event("2020-01-01", kind, price=5.0) for kind in kinds))
    log.make("enriched", "user_features")
    assert log.values("user_features", "total_purchases", "total_spent", "avg_spent") == [
        (0, 0.0, 0.0)
    ]


def test_a_day_holds_its_users_of_all_time(log: Log) -> None:
    log.write(
        event("2020-01-01", "purchase", "ann", price=0.1),
        event("2020-01-01", "purchase", "ann"),
        event("2020-01-01", "view", "bob"),
        event("2020-01-02", "purchase", "ann", price=0.2),
        event("2020-01-03", "click", "bob"),
        event("2020-01-03", "cart", "cid"),
        event("2020-01-04", "purchase", "ann", price=0.6),
        cutoff="2020-01-02",
    )
    names = ("purchases", "enriched", "user_features")
    log.make(*names)
    log.make_days(*names)

    columns = ("user_id", "total_purchases", "total_spent", "avg_spent", "views", "clicks", "carts")
    days = [values(log.day("user_features", f"2020-01-0{day}"), *columns) for day in (2, 3, 4)]
    assert days == [
        [("ann", 3, 0.3, 0.15, 0, 0, 0)],
        [("bob", 0, 0.0, 0.0, 1, 1, 0), ("cid", 0, 0.0, 0.0, 0, 0, 1)],
        [("ann", 4, 0.9, pytest.approx(0.3), 0, 0, 0)],
    ]
