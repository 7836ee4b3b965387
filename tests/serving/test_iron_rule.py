"""What SQLite itself refuses, whoever asks."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from progrec.errors import InputError
from progrec.serving import queues, rules
from progrec.serving.audit import audit
from progrec.serving.rules import Entry, Pool
from progrec.serving.store import Event, Store
from progrec.settings import QueueSettings
from serving.written import record

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)
POOL = (Entry("p", 0, 1.0), Entry("q", 2, 3.0))


def put(store: Store, user_id: str, pool: Pool) -> None:
    with store.transaction() as connection:
        queues.put(connection, user_id, pool)


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


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
    "a string that looks like an entry": """{"pool":["['p',0,1.0]"]}""",
    "a string that looks like the rest of two": '{"pool":[["p",0,1.0],"x,,["]}',
    "a string that looks like the next": '{"pool":[["p",0,1.0],",],["]}',
    "a number among entries": queue_of(["p", 0, 1.0, 2], 5).replace(" ", ""),
    "an empty object among entries": queue_of(["p", 0, 1.0, 2], {}).replace(" ", ""),
    "a bare product": '{"pool":["p",0,1.0]}',
    "no number": '{"pool":[["p",0,NaN]]}',
    "two parts": queue_of(["p", 0]),
    "two parts, close": '{"pool":[["p",0]]}',
    "four parts": queue_of(["p", 0, 1.0, 1]),
    "four parts, close": '{"pool":[["p",0,1.0,1]]}',
    "a list": "[]",
    "a list of entries": '[["p",0,1.0]]',
    "an object for a pool": '{"pool":{}}',
    "nothing for a pool": '{"pool":null}',
    "another key": '{"queue":[]}',
    "another key behind": '{"pool":[["p",0,1.0]],"more":5}',
    "the same key behind": '{"pool":[["p",0,1.0]],"pool":5}',
    "no key": "{}",
    "not JSON": '{"pool":',
    "JSON with a tail": '{"pool":[]}}',
    "nearly JSON": "{'pool':[]}",
    "with a comment": '{"pool":[]/**/}',
    "empty": "",
    "a number": 5,
    "bytes": b'{"pool":[]}',
}
MISCOUNTED = {
    "a product twice": queue_of(["p", 0, 1.0], ["p", 1, 2.0]),
    "a negative counter": queue_of(["p", -1, 1.0]),
    "a broken counter": queue_of(["p", 0.0, 1.0]),
    "a counter too large": queue_of(["p", 10**30, 1.0]),
    "a counter as text": queue_of(["p", "0", 1.0]),
    "no score": queue_of(["p", 0, None]),
    "a true score": queue_of(["p", 0, True]),
    "an infinite score": '{"pool":[["p",0,1e999]]}',
    "a score below infinity": '{"pool":[["p",0,-1e999]]}',
    "an infinite score in digits": '{"pool":[["p",0,1' + "0" * 400 + ".0]]}",
    "a twin among plain ones": queue_of(["p", 0, 1.0], ["q", 0, 1.0], ["p", 0, 2.0]),
    "a product with a comma twice": queue_of(["a,b", 0, 1.0], ["a,b", 0, 1.0]),
    "parts of two and four": queue_of(["p", 0], ["q", 0, 1.0, 2]),
    "a second text in an entry": queue_of(["p", 0, "q"]),
}
"""No queues, either, but each product in them can be recognized: their readers refuse them."""


def fill(store: Store) -> None:
    """Two users have purchased, and one of them has a queue."""
    put(store, "u", POOL)
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


@pytest.mark.parametrize("spaces", [True, False])
@pytest.mark.parametrize("wrong", MISCOUNTED)
def test_what_is_miscounted_is_not_read(
    bought: sqlite3.Connection, store: Store, wrong: str, spaces: bool
):
    text = MISCOUNTED[wrong] if spaces else MISCOUNTED[wrong].replace(" ", "")
    try:
        bought.execute(WAYS[-4], {"queue": text})
    except sqlite3.IntegrityError:
        return
    with pytest.raises(InputError, match="the queue of user u is damaged"):
        store.queue("u")
    assert [each[:7] for each in audit(store.path).violations] == ["user u:"]


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
        put(store, "u", POOL)


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
        "INSERT INTO purchases VALUES ('u', 'p', 'now', NULL)",
        "INSERT OR IGNORE INTO purchases VALUES ('u', 'p', 'now', NULL)",
        "REPLACE INTO purchases VALUES ('u', 'p', 'now', NULL)",
        "INSERT INTO purchases VALUES ('u', 'bought', 'now', NULL)"
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
    put(store, "u", pool)
    store.add_purchases([("u", "17", NOON)])
    assert store.queue("u") == pool[:17] + pool[18:]


# Ways around the rule


LOOPHOLES = [
    # a purchase that is taken away while its event is kept
    ["DELETE FROM purchases WHERE product_id = 'kept'"],
    ["DELETE FROM purchases"],
    ["UPDATE purchases SET product_id = 'other' WHERE product_id = 'kept'"],
    ["UPDATE purchases SET user_id = 'other' WHERE product_id = 'kept'"],
    ["UPDATE OR IGNORE purchases SET user_id = 'other', product_id = 'x'"],
    ["UPDATE OR REPLACE purchases SET product_id = 'kept' WHERE product_id = 'refunded'"],
    ["UPDATE OR REPLACE purchases SET product_id = 'other' WHERE product_id = 'kept'"],
    # an event that is taken away, or changed, whose purchase was recorded
    ["DELETE FROM events"],
    ["UPDATE events SET event_type = 'view'"],
    ["UPDATE events SET product_id = 'other', user_id = 'other'"],
    ["REPLACE INTO events VALUES ('e', 'now', 'view', 'u', 'x', 0, 0, 0, 0, 0, 'now')"],
    # a purchase that comes by another way
    ["UPDATE events SET product_id = 'p' WHERE event_id = 'e'"],
    ["UPDATE events SET event_type = 'purchase' WHERE event_id = 'view of p'"],
    ["UPDATE OR REPLACE events SET event_id = 'e', event_type = 'purchase', product_id = 'p'"],
    ["REPLACE INTO events VALUES ('e', 'now', 'purchase', 'u', 'p', 0, 0, 0, 0, 0, 'now')"],
    # a refund that is over
    ["INSERT INTO events VALUES ('n', 'now', 'purchase', 'u', 'refunded', 0, 0, 0, 0, 0, 'now')"],
    ["REPLACE INTO events VALUES ('e', 'now', 'purchase', 'u', 'refunded', 0, 0, 0, 0, 0, 'now')"],
    ["INSERT OR IGNORE INTO events VALUES"
     " ('n', 'now', 'purchase', 'u', 'refunded', 0, 0, 0, 0, 0, 'now')"],
    ["REPLACE INTO purchases VALUES ('u', 'refunded', 'now', NULL)"],
    ["UPDATE purchases SET refunded_at = NULL"],
]  # fmt: skip


@pytest.mark.parametrize("recursive", ["ON", "OFF"])
@pytest.mark.parametrize("loophole", LOOPHOLES, ids=str)
def test_there_is_no_way_around_the_rule(
    store: Store, shell: sqlite3.Connection, loophole: list[str], recursive: str
):
    """Whatever the statements do or fail to do: what is bought by then is not and cannot be queued.

    Only an operator's own word, a `refunded_at`, or a purchase that is deleted with its event and
    all lets a product in again.
    """
    record(store, [Event(NOON, "view", "u", "p", event_id="view of p")])
    record(store, [Event(NOON, "purchase", "u", "kept", event_id="e")])
    record(store, [Event(NOON, "return", "u", "refunded"), Event(NOON, "view", "u", "refunded")])
    shell.execute(f"PRAGMA recursive_triggers = {recursive}")
    for statement in loophole:
        with suppress(sqlite3.IntegrityError):
            shell.execute(statement)

    bought = {*store.purchased("u")}
    events = "SELECT product_id FROM events WHERE event_type = 'purchase' AND user_id = 'u'"
    bought |= {item for (item,) in shell.execute(events)}
    assert "kept" in bought
    assert not bought & {entry.product_id for entry in store.queue("u")}
    for item, way in product(bought, WAYS):
        anyway = way.replace("'new'", "'u'").replace("OR IGNORE", "")
        with pytest.raises(sqlite3.IntegrityError):
            shell.execute(anyway, {"queue": queue_of([item, 0, 1.0])})
    assert audit(store.path).violations == []


def test_a_purchase_goes_with_its_event_and_all(store: Store, shell: sqlite3.Connection):
    """As when a shopper asks to be forgotten."""
    record(store, [Event(NOON, "purchase", "u", "p")])
    for table in ["events", "purchases", "recommendation_queue", "journal"]:
        shell.execute(f"DELETE FROM {table} WHERE user_id = 'u'")
    assert store.purchased("u") == frozenset()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["p", "q", "", 'a"b', "a,b", "a[b", "1", 1, None, True, ["p"]]),
            st.sampled_from([0, 1, 10, 100, -1, 1.0, 1.5, "1", True, None, 10**30]),
            st.sampled_from([0.0, -1.0, 0.25, 1e-9, 3, 1e300, "1", None, False, []]),
        ),
        max_size=3,
    ),
    st.sampled_from([None, 2, 4]),
    st.booleans(),
)
@hypothesis_settings(max_examples=500, deadline=None)
def test_sqlite_lets_every_queue_in_and_nothing_that_is_read_as_another(
    judge, entries, parts: int | None, spaces: bool
):
    rows = [list(entry)[:parts] + [0] * (4 if parts == 4 else 0) for entry in entries]
    text = queue_of(*(row[:4] for row in rows))
    text = text if spaces else json.dumps(json.loads(text), separators=(",", ":"))
    try:
        queue = rules.checked(text)
    except InputError:
        if judge(text) is None:
            with pytest.raises(ValueError, match=r"\S"):
                rules.loads(text)
    else:
        assert judge(text) is None, text
        assert rules.loads(text) == queue


@pytest.fixture(scope="module")
def judge(untouched: Path) -> Iterator[Callable[[str], str | None]]:
    """What SQLite says of a queue, which it does not keep."""

    def judged(text: str) -> str | None:
        try:
            shell.execute("INSERT INTO recommendation_queue VALUES ('judged', ?)", (text,))
        except sqlite3.IntegrityError:
            return "refused"
        shell.execute("DELETE FROM recommendation_queue WHERE user_id = 'judged'")
        return None

    with closing(sqlite3.connect(untouched, isolation_level=None)) as shell:
        shell.execute("BEGIN")
        yield judged
        shell.execute("ROLLBACK")
