"""Item features: how an item sells, and what it is."""

from __future__ import annotations

import pytest

from features.log import Log, event, types, values


def test_items_worked_by_hand(log: Log) -> None:
    log.write(
        event("2020-01-01T10:00", "view", "ann", "cup", 100.0, brand="old", category_id="7"),
        event("2020-01-01T10:01", "view", "bob", "cup", 100.0, brand="new", category_id="8"),
        event("2020-01-01T10:02", "cart", "ann", "cup", 100.0),
        event("2020-01-01T10:02", "cart", "ann", "cup", 100.0),
        event("2020-01-01T10:03", "purchase", "ann", "cup", 5.0),
        event("2020-01-02T10:03", "purchase", "bob", "cup", 4.0),
        event("2020-01-02T10:04", "purchase", "cid", "cup"),
        event("2020-01-02T10:05", "purchase", "cid", "lid"),
        event("2020-01-02T10:05", "cart", "cid", "pan", 20.1, category_code="kitchen.pan"),
        event("2020-01-02T10:06", "click", "cid", "pan", 20.1),
        event("2020-01-02T10:07", "remove_from_cart", "cid", "pan", 20.1),
    )
    log.list_products(
        {"product_id": "pan", "brand": "acme"},
        {"product_id": "lid", "category_id": "9"},
        {"product_id": "never seen", "brand": "none"},
    )
    log.make("enriched", "item_features")

    columns = ("item_id", "total_sales", "revenue", "avg_price", "views", "carts")
    more = ("cart_to_purchase_rate", "category", "brand", "category_code", "priced_sales")
    assert log.values("item_features", *columns, *more) == [
        ("cup", 3, 9.0, 4.5, 2, 2, 1.5, "8", "new", None, 2),
        ("lid", 1, 0.0, None, 0, 0, None, "9", None, None, 0),
        ("pan", 0, 0.0, None, 0, 1, 0.0, "kitchen.pan", "acme", "kitchen.pan", 0),
    ]


def test_columns_have_types_that_can_be_relied_on(log: Log) -> None:
    log.write(event("2020-01-01", "view"))
    log.make("enriched", "item_features")
    assert types(log.history.whole("item_features")) == {
        "item_id": "string",
        "total_sales": "int64",
        "revenue": "double",
        "avg_price": "double",
        "views": "int64",
        "carts": "int64",
        "cart_to_purchase_rate": "double",
        "category": "string",
        "brand": "string",
        "category_code": "string",
        "priced_sales": "int64",
    }


# What an item is


@pytest.mark.parametrize(
    ("logged", "listed", "category", "brand"),
    [
        ({}, {}, None, None),
        ({"category_id": "1", "brand": "b"}, {}, "1", "b"),
        ({"category_id": "1", "category_code": "a.b"}, {}, "a.b", None),
        ({"category_code": "a.b"}, {"category_code": "c.d"}, "c.d", None),
        ({"category_code": "a.b", "brand": "b"}, {"category_id": "9", "brand": "d"}, "a.b", "d"),
        ({"category_id": "1"}, {"category_id": "9"}, "9", None),
        ({"category_id": "1", "brand": "b"}, {"category_code": "c.d"}, "c.d", "b"),
    ],
)
@pytest.mark.parametrize("day", ["2020-01-01", "2020-01-02"])
def test_the_catalogue_goes_before_the_log_and_a_code_before_an_id(
    log: Log,
    day: str,
    logged: dict[str, str],
    listed: dict[str, str],
    category: str | None,
    brand: str | None,
) -> None:
    """Of history and of a day alike."""
    another = event("2020-01-01", "view", item="another")
    log.write(another, event(day, "view", **logged), cutoff="2020-01-02")
    log.list_products({"product_id": "p", **listed})
    log.make("purchases", "enriched", "item_features")
    log.make_days("purchases", "enriched", "item_features")

    assert values(log.current("item_features"), "item_id", "category", "brand") == [
        ("another", None, None),
        ("p", category, brand),
    ]


def test_the_logs_last_word_stands_and_a_gap_is_none(log: Log) -> None:
    log.write(
        event("2020-01-01T12:00", "view", brand="z", category_id="9", category_code="z.z"),
        event("2020-01-02T12:00", "view", brand="a", category_code="a.a"),
        event("2020-01-03T12:00", "view", brand="a", category_id="1"),
        event("2020-01-04T12:00", "view"),
    )
    log.make("enriched", "item_features")
    assert log.values("item_features", "brand", "category") == [("a", "a.a")]


@pytest.mark.parametrize("words", ["ab", "ba", "abB"])
def test_of_two_words_at_one_moment_the_greater_stands(log: Log, words: str) -> None:
    log.write(
        event("2020-01-01T11:00", "view", brand="z", category_id="z"),
        *(event("2020-01-01T12:00", "view", brand=word, category_id=word) for word in words),
    )
    log.make("enriched", "item_features")
    assert log.values("item_features", "brand", "category") == [("b", "b")]


def test_each_attribute_has_a_last_word_of_its_own(log: Log) -> None:
    log.write(
        event("2020-01-01T10:00", "view", brand="old", category_id="1"),
        event("2020-01-01T11:00", "view", brand="new"),
        event("2020-01-01T12:00", "view", category_id="2"),
    )
    log.make("enriched", "item_features")
    assert log.values("item_features", "brand", "category") == [("new", "2")]


# The days of the deltas


def test_a_day_holds_its_items_of_all_time(log: Log) -> None:
    log.write(
        event("2020-01-01", "purchase", item="cup", price=0.1),
        event("2020-01-01", "cart", item="cup"),
        event("2020-01-01", "view", item="pan"),
        event("2020-01-02", "purchase", item="cup", price=0.2),
        event("2020-01-03", "cart", item="pan"),
        event("2020-01-03", "cart", item="lid"),
        event("2020-01-04", "purchase", item="cup"),
        cutoff="2020-01-02",
    )
    log.make("purchases", "enriched", "item_features")
    log.make_days("purchases", "enriched", "item_features")

    columns = ("item_id", "total_sales", "revenue", "avg_price", "views", "carts")
    days = [values(log.day("item_features", f"2020-01-0{day}"), *columns) for day in (2, 3, 4)]
    assert days == [
        [("cup", 2, 0.3, 0.15, 0, 1)],
        [("lid", 0, 0.0, None, 0, 1), ("pan", 0, 0.0, None, 1, 1)],
        [("cup", 3, 0.3, 0.15, 0, 1)],
    ]
    rates = [row["cart_to_purchase_rate"] for row in log.current("item_features")]
    assert rates == [3.0, 0.0, 0.0]


def test_a_day_without_a_word_keeps_the_word_of_before(log: Log) -> None:
    log.write(
        event("2020-01-01", "view", item="cup", brand="b", category_code="a.b"),
        event("2020-01-01", "view", item="pan", brand="b", category_id="1"),
        event("2020-01-02", "view", item="cup", category_id="2"),
        event("2020-01-02", "view", item="pan", brand="c"),
        event("2020-01-03", "view", item="cup"),
        event("2020-01-03", "view", item="pan", category_id="3"),
        event("2020-01-04", "view", item="pan", category_code="c.d"),
        event("2020-01-05", "view", item="pan", category_id="4"),
        cutoff="2020-01-02",
    )
    log.make("purchases", "enriched", "item_features")
    log.make_days("purchases", "enriched", "item_features")

    days = [
        values(log.day("item_features", f"2020-01-0{day}"), "item_id", "category", "brand")
        for day in (2, 3, 4, 5)
    ]
    assert days == [
        [("cup", "a.b", "b"), ("pan", "1", "c")],
        [("cup", "a.b", "b"), ("pan", "3", "c")],
        [("pan", "c.d", "c")],
        [("pan", "c.d", "c")],
    ]
