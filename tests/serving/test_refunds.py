"""A refund lifts the rule for its product, until it is bought again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from progrec.serving.export import export
from progrec.serving.rules import Entry
from progrec.serving.store import Event, Store
from progrec.settings import QueueSettings, SettingsError, validate
from serving.written import record

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def event(kind: str, item: str = "p", time: datetime = NOON, name: str | None = None) -> Event:
    return Event(time, kind, "u", item, event_id=name)


def test_after_a_refund_the_product_may_be_queued_again(store: Store):
    record(store, [event("cart"), event("purchase"), event("return"), event("view")])
    assert store.queue("u") == (Entry("p", 0, 1.0),)
    assert store.purchased("u") == frozenset()
    assert store.touched("u") == ["p"]


def test_what_is_bought_again_stays_away_again(store: Store):
    record(store, [event("purchase", name="1"), event("return"), event("view", name="2")])
    record(store, [event("purchase", name="3"), event("view", name="4")])
    assert store.queue("u") == ()
    assert store.purchased("u") == {"p"}


def test_a_repeated_refund_does_not_undo_the_purchase_after_it(store: Store):
    refund = event("return")
    record(store, [event("purchase", name="1"), refund, event("purchase", name="2")])
    assert record(store, [refund]) == [False]
    assert store.purchased("u") == {"p"}


def test_a_refund_is_of_one_product_and_one_user(store: Store):
    record(store, [event("purchase"), event("purchase", "q"), event("return")])
    store.add_purchases([("v", "p", NOON)])
    assert store.purchased("u") == {"q"}
    assert store.purchased("v") == {"p"}


def test_the_batch_that_brings_the_purchase_again_does_not_undo_the_refund(store: Store):
    record(store, [event("purchase"), event("return", time=NOON + DAY)])
    midnight = NOON.replace(hour=0)
    for day in [midnight, midnight + DAY]:
        assert store.add_purchases([("u", "p", day)]) == 0
    assert store.purchased("u") == frozenset()

    assert store.add_purchases([("u", "p", midnight + 2 * DAY)]) == 1
    assert store.purchased("u") == {"p"}


def test_a_refund_may_come_before_the_batch_with_its_purchase(store: Store):
    record(store, [event("return")])
    assert store.add_purchases([("u", "p", NOON - DAY)]) == 0
    record(store, [event("view")])
    assert store.queue("u") == (Entry("p", 0, 1.0),)


def test_by_default_nothing_is_a_refund(tmp_path: Path):
    none = QueueSettings(weights={"view": 1}, refund=(), min_pool=1, refill_to=1, max_pool=1)
    store = Store(tmp_path / "recommendation.db", none)
    record(store, [event("purchase"), event("return"), event("view")])
    assert store.queue("u") == ()
    store.close()


def test_refunds_are_not_exported_and_not_told_to_the_model(store: Store, tmp_path: Path):
    record(store, [event("purchase"), event("return")])
    (file,) = export(store, tmp_path / "data", date(2100, 1, 1)).items()
    assert file[1] == 1
    assert [done.event_type for done in store.done("u", None)] == ["purchase"]
    assert store.waiting(date(2000, 1, 1)) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"refund": ["return", "purchase"]}, "refund names purchase, which is no refund"),
        ({"refund": [""]}, r"refund\.0"),
        ({"max_pool": 4}, "max_pool is smaller than min_pool or refill_to"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(wrong, message):
    right = {"weights": {}, "refund": ["return"], "min_pool": 1, "refill_to": 5, "max_pool": 5}
    assert validate(QueueSettings, right, "here").refund == ("return",)
    with pytest.raises(SettingsError, match=message):
        validate(QueueSettings, right | wrong, "here")
