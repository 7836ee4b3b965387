"""Purchases: what was bought, of the log or of a batch."""

from __future__ import annotations

from datetime import datetime

from features.log import Log, event, read, types, values


def test_each_purchase_has_a_row_in_order_of_time_and_arrival(log: Log) -> None:
    log.write(
        event("2020-01-02T10:00", "purchase", "zoe", "cup", 2.0),
        event("2020-01-02T10:00", "purchase", "ann", "cup"),
        event("2020-01-02T10:00", "purchase", "zoe", "cup", 2.0),
        event("2020-01-01T10:00", "purchase", "bob", "pan", 0.0, source="batch"),
        *(event("2020-01-01", kind) for kind in ("view", "click", "cart", "remove_from_cart")),
    )
    log.make("purchases")

    first, second = datetime(2020, 1, 1, 10), datetime(2020, 1, 2, 10)
    assert values(log.rows("purchases"), *types(log.history.whole("purchases"))) == [
        ("bob", "pan", 0.0, first),
        ("zoe", "cup", 2.0, second),
        ("ann", "cup", None, second),
        ("zoe", "cup", 2.0, second),
    ]


def test_columns_have_types_that_can_be_relied_on(log: Log) -> None:
    log.write(event("2020-01-01", "view"))
    log.make("purchases")
    assert types(log.history.whole("purchases")) == {
        "user_id": "string",
        "item_id": "string",
        "purchase_amount": "double",
        "purchase_date": "timestamp[us]",
    }


def test_a_day_holds_its_own_and_may_have_none(log: Log) -> None:
    log.write(
        event("2020-01-01", "purchase", item="cup"),
        event("2020-01-02", "purchase", item="pan"),
        event("2020-01-03", "view", item="lid"),
        cutoff="2020-01-02",
    )
    log.make("purchases")
    log.make_days("purchases")

    assert [values(read(file), "item_id") for file in log.delta.files("purchases")] == [["pan"], []]


def test_ids_stay_as_they_are(log: Log) -> None:
    ids = ["007", "7", "7.0", "a'b", "é", "商品", " "]
    log.write(*(event("2020-01-01", "purchase", name, name) for name in ids))
    log.make("purchases")
    assert log.values("purchases", "user_id", "item_id") == [(name, name) for name in ids]
