"""Targets: who bought what within the horizon after the cutoff."""

from __future__ import annotations

from features.log import Log, event, types


def test_only_what_is_bought_within_the_horizon_is_a_target(log: Log) -> None:
    log.set(split={"horizon_days": 3})
    log.write(
        event("2020-01-09T23:59:59.999999", "purchase", "ann", "of history"),
        event("2020-01-10", "purchase", "ann", "at the first moment"),
        event("2020-01-12T23:59:59.999999", "purchase", "bob", "at the last moment"),
        event("2020-01-13", "purchase", "bob", "after"),
        *(event("2020-01-11", kind) for kind in ("view", "click", "cart", "remove_from_cart")),
        cutoff="2020-01-10",
    )
    log.make_days("purchases")

    assert log.make_targets() == [("ann", "at the first moment"), ("bob", "at the last moment")]


def test_a_target_is_one_however_often_it_is_bought(log: Log) -> None:
    log.write(
        event("2020-01-10", "purchase", "bob", "cup"),
        event("2020-01-10T12:00", "purchase", "bob", "cup", 2.0),
        event("2020-01-11", "purchase", "bob", "cup"),
        event("2020-01-11", "purchase", "bob", "a cup"),
        event("2020-01-11", "purchase", "ann", "cup"),
        cutoff="2020-01-10",
    )
    log.make_days("purchases")

    assert log.make_targets() == [("ann", "cup"), ("bob", "a cup"), ("bob", "cup")]


def test_a_horizon_of_a_day_is_that_day(log: Log) -> None:
    log.set(split={"horizon_days": 1})
    days = [event(f"2020-01-1{day}T12:00", "purchase", item=f"p{day}") for day in (0, 1)]
    log.write(*days, cutoff="2020-01-10")
    log.make_days("purchases")

    assert log.make_targets() == [("u", "p0")]


def test_without_purchases_the_table_is_there_and_empty(log: Log) -> None:
    log.write(event("2020-01-09", "purchase"), event("2020-01-10", "view"), cutoff="2020-01-10")
    log.make_days("purchases")

    assert log.make_targets() == []
    assert types(log.delta.whole("targets")) == {"user_id": "string", "item_id": "string"}
