"""Each event with what its user had bought before: nothing of its own moment, or of later."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.log import Event, Log, a_log, event, logs, read, types, values
from progrec.errors import InputError

AS_OF = ("past_purchases", "avg_purchase_amount")


def as_of(log: Log, *events: Event) -> list[tuple[int, float | None]]:
    log.write(*events)
    log.make("enriched")
    return log.values("enriched", *AS_OF)


# What counts


def test_purchases_before_the_event_count(log: Log) -> None:
    assert as_of(
        log,
        event("2020-01-01T10:00", "view"),
        event("2020-01-01T10:01", "purchase", price=10.0),
        event("2020-01-01T10:02", "view"),
        event("2020-01-02T10:00", "purchase", price=5.5),
        event("2020-01-05T10:00", "click"),
    ) == [(0, None), (0, None), (1, 10.0), (1, 10.0), (2, 7.75)]


def test_a_purchase_does_not_count_for_itself_nor_for_what_is_at_its_moment(log: Log) -> None:
    assert as_of(
        log,
        event("2020-01-01T10:00", "view"),
        event("2020-01-01T10:00", "purchase", price=10.0),
        event("2020-01-01T10:00", "purchase", price=20.0),
        event("2020-01-01T10:00", "cart"),
        event("2020-01-01T10:00:00.000001", "view"),
    ) == [(0, None)] * 4 + [(2, 15.0)]


def test_a_purchase_without_a_price_counts_and_has_no_part_in_the_average(log: Log) -> None:
    assert as_of(
        log,
        event("2020-01-01T10:00", "purchase"),
        event("2020-01-01T10:01", "purchase", price=8.0),
        event("2020-01-01T10:02", "purchase"),
        event("2020-01-01T10:03", "view"),
    ) == [(0, None), (1, None), (2, 8.0), (3, 8.0)]


def test_an_amount_of_nothing_is_known(log: Log) -> None:
    assert as_of(
        log,
        event("2020-01-01T10:00", "purchase", price=0.0),
        event("2020-01-01T10:01", "purchase", price=5.0),
        event("2020-01-01T10:02", "view"),
    ) == [(0, None), (1, 0.0), (2, 2.5)]


def test_what_others_buy_and_what_is_not_bought_does_not_count(log: Log) -> None:
    assert (
        as_of(
            log,
            event("2020-01-01T10:00", "purchase", "bob", price=1.0),
            *(event("2020-01-01T10:01", kind, price=9.0) for kind in ("view", "click", "cart")),
            event("2020-01-01T10:02", "remove_from_cart", price=9.0),
            event("2020-01-01T10:03", "view"),
        )
        == [(0, None)] * 6
    )


def test_averages_are_of_exact_sums(log: Log) -> None:
    prices = [0.1, 0.2, 0.3, 1e9 + 0.01, -1e9, *[0.01] * 997]
    bought = [event("2020-01-01T10:00", "purchase", price=price) for price in prices]
    exact = sum((Decimal(str(price)) for price in prices), Decimal())

    rows = as_of(log, *bought, event("2020-01-02", "view"))

    assert rows[-1] == (len(prices), float(exact) / len(prices))


# What a row holds


def test_a_row_is_the_event_as_it_stands(log: Log) -> None:
    log.write(
        event("2020-01-01T10:00", "purchase", "ann", "cup", 10.0, brand="b", source="batch"),
        event("2020-01-01T10:01:02.000003", "view", "ann", "pan"),
    )
    log.make("enriched")

    names = ("event_time", "event_type", "user_id", "item_id", "price", "source")
    one, two = log.rows("enriched")
    assert [str(value) for value in list(one.values())[:6]] == [
        "2020-01-01 10:00:00", "purchase", "ann", "cup", "10.0", "batch",
    ]  # fmt: skip
    assert [str(value) for value in list(two.values())[:6]] == [
        "2020-01-01 10:01:02.000003", "view", "ann", "pan", "None", "stream",
    ]  # fmt: skip
    assert list(one) == [*names, "avg_purchase_amount", "past_purchases"]


def test_columns_have_types_that_can_be_relied_on(log: Log) -> None:
    log.write(event("2020-01-01T10:00", "view"))
    log.make("enriched")

    (file,) = log.history.files("enriched")
    assert types(file) == {
        "event_time": "timestamp[us]",
        "event_type": "string",
        "user_id": "string",
        "item_id": "string",
        "price": "double",
        "source": "string",
        "avg_purchase_amount": "double",
        "past_purchases": "int64",
    }


def test_rows_stand_in_the_files_and_the_order_of_the_events(log: Log) -> None:
    log.write(
        event("2020-01-02T10:00", "view", "zoe", "third"),
        event("2020-01-02T10:00", "view", "ann", "fourth"),
        event("2020-01-01T23:59:59.999999", "view", "bob", "first"),
        event("2020-01-02T00:00", "view", "cid", "second"),
    )
    log.make("enriched")

    assert {
        file.parent.name: values(read(file), "item_id") for file in log.history.files("enriched")
    } == {"date=2020-01-01": ["first"], "date=2020-01-02": ["second", "third", "fourth"]}


def test_the_number_of_events_is_returned(log: Log) -> None:
    log.write(*(event(f"2020-01-0{day}", "view") for day in (1, 1, 2, 4)))
    assert log.enrich() == 4


def test_days_that_are_gone_go(log: Log) -> None:
    log.write(event("2020-01-01", "view"), event("2020-01-02", "view"))
    log.make("enriched")
    log.write(event("2020-01-02", "view"))
    log.make("enriched")
    assert list(log.digests()) == ["history/enriched/date=2020-01-02/enriched.parquet"]


def test_an_event_that_breaks_the_contract_leaves_the_folder_as_it_was(log: Log) -> None:
    log.write(event("2020-01-01", "view"))
    log.make("enriched")
    before = log.digests()
    log.write(event("2020-01-01", "click"), event("2020-01-02", "view", item=None))

    with pytest.raises(InputError, match="enriched: check 'item_id is there' failed: 1 rows"):
        log.make("enriched")

    assert log.digests() == before
    assert [path.name for path in log.history.folder.iterdir()] == ["enriched"]


# The days of the deltas


def test_the_deltas_go_on_where_history_ends(log: Log) -> None:
    log.write(
        event("2020-01-01T10:00", "purchase", "ann", price=10.0),
        event("2020-01-01T10:00", "purchase", "bob"),
        event("2020-01-02T10:00", "purchase", "ann", price=20.0),
        event("2020-01-02T10:00", "view", "bob"),
        event("2020-01-04T10:00", "view", "ann"),
        event("2020-01-04T10:00", "view", "cid"),
        cutoff="2020-01-02",
    )
    log.make("purchases", "enriched")
    assert log.make_days("purchases", "enriched")["enriched"] == ["2020-01-02", "2020-01-04"]

    assert values(log.day("enriched", "2020-01-02"), "user_id", *AS_OF) == [
        ("ann", 1, 10.0),
        ("bob", 1, None),
    ]
    assert values(log.day("enriched", "2020-01-04"), "user_id", *AS_OF) == [
        ("ann", 2, 15.0),
        ("cid", 0, None),
    ]


# A naive twin, and what must not matter


def naive(events: list[Event]) -> list[tuple[Any, ...]]:
    """Each event, by time and arrival, with all the purchases before it looked up afresh."""
    rows = []
    for one in sorted(events, key=lambda each: each["event_time"]):
        before = [
            each["price"]
            for each in events
            if each["event_type"] == "purchase"
            and each["user_id"] == one["user_id"]
            and each["event_time"] < one["event_time"]
        ]
        known = [Decimal(str(price)) for price in before if price is not None]
        average = float(sum(known)) / len(known) if known else None
        rows.append((one["event_time"], one["user_id"], one["product_id"], len(before), average))
    return rows


@settings(deadline=None, max_examples=12)
@given(logs(), st.integers(1, 31))
def test_a_naive_twin_agrees_whatever_the_chunks(events: list[Event], chunk_events: int) -> None:
    with a_log(*events) as log:
        assert log.enrich() == len(events)
        whole = log.digests()
        assert log.values("enriched", "event_time", "user_id", "item_id", *AS_OF) == naive(events)

        log.enrich(chunk_events)
        assert log.digests() == whole


def test_any_size_of_chunk_gives_the_same_bytes(log: Log) -> None:
    kinds = ("purchase", "view", "purchase", "cart", "purchase")
    events = [
        event(f"2020-01-0{1 + n // 6}T10:0{n % 6 // 3}", kinds[n % 5], f"u{n % 2}", price=n / 4)
        for n in range(12)
    ]
    log.write(*events)
    log.make("enriched")
    whole = log.digests()

    for chunk_events in range(1, len(events) + 2):
        log.enrich(chunk_events)
        assert log.digests() == whole, f"in chunks of {chunk_events}"


@settings(deadline=None, max_examples=4)
@given(logs(), st.integers(1, 31), st.sampled_from(["2020-01-02", "2020-01-03"]))
def test_chunks_of_the_deltas_do_not_matter_either(
    events: list[Event], chunk_events: int, cutoff: str
) -> None:
    with a_log(*events, cutoff=cutoff) as log:
        log.make("purchases", "enriched")
        log.set(enrich={"chunk_events": chunk_events})
        log.make_days("purchases", "enriched")
        current = log.current("enriched")
        names = ("event_time", "user_id", "item_id", *AS_OF)
        assert values(current, *names) == naive(events)


@settings(deadline=None, max_examples=6)
@given(logs(fewest=2), st.data())
def test_a_future_event_changes_nothing_before_it(events: list[Event], data: st.DataObject) -> None:
    events = sorted(events, key=lambda each: each["event_time"])
    moved = data.draw(st.integers(1, len(events) - 1))
    moment = events[moved]["event_time"]
    rest = [*events[:moved], *events[moved + 1 :]]
    later = {**events[moved], "event_time": moment.replace(year=2021), "price": 77.0}

    with a_log(*events) as log:

        def up_to_then(*events: Event) -> list[Any]:
            log.write(*events)
            log.make("enriched")
            return [
                row
                for row in log.rows("enriched")
                if row["event_time"] < moment and row["event_time"].year == 2020
            ]

        assert up_to_then(*events) == up_to_then(*rest) == up_to_then(*rest, later)
