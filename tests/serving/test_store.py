from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from pathlib import Path

import pytest

from progrec.learning.touches import Done
from progrec.serving import kept
from progrec.serving import store as store_module
from progrec.serving.rules import Entry
from progrec.serving.store import Event, Store
from progrec.settings import QueueSettings
from serving.written import record

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)
POOL = (Entry("p", 0, 1.0), Entry("q", 2, 3.0))


def event(kind="view", user="u", item="p", **more) -> Event:
    return Event(event_time=NOON, event_type=kind, user_id=user, product_id=item, **more)


ANOTHER_PROCESS = """
import asyncio, os, sys
from datetime import UTC, datetime
from pathlib import Path
from progrec.serving import kept
from progrec.serving.store import Event, Store
from progrec.settings import QueueSettings

path, settings, name, turns = sys.argv[1:]
store = Store(Path(path), QueueSettings.model_validate_json(settings))
for turn in range(int(turns)):
    event = Event(datetime.now(UTC), "view", "u", "p", event_id=f"{name}-{turn}")
    now = kept.text(event.event_time)
    asyncio.run(store.write(lambda c: kept.record(c, store.settings, [event], now)))
os._exit(9)  # as if it were killed
"""


def view_elsewhere(path: Path, settings: QueueSettings, name: str, turns: int) -> subprocess.Popen:
    """Another process that views a product, and ends as soon as it has its last answer."""
    arguments = [path, settings.model_dump_json(), name, str(turns)]
    return subprocess.Popen([sys.executable, "-c", ANOTHER_PROCESS, *arguments])


# Events


def test_events_change_the_queue_in_order(store: Store):
    kinds = [("view", "a"), ("cart", "b"), ("click", "a"), ("remove_from_cart", "b")]
    kinds += [("remove_from_cart", "never there")]
    assert record(store, [event(kind, item=item) for kind, item in kinds]) == [True] * 5
    assert store.queue("u") == (Entry("a", 0, 2.0), Entry("b", 0, 2.0))
    assert store.queue("somebody else") == ()


def test_a_purchase_removes_the_product_for_good(store: Store):
    record(store, [event(), event("cart", item="q")])
    record(store, [event("purchase")])
    assert store.queue("u") == (Entry("q", 0, 3.0),)
    record(store, [event(), event("cart")])
    assert store.queue("u") == (Entry("q", 0, 3.0),)
    assert store.purchased("u") == {"p"}


def test_a_purchase_counts_for_the_whole_batch(store: Store):
    before = replace(event(), event_id="before")
    after = replace(event(), event_id="after")
    record(store, [before, event("purchase"), after, event("view", user="other")])
    assert store.queue("u") == ()
    assert store.queue("other") == (Entry("p", 0, 1.0),)


def test_an_event_type_without_a_weight_changes_nothing(tmp_path: Path):
    settings = QueueSettings(weights={"cart": 3}, refund=(), min_pool=6, refill_to=50, max_pool=50)
    with closing(Store(tmp_path / "recommendation.db", settings)) as store:
        assert record(store, [event("view"), event("cart", item="q"), event("view", item="q")])
        assert store.queue("u") == (Entry("q", 0, 3.0),)


def test_a_repeat_has_no_effect(store: Store):
    again = event(event_id="e1")
    assert record(store, [again, again]) == [True, False]
    assert record(store, [again, replace(again, event_type="cart")]) == [False, False]
    assert store.queue("u") == (Entry("p", 0, 1.0),)


def test_without_an_id_the_content_says_which_event_it_is(store: Store):
    here = timezone(timedelta(hours=5))
    same = replace(event(), event_time=NOON.astimezone(here))
    others = [
        replace(event(), event_time=NOON + timedelta(microseconds=1)),
        event(user_session="s"),
        event(price=1.0),
        event(user="v"),
    ]
    assert record(store, [event(), same, *others]) == [True, False, True, True, True, True]


def test_what_an_event_is_known_by_never_changes():
    # Or what is posted again after an upgrade would count twice.
    content = (
        '{"event_time": "2020-01-01T12:00:00.000000+00:00", "event_type": "cart", "user_id": "u",'
        ' "product_id": "\\u00fc", "user_session": null, "price": 1.5, "category_id": "7",'
        ' "category_code": null, "brand": null, "event_id": null}'
    )
    time = datetime(2020, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    posted = Event(time, "cart", "u", "ü", price=1.5, category_id="7")
    assert posted.identity == hashlib.sha256(content.encode()).hexdigest()


def test_events_are_kept_whole(store: Store, shell: sqlite3.Connection):
    here = timezone(timedelta(hours=5))
    whole = Event(
        NOON.astimezone(here), "cart", "u", "p", "s", 1.5, "7", "shoes.red", "acme", event_id="e"
    )
    record(store, [whole])
    shell.row_factory = sqlite3.Row
    (row,) = shell.execute("SELECT * FROM events")
    assert datetime.fromisoformat(row["received_at"]) > NOON
    assert {key: row[key] for key in row.keys() if key != "received_at"} == {  # noqa: SIM118
        "event_id": "e",
        "event_time": "2020-02-01T12:00:00.000000+00:00",
        "event_type": "cart",
        "user_id": "u",
        "product_id": "p",
        "user_session": "s",
        "price": 1.5,
        "category_id": "7",
        "category_code": "shoes.red",
        "brand": "acme",
    }


def test_ids_are_compared_as_text(store: Store):
    ids = ["1", "01", "1.0", "é", "e\u0301", "P", "p", " p", "'; DROP TABLE events; --", '"\\']
    record(store, [event(user=user, item=item) for user, item in product(ids, ids)])
    record(store, [event("purchase", user=user, item=user) for user in ids])
    for user in ids:
        assert [entry.product_id for entry in store.queue(user)] == [i for i in ids if i != user]
        assert store.purchased(user) == {user}


def test_what_a_user_has_touched(store: Store):
    record(store, [event(), event("cart"), event("purchase", item="q"), event(user="v", item="r")])
    store.add_purchases([("u", "s", NOON)])
    assert sorted(store.touched("u")) == ["p", "q", "s"]


def test_what_was_done_since_a_day_is_counted_by_product_and_type(store: Store):
    day = timedelta(days=1)
    happened = [
        Event(NOON - day, "view", "u", "p"),
        Event(NOON, "view", "u", "p"),
        Event(NOON + day, "view", "u", "p"),
        Event(NOON, "cart", "u", "p"),
        Event(NOON, "view", "other", "q"),
    ]
    record(store, happened)
    cart = Done("p", "cart", 1, NOON.date())
    assert store.done("u", None) == [cart, Done("p", "view", 3, (NOON + day).date())]
    assert store.done("u", NOON.date()) == [cart, Done("p", "view", 2, (NOON + day).date())]
    assert store.done("u", NOON.date() + 2 * day) == []


# Purchases from elsewhere


def test_purchases_are_added_once(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_module, "BATCH_ROWS", 2)
    record(store, [event(), event(item="q")])
    rows = [(user, item, NOON) for user in ["t", "u"] for item in ["p", "r", "s"]]
    assert store.add_purchases(iter(rows)) == 6
    assert store.add_purchases(iter(rows)) == 0
    assert store.add_purchases([*rows, ("u", "q", NOON), ("u", "q", NOON)]) == 1
    assert store.queue("u") == ()
    assert store.purchased("t") == {"p", "r", "s"}


def test_the_first_purchase_dates_it(store: Store, shell: sqlite3.Connection):
    record(store, [event("purchase")])
    store.add_purchases([("u", "p", NOON + timedelta(days=1))])
    assert shell.execute("SELECT purchased_at FROM purchases").fetchall() == [
        ("2020-02-01T12:00:00.000000+00:00",)
    ]


# Several writers at once


def test_an_answered_event_outlives_the_process(store: Store):
    assert view_elsewhere(store.path, store.settings, "only", 1).wait(60) == 9
    assert store.queue("u") == (Entry("p", 0, 1.0),)


def test_processes_lose_none_of_each_others_events(tmp_path: Path, queue_settings: QueueSettings):
    path = tmp_path / "recommendation.db"  # which the first of them makes
    others = [view_elsewhere(path, queue_settings, str(name), 10) for name in range(3)]
    assert [other.wait(60) for other in others] == [9, 9, 9]
    with closing(Store(path, queue_settings)) as store:
        assert store.queue("u") == (Entry("p", 0, 30.0),)


def test_threads_make_one_file(tmp_path: Path, queue_settings: QueueSettings):
    path = tmp_path / "recommendation.db"

    def view(name: int) -> None:
        with closing(Store(path, queue_settings)) as store:
            record(store, [event(event_id=f"{name}")])

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(view, range(8)))
    with closing(Store(path, queue_settings)) as store:
        assert store.queue("u") == (Entry("p", 0, 8.0),)


def test_threads_share_a_store(store: Store):
    def view(worker: int) -> None:
        for turn in range(10):
            record(store, [event(event_id=f"{worker}-{turn}")])

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(view, range(4)))
    assert store.queue("u") == (Entry("p", 0, 40.0),)


def test_event_loops_share_a_store(store: Store):
    async def view(worker: int) -> None:
        events = [[event(event_id=f"{worker}-{turn}")] for turn in range(10)]
        await asyncio.gather(
            *[
                store.write(lambda c, one=one: kept.record(c, store.settings, one, "2020"))
                for one in events
            ]
        )

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(lambda worker: asyncio.run(view(worker)), range(12)))
    assert store.queue("u") == (Entry("p", 0, 120.0),)


def test_readers_do_not_wait_for_a_writer(store: Store, shell: sqlite3.Connection):
    record(store, [event()])
    shell.execute("BEGIN IMMEDIATE")
    shell.execute("DELETE FROM recommendation_queue")
    assert store.queue("u") == (Entry("p", 0, 1.0),)
