"""The user-item matrix: what a user has done with an item, and how much that speaks for it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from features.log import KINDS, Log, event, types, values

COUNTS = ("purchase_count", "num_clicks", "num_views", "num_carts", "num_removes")


def test_cells_worked_by_hand(log: Log) -> None:
    log.write(
        event("2020-01-01T10:00", "view", "bob", "pan", 5.0),
        event("2020-01-01T10:00", "view", "bob", "pan", 5.0),
        event("2020-01-01T10:01", "cart", "bob", "pan", 5.0),
        event("2020-01-02T10:02", "purchase", "bob", "pan", 5.0),
        event("2020-01-03T10:02", "purchase", "bob", "pan", 4.5),
        event("2020-01-03T10:02", "purchase", "bob", "pan"),
        event("2020-01-03T10:03", "remove_from_cart", "bob", "lid"),
        event("2020-01-03T10:04", "click", "ann", "pan", 5.0),
        event("2020-01-03T10:05", "click", "ann", "pan", 5.0),
        event("2020-01-03T10:06", "view", "ann", "pan", 5.0),
    )
    log.make("enriched", "user_item_matrix")

    names = ("user_id", "item_id", "total_spent", "interaction_score", *COUNTS)
    assert log.values("user_item_matrix", *names) == [
        ("ann", "pan", 0.0, pytest.approx(0.5), 0, 2, 1, 0, 0),
        ("bob", "lid", 0.0, 0.0, 0, 0, 0, 0, 1),
        ("bob", "pan", 9.5, pytest.approx(3.2), 3, 0, 2, 1, 0),
    ]


def test_columns_have_types_that_can_be_relied_on(log: Log) -> None:
    log.write(event("2020-01-01", "view"))
    log.make("enriched", "user_item_matrix")
    assert types(log.history.whole("user_item_matrix")) == {
        "user_id": "string",
        "item_id": "string",
        "purchase_count": "int64",
        "total_spent": "double",
        "num_clicks": "int64",
        "num_views": "int64",
        "num_carts": "int64",
        "num_removes": "int64",
        "interaction_score": "double",
    }


@pytest.mark.parametrize(
    ("kind", "score"),
    [("purchase", 1.0), ("click", 0.2), ("view", 0.1), ("cart", 0.0), ("remove_from_cart", 0.0)],
)
def test_each_event_speaks_for_the_item_as_much_as_params_yaml_says(
    log: Log, kind: str, score: float
) -> None:
    log.write(event("2020-01-01", kind))
    log.make("enriched", "user_item_matrix")
    assert log.values("user_item_matrix", "interaction_score") == [score]


def test_weights_are_settings(log: Log) -> None:
    weights = {"purchase": 16.0, "click": 8.0, "view": 4.0, "cart": 0.5, "remove_from_cart": -2.0}
    log.set(interactions={"weights": weights})
    log.write(
        *(event("2020-01-01", kind, "all") for kind in KINDS),
        *(event("2020-01-01", kind, kind) for kind in KINDS),
    )
    log.make("enriched", "user_item_matrix")

    scores = dict(log.values("user_item_matrix", "user_id", "interaction_score"))
    assert scores == {**weights, "all": sum(weights.values())}


def test_sums_of_money_are_exact_whatever_the_order(log: Log) -> None:
    prices = [0.1, 0.2, 0.3, 1e9 + 0.01, -1e9, *[0.01] * 997]
    exact = float(sum((Decimal(str(price)) for price in prices), Decimal()))
    for order in (prices, prices[::-1]):
        log.write(*(event("2020-01-01", "purchase", price=price) for price in order))
        log.make("enriched", "user_item_matrix")
        assert log.values("user_item_matrix", "total_spent") == [exact]


def test_the_highest_prices_fit(log: Log) -> None:
    log.write(*(event("2020-01-01", "purchase", price=999_999_999_999.0) for _ in range(150)))
    log.make("enriched", "user_item_matrix")
    assert log.values("user_item_matrix", "total_spent") == [150 * 999_999_999_999.0]


def test_a_day_holds_the_cells_that_it_touches_of_all_time(log: Log) -> None:
    log.write(
        event("2020-01-01", "purchase", "ann", "cup", 0.1),
        event("2020-01-01", "view", "ann", "pan"),
        event("2020-01-01", "view", "bob", "cup"),
        event("2020-01-02", "purchase", "ann", "cup", 0.2),
        event("2020-01-03", "view", "bob", "cup"),
        event("2020-01-03", "click", "ann", "lid"),
        event("2020-01-04", "purchase", "ann", "cup", 0.3),
        cutoff="2020-01-02",
    )
    names = ("purchases", "enriched", "user_item_matrix")
    log.make(*names)
    log.make_days(*names)

    columns = ("user_id", "item_id", "purchase_count", "num_views", "total_spent")
    days = [values(log.day("user_item_matrix", f"2020-01-0{day}"), *columns) for day in (2, 3, 4)]
    assert days == [
        [("ann", "cup", 2, 0, 0.3)],
        [("ann", "lid", 0, 0, 0.0), ("bob", "cup", 0, 2, 0.0)],
        [("ann", "cup", 3, 0, 0.6)],
    ]
    assert [row["interaction_score"] for row in log.day("user_item_matrix", "2020-01-03")] == [
        pytest.approx(0.2)
    ] * 2
