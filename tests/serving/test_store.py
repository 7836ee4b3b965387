from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from pathlib import Path

import pytest

from progrec.errors import InputError
from progrec.learning.touches import Done
from progrec.serving import store as store_module
from progrec.serving.rules import Entry
from progrec.serving.store import Event, Store
from progrec.settings import QueueSettings

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)
POOL = (Entry("p", 0, 1.0), Entry("q", 2, 3.0))


def event(kind="view", user="u", item="p", **more) -> Event:
    return Event(event_time=NOON, event_type=kind, user_id=user, product_id=item, **more)


@pytest.fixture
def shell(store: Store) -> Iterator[sqlite3.Connection]:
    """Somebody else's connection to the file, with none of our code."""
    with closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        yield connection


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


# The file


def test_a_store_is_made_for_its_owner_only(store: Store):
    files = [store.path, *store.path.parent.glob("recommendation.db-*")]
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_store_keeps_what_it_holds(store: Store):
    store.record([event(), event("purchase", item="q")])
    store.close()
    with closing(Store(store.path, store.settings)) as again:
        assert again.queue("u") == (Entry("p", 0, 1.0),)
        assert again.purchased("u") == {"q"}


ANOTHER_PROCESS = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from progrec.serving.store import Event, Store
from progrec.settings import QueueSettings

path, settings, name, turns = sys.argv[1:]
store = Store(Path(path), QueueSettings.model_validate_json(settings))
for turn in range(int(turns)):
    store.record([Event(datetime.now(UTC), "view", "u", "p", event_id=f"{name}-{turn}")])
os._exit(9)  # as if it were killed
"""


def view_elsewhere(path: Path, settings: QueueSettings, name: str, turns: int) -> subprocess.Popen:
    """Another process that views a product, and ends as soon as it has its last answer."""
    arguments = [path, settings.model_dump_json(), name, str(turns)]
    return subprocess.Popen([sys.executable, "-c", ANOTHER_PROCESS, *arguments])


def test_an_answered_event_outlives_the_process(store: Store):
    assert view_elsewhere(store.path, store.settings, "only", 1).wait(60) == 9
    assert store.queue("u") == (Entry("p", 0, 1.0),)


def test_what_is_not_a_database_is_refused_and_left_alone(
    tmp_path: Path, queue_settings: QueueSettings
):
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(InputError, match=r"notes\.txt.*not a SQLite database"):
        Store(path, queue_settings)
    assert path.read_text() == "not a database " * 100


def test_somebody_elses_database_is_refused(tmp_path: Path, queue_settings: QueueSettings):
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE runs (id)")
    with pytest.raises(InputError, match=r"mlflow\.db is not a store"):
        Store(path, queue_settings)


def test_another_versions_store_is_refused(store: Store, shell: sqlite3.Connection):
    shell.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="its schema is 99, not 1"):
        Store(store.path, store.settings)


@pytest.mark.parametrize("place", ["missing/recommendation.db", "."])
def test_a_place_that_cannot_hold_a_file_is_named(
    tmp_path: Path, queue_settings: QueueSettings, place: str
):
    with pytest.raises(InputError, match=str(tmp_path / place)):
        Store(tmp_path / place, queue_settings)


def test_a_file_that_stays_locked_is_named(
    store: Store, shell: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 0)
    shell.execute("BEGIN IMMEDIATE")
    with closing(Store.__new__(Store)) as impatient:
        impatient.__dict__.update(store.__dict__, _local=threading.local())
        with pytest.raises(InputError, match=r"recommendation\.db.*locked"):
            impatient.record([event()])


def test_a_transaction_that_fails_changes_nothing(store: Store):
    def fail() -> None:
        with store.transaction():
            store.put("u", POOL)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.queue("u") == ()


def test_a_threads_connection_ends_with_it(store: Store):
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("no /proc here")
    store.record([event()])
    before = len(list(folder.iterdir()))
    for _ in range(10):
        thread = threading.Thread(target=store.queue, args=("u",))
        thread.start()
        thread.join()
    # One more may wait for the file's last lock to go before SQLite closes it.
    assert len(list(folder.iterdir())) <= before + 1


# Events


def test_events_change_the_queue_in_order(store: Store):
    kinds = [("view", "a"), ("cart", "b"), ("click", "a"), ("remove_from_cart", "b")]
    kinds += [("remove_from_cart", "never there")]
    assert store.record([event(kind, item=item) for kind, item in kinds]) == [True] * 5
    assert store.queue("u") == (Entry("a", 0, 2.0), Entry("b", 0, 2.0))
    assert store.queue("somebody else") == ()


def test_a_purchase_removes_the_product_for_good(store: Store):
    store.record([event(), event("cart", item="q")])
    store.record([event("purchase")])
    assert store.queue("u") == (Entry("q", 0, 3.0),)
    store.record([event(), event("cart")])
    assert store.queue("u") == (Entry("q", 0, 3.0),)
    assert store.purchased("u") == {"p"}


def test_a_purchase_counts_for_the_whole_batch(store: Store):
    before = replace(event(), event_id="before")
    after = replace(event(), event_id="after")
    store.record([before, event("purchase"), after, event("view", user="other")])
    assert store.queue("u") == ()
    assert store.queue("other") == (Entry("p", 0, 1.0),)


def test_an_event_type_without_a_weight_changes_nothing(tmp_path: Path):
    settings = QueueSettings(weights={"cart": 3}, min_pool=6, refill_to=50)
    with closing(Store(tmp_path / "recommendation.db", settings)) as store:
        assert store.record([event("view"), event("cart", item="q"), event("view", item="q")])
        assert store.queue("u") == (Entry("q", 0, 3.0),)


def test_a_repeat_has_no_effect(store: Store):
    again = event(event_id="e1")
    assert store.record([again, again]) == [True, False]
    assert store.record([again, replace(again, event_type="cart")]) == [False, False]
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
    assert store.record([event(), same, *others]) == [True, False, True, True, True, True]


def test_events_are_kept_whole(store: Store, shell: sqlite3.Connection):
    here = timezone(timedelta(hours=5))
    whole = Event(
        NOON.astimezone(here), "cart", "u", "p", "s", 1.5, "7", "shoes.red", "acme", event_id="e"
    )
    store.record([whole])
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
    store.record([event(user=user, item=item) for user, item in product(ids, ids)])
    store.record([event("purchase", user=user, item=user) for user in ids])
    for user in ids:
        assert [entry.product_id for entry in store.queue(user)] == [i for i in ids if i != user]
        assert store.purchased(user) == {user}


def test_what_a_user_has_touched(store: Store):
    store.record([event(), event("cart"), event("purchase", item="q"), event(user="v", item="r")])
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
    store.record(happened)
    cart = Done("p", "cart", 1, NOON.date())
    assert store.done("u", None) == [cart, Done("p", "view", 3, (NOON + day).date())]
    assert store.done("u", NOON.date()) == [cart, Done("p", "view", 2, (NOON + day).date())]
    assert store.done("u", NOON.date() + 2 * day) == []


# Purchases from elsewhere


def test_purchases_are_added_once(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_module, "BATCH_ROWS", 2)
    store.record([event(), event(item="q")])
    rows = [(user, item, NOON) for user in ["t", "u"] for item in ["p", "r", "s"]]
    assert store.add_purchases(iter(rows)) == 6
    assert store.add_purchases(iter(rows)) == 0
    assert store.add_purchases([*rows, ("u", "q", NOON), ("u", "q", NOON)]) == 1
    assert store.queue("u") == ()
    assert store.purchased("t") == {"p", "r", "s"}


def test_the_first_purchase_dates_it(store: Store, shell: sqlite3.Connection):
    store.record([event("purchase")])
    store.add_purchases([("u", "p", NOON + timedelta(days=1))])
    assert shell.execute("SELECT purchased_at FROM purchases").fetchall() == [
        ("2020-02-01T12:00:00.000000+00:00",)
    ]


# What SQLite itself refuses, whoever asks


def queue_of(*entries: object) -> str:
    return json.dumps({"pool": entries})


BOUGHT = ["bought", 0, 1.0]
WAYS = [
    "INSERT INTO recommendation_queue VALUES ('new', :queue)",
    "INSERT OR REPLACE INTO recommendation_queue VALUES ('u', :queue)",
    "INSERT OR IGNORE INTO recommendation_queue VALUES ('new', :queue)",
    "REPLACE INTO recommendation_queue VALUES ('new', :queue)",
    "INSERT INTO recommendation_queue VALUES ('u', :queue)"
    " ON CONFLICT (user_id) DO UPDATE SET product_queue = excluded.product_queue",
    "INSERT INTO recommendation_queue VALUES ('u', '{\"pool\":[]}')"
    " ON CONFLICT DO UPDATE SET product_queue = :queue",
    "INSERT INTO recommendation_queue SELECT 'new', :queue",
    "UPDATE recommendation_queue SET product_queue = :queue WHERE user_id = 'u'",
    "UPDATE OR IGNORE recommendation_queue SET product_queue = :queue WHERE user_id = 'u'",
    "UPDATE OR REPLACE recommendation_queue SET product_queue = :queue, user_id = 'new'",
    "UPDATE recommendation_queue SET rowid = 77, product_queue = :queue WHERE user_id = 'u'",
]
WRONG = {
    "purchased": queue_of(BOUGHT),
    "purchased, among others": queue_of(["p", 0, 1.0], BOUGHT, ["q", 0, 1.0]),
    "purchased, spaced": '{ "pool" : [ [ "bought" , 0 , 1.0 ] ] }',
    "purchased, spelled with escapes": '{"pool":[["\\u0062ought",0,1.0]]}',
    "purchased, behind another key": '{"pool":[],"pool":[["bought",0,1.0]]}',
    "purchased, before another key": '{"pool":[["bought",0,1.0]],"pool":[]}',
    "purchased, in a key of another spelling": '{"p\\u006fol":[["bought",0,1.0]]}',
    "purchased, in a second key": '{"pool":[],"more":[["bought",0,1.0]]}',
    "purchased, deeper": queue_of([BOUGHT]),
    "purchased, deepest": queue_of([[["bought"]], 0, 1.0]),
    "purchased, as an object": queue_of({"product_id": "bought"}),
    "purchased, counted by name": '{"pool":[{"0":"bought","1":0,"2":1.0}]}',
    "a purchased integer": queue_of([17850, 0, 1.0]),
    "an integer": queue_of([17851, 0, 1.0]),
    "an escape that need not be there": '{"pool":[["\\u0070",0,1.0]]}',
    "half a character": '{"pool":[["\\ud800",0,1.0]]}',
    "a control character": queue_of(["a\nb", 0, 1.0]),
    "no product": queue_of([None, 0, 1.0]),
    "an empty product": queue_of(["", 0, 1.0]),
    "a product twice": queue_of(["p", 0, 1.0], ["p", 1, 2.0]),
    "a negative counter": queue_of(["p", -1, 1.0]),
    "a broken counter": queue_of(["p", 0.0, 1.0]),
    "a counter too large": queue_of(["p", 10**30, 1.0]),
    "a counter as text": queue_of(["p", "0", 1.0]),
    "no score": queue_of(["p", 0, None]),
    "a true score": queue_of(["p", 0, True]),
    "an infinite score": '{"pool":[["p",0,1e999]]}',
    "a score below infinity": '{"pool":[["p",0,-1e999]]}',
    "no number": '{"pool":[["p",0,NaN]]}',
    "two parts": queue_of(["p", 0]),
    "four parts": queue_of(["p", 0, 1.0, 1]),
    "parts of two and four": queue_of(["p", 0], ["q", 0, 1.0, 2]),
    "a list": "[]",
    "a list of entries": '[["p",0,1.0]]',
    "an object for a pool": '{"pool":{}}',
    "nothing for a pool": '{"pool":null}',
    "another key": '{"queue":[]}',
    "no key": "{}",
    "not JSON": '{"pool":',
    "JSON with a tail": '{"pool":[]}}',
    "nearly JSON": "{'pool':[]}",
    "with a comment": '{"pool":[]/**/}',
    "empty": "",
    "a number": 5,
    "bytes": b'{"pool":[]}',
}


def fill(store: Store) -> None:
    """Two users have purchased, and one of them has a queue."""
    store.put("u", POOL)
    store.add_purchases((user, item, NOON) for user in ["u", "new"] for item in ["bought", "17850"])


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory, queue_settings: QueueSettings) -> Path:
    """A filled store that nothing manages to change."""
    path = tmp_path_factory.mktemp("untouched") / "recommendation.db"
    with closing(Store(path, queue_settings)) as store:
        fill(store)
    return path


@pytest.fixture
def bought(store: Store, shell: sqlite3.Connection) -> sqlite3.Connection:
    fill(store)
    return shell


@pytest.mark.parametrize("wrong", WRONG)
def test_no_writer_can_put_in_what_must_not_be_there(untouched: Path, wrong: str):
    before = dump(untouched)
    with closing(sqlite3.connect(untouched, isolation_level=None)) as shell:
        for way in WAYS:
            with pytest.raises(sqlite3.IntegrityError):
                shell.execute(way, {"queue": WRONG[wrong]})
            assert dump(untouched) == before, way


@pytest.mark.parametrize("way", WAYS)
def test_any_writer_can_put_in_what_may_be_there(bought: sqlite3.Connection, store: Store, way):
    # As json.dumps of another program writes it.
    bought.execute(way, {"queue": '{"pool": [["p", 3, 2], ["\\"é\\"", 0, -1.5e-3]]}'})
    changed = store.queue("u") + store.queue("new")
    assert {Entry("p", 3, 2.0), Entry('"é"', 0, -0.0015)} <= {*changed}


def test_a_queue_cannot_be_given_to_who_has_purchased_from_it(
    bought: sqlite3.Connection, store: Store
):
    store.add_purchases([("buyer", "q", NOON)])
    with pytest.raises(sqlite3.IntegrityError, match="the user has purchased"):
        bought.execute("UPDATE recommendation_queue SET user_id = 'buyer'")
    assert store.queue("u") == POOL


def test_the_store_itself_cannot_either(store: Store):
    store.add_purchases([("u", "p", NOON)])
    with pytest.raises(sqlite3.IntegrityError, match="the user has purchased"):
        store.put("u", POOL)


def test_a_user_is_named(bought: sqlite3.Connection):
    for nobody in [None, b"u"]:
        with pytest.raises(sqlite3.IntegrityError):
            bought.execute("INSERT INTO recommendation_queue VALUES (?, '{\"pool\":[]}')", [nobody])


def test_a_queue_is_there(bought: sqlite3.Connection):
    for statement in [
        "INSERT INTO recommendation_queue VALUES ('new', NULL)",
        "UPDATE recommendation_queue SET product_queue = NULL",
    ]:
        with pytest.raises(sqlite3.IntegrityError):
            bought.execute(statement)


@pytest.mark.parametrize(
    "purchase",
    [
        "INSERT INTO purchases VALUES ('u', 'p', 'now')",
        "INSERT OR IGNORE INTO purchases VALUES ('u', 'p', 'now')",
        "REPLACE INTO purchases VALUES ('u', 'p', 'now')",
        "INSERT INTO purchases VALUES ('u', 'bought', 'now')"
        " ON CONFLICT DO UPDATE SET product_id = 'p'",
        "UPDATE purchases SET product_id = 'p' WHERE user_id = 'u' AND product_id = 'bought'",
        "UPDATE OR IGNORE purchases SET user_id = 'u', product_id = 'p' WHERE user_id = 'new'",
        "INSERT INTO events (event_id, event_time, event_type, user_id, product_id, received_at)"
        " VALUES ('e', 'now', 'purchase', 'u', 'p', 'now')",
    ],
)
def test_whoever_writes_a_purchase_empties_the_queue_of_it(
    bought: sqlite3.Connection, store: Store, purchase: str
):
    bought.execute(purchase)
    assert "p" in store.purchased("u")
    assert store.queue("u") == (Entry("q", 2, 3.0),)


def test_taking_out_a_purchase_leaves_the_rest_as_it_was(store: Store):
    pool = tuple(Entry(f"{i}", i, 0.1 * i + 1 / 3) for i in range(40))
    store.put("u", pool)
    store.add_purchases([("u", "17", NOON)])
    assert store.queue("u") == pool[:17] + pool[18:]


# Several writers at once


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
            store.record([event(event_id=f"{name}")])

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(view, range(8)))
    with closing(Store(path, queue_settings)) as store:
        assert store.queue("u") == (Entry("p", 0, 8.0),)


def test_threads_share_a_store(store: Store):
    def view(worker: int) -> None:
        for turn in range(10):
            store.record([event(event_id=f"{worker}-{turn}")])

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(view, range(4)))
    assert store.queue("u") == (Entry("p", 0, 40.0),)


def test_readers_do_not_wait_for_a_writer(store: Store, shell: sqlite3.Connection):
    store.put("u", POOL)
    shell.execute("BEGIN IMMEDIATE")
    shell.execute("DELETE FROM recommendation_queue")
    assert store.queue("u") == POOL
