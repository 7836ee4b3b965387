"""An anonymous session works like a user, and becomes one on login."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from progrec.errors import InputError
from progrec.learning.touches import Done
from progrec.serving import sessions
from progrec.serving.audit import audit
from progrec.serving.export import export
from progrec.serving.rebuild import rebuild
from progrec.serving.rules import Entry
from progrec.serving.store import Event, Store
from serving.visits import recommend
from serving.written import merge, record

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)
S = sessions.key("s")


def event(kind: str, user: str, item: str) -> Event:
    return Event(NOON, kind, user, item)


def test_a_session_is_nobody_elses(store: Store):
    record(store, [event("view", S, "p"), event("cart", "s", "q")])
    assert store.queue(S) == (Entry("p", 0, 1.0),)
    assert store.queue("s") == (Entry("q", 0, 3.0),)


def test_a_merge_joins_queues_purchases_and_events(store: Store, shell: sqlite3.Connection):
    record(store, [event(kind, S, item) for kind, item in [("view", "a"), ("cart", "b")]])
    record(store, [event("view", S, "mine"), event("purchase", S, "theirs")])
    record(
        store, [event("view", "u", "b"), event("purchase", "u", "mine"), event("cart", "u", "c")]
    )
    record(store, [event("view", "u", "theirs")])

    assert merge(store, "s", "u") is True

    assert store.queue("u") == (Entry("b", 0, 4.0), Entry("c", 0, 3.0), Entry("a", 0, 1.0))
    assert store.purchased("u") == {"mine", "theirs"}
    assert sorted(store.touched("u")) == ["a", "b", "c", "mine", "theirs"]
    assert Done("a", "view", 1, NOON.date()) in store.done("u", None)
    for table in ["recommendation_queue", "purchases", "events"]:
        assert shell.execute(f"SELECT DISTINCT user_id FROM {table}").fetchall() == [("u",)]
    assert rebuild(store) == (2, 0)


def test_counters_add_up(store: Store, shop: Any):
    for user in [S, "ann", S]:
        recommend(store, shop, user, k=5)
    shown = {entry.product_id: entry.counter for entry in store.queue(S)}
    for item in [entry.product_id for entry in store.queue("ann")]:
        shown[item] = shown.get(item, 0) + 1
    merge(store, "s", "ann")
    assert {entry.product_id: entry.counter for entry in store.queue("ann")} == shown
    assert rebuild(store) == (2, 0)


def test_a_repeated_merge_has_no_effect(store: Store):
    record(store, [event("view", S, "p")])
    assert [merge(store, "s", "u") for _ in range(3)] == [True, False, False]
    assert store.queue("u") == (Entry("p", 0, 1.0),)


def test_what_the_session_does_later_its_user_does(store: Store, shop: Any):
    merge(store, "s", "ann")
    record(store, [event("view", S, "p"), event("cart", "ann", "p"), event("purchase", S, "c0")])
    store.add_purchases([(S, "c1", NOON)])
    assert store.queue("ann") == store.queue(S) == (Entry("p", 0, 4.0),)
    assert store.purchased(S) == store.purchased("ann") == {"c0", "c1"}
    shown = recommend(store, shop, S, k=2)
    assert [(one.product_id, one.source) for one in shown] == [("p", "queue"), ("c2", "model")]
    assert store.queue("ann")[-1] == Entry("c2", 1, 0.0)
    assert rebuild(store) == (2, 0)


def test_an_event_that_came_before_the_merge_is_known_after_it(store: Store):
    before = event("view", S, "p")
    record(store, [before])
    merge(store, "s", "u")
    assert record(store, [before]) == [False]
    assert store.queue("u") == (Entry("p", 0, 1.0),)


def test_a_session_has_one_user(store: Store):
    merge(store, "s", "u")
    with pytest.raises(InputError, match="session_id: s has been merged into another user"):
        merge(store, "s", "v")
    with pytest.raises(InputError, match="user_id: session:t is a session"):
        merge(store, "s", sessions.key("t"))


def test_a_user_has_several_sessions(store: Store):
    for name in ["s", "t"]:
        record(store, [event("view", sessions.key(name), name), event("cart", S, "p")])
        merge(store, name, "u")
    assert store.queue("u") == (Entry("s", 0, 1.0), Entry("p", 0, 3.0), Entry("t", 0, 1.0))


@pytest.mark.parametrize(
    ("steps", "barred"),
    [
        ([(S, "purchase"), (S, "return")], False),
        ([(S, "purchase"), (S, "return"), ("u", "purchase")], True),
        ([("u", "purchase"), ("u", "return"), (S, "purchase")], True),
        ([("u", "purchase"), ("u", "return"), (S, "purchase"), (S, "return")], False),
        ([(S, "purchase"), ("u", "purchase"), (S, "return")], True),
    ],
)
def test_what_either_has_bought_and_kept_is_bought(store: Store, steps, barred: bool):
    record(store, [event("view", "u", "q"), *(event(kind, user, "p") for user, kind in steps)])
    merge(store, "s", "u")
    assert ("p" in store.purchased("u")) is barred
    record(store, [event("cart", "u", "p")])
    assert len(store.queue("u")) == (1 if barred else 2)
    assert audit(store.path).violations == []


def test_each_event_is_exported_once_under_the_user_it_has_then(store: Store, tmp_path: Path):
    record(store, [event("view", S, "early")])
    export(store, tmp_path / "data", date(2100, 1, 1))
    record(store, [event("view", S, "late")])
    merge(store, "s", "u")
    record(store, [event("view", S, "later")])
    export(store, tmp_path / "data", date(2100, 1, 1))

    files = sorted((tmp_path / "data/events").glob("*.parquet"))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    assert sorted((row["user_id"], row["product_id"]) for row in rows) == [
        *((S, "early"), ("u", "late"), ("u", "later"))
    ]


def test_a_merge_that_fails_leaves_both_as_they_were(store: Store, shell: sqlite3.Connection):
    record(store, [event("view", S, "p"), event("purchase", S, "b"), event("view", "u", "q")])
    shell.execute(
        "CREATE TRIGGER fail BEFORE DELETE ON recommendation_queue"
        " BEGIN SELECT raise(abort, 'no'); END"
    )
    before = list(shell.iterdump())
    with pytest.raises(sqlite3.IntegrityError):
        merge(store, "s", "u")
    assert list(shell.iterdump()) == before
