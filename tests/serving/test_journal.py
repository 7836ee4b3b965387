"""Replay is live: the queues recomputed from the journal."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from progrec.serving import rebuild as rebuild_module
from progrec.serving import rules
from progrec.serving.journal import Change, Index
from progrec.serving.rebuild import rebuild
from progrec.serving.rules import Entry
from progrec.serving.store import Event, Store
from progrec.settings import QueueSettings
from serving.visits import recommend
from serving.written import record

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)


def queues(shell: sqlite3.Connection) -> list[tuple[str, str]]:
    return shell.execute("SELECT * FROM recommendation_queue ORDER BY user_id").fetchall()


@pytest.fixture
def lived(store: Store, shop: Any) -> Store:
    """A store to which about everything has happened."""
    for user in ["ann", "new", "bob"]:
        recommend(store, shop, user, k=2)
        record(store, [Event(NOON, kind, user, "b3") for kind in ["view", "cart"]])
        recommend(store, shop, user, k=3, allowed=lambda item: item.startswith("b"))
        record(store, [Event(NOON, "purchase", user, "c0"), Event(NOON, "view", user, "elsewhere")])
        recommend(store, shop, user, k=5)
    store.add_purchases([("ann", "c1", NOON), ("bob", "elsewhere", NOON)])
    return store


def test_a_rebuild_of_what_was_left_alone_changes_no_byte(lived: Store, shell: sqlite3.Connection):
    before = queues(shell)
    assert rebuild(lived) == (3, 0)
    assert queues(shell) == before


DAMAGES = {
    "a counter": "UPDATE recommendation_queue SET product_queue ="
    " replace(product_queue, ',1,', ',7,') WHERE user_id = 'ann'",
    "an order": "UPDATE recommendation_queue SET product_queue ="
    """ '{"pool":[["b3",0,1.0],["b2",0,0.0]]}' WHERE user_id = 'ann'""",
    "a space": "UPDATE recommendation_queue SET product_queue = product_queue || ' '"
    " WHERE user_id = 'ann'",
    "no row": "DELETE FROM recommendation_queue WHERE user_id = 'ann'",
    "nonsense": "DROP TRIGGER queue_updated; UPDATE recommendation_queue SET product_queue = 'x'"
    " WHERE user_id = 'ann'",
    "somebody else's": """INSERT INTO recommendation_queue VALUES ('x', '{"pool":[["p",0,1]]}')""",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_rebuild_puts_right_what_was_changed_by_hand(
    lived: Store, shell: sqlite3.Connection, damage: str
):
    before = queues(shell)
    shell.executescript(DAMAGES[damage])
    assert queues(shell) != before
    assert rebuild(lived).repaired == 1
    assert [row for row in queues(shell) if row[0] != "x"] == before
    assert lived.queue("x") == ()
    assert rebuild(lived).repaired == 0


def test_a_rebuild_goes_batch_by_batch(
    lived: Store, shell: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rebuild_module, "BATCH_USERS", 1)
    before = queues(shell)
    shell.execute("DELETE FROM recommendation_queue")
    assert rebuild(lived) == (3, 3)
    assert queues(shell) == before


def test_the_index_is_of_one_moment_until_it_is_extended(lived: Store):
    with lived.reading() as connection:
        index = Index(connection)
    with closing(index):
        before = index.changes("ann")
        record(lived, [Event(NOON, "view", "ann", "x"), Event(NOON, "view", "cem", "x")])
        assert index.changes("ann") == before
        assert index.users_after("", 9) == ["ann", "bob", "new"]
        index.extend()
        index.extend()
        assert index.changes("ann") == [*before, Change("scored", "x", 1.0)]
        assert len(index.places("ann")) == len(before) + 1
        assert index.users_after("ann", 2) == ["bob", "cem"]
        assert index.users_after("", 9, rows=2) == ["ann", "bob", "new"]
    with lived.reading() as connection, closing(Index(connection)) as again:
        assert again.users_after("new", 9) == []


def test_a_rebuild_breaks_no_rule(lived: Store, shell: sqlite3.Connection):
    """Whatever the journal says: here somebody has added to it by hand."""
    shell.execute("INSERT INTO journal (user_id, kind, what) VALUES ('ann', 'added', '[\"c0\"]')")
    assert rebuild(lived) == (3, 0)
    assert "c0" not in [entry.product_id for entry in lived.queue("ann")]

    record(lived, [Event(NOON, "return", "ann", "c0")])
    assert rebuild(lived) == (3, 0)


def test_settings_that_changed_since_do_not_change_the_past(
    lived: Store, shell: sqlite3.Connection, tmp_path: Path
):
    before = queues(shell)
    others = QueueSettings(weights={}, refund=(), min_pool=1, refill_to=1, max_pool=1)
    assert rebuild(Store(lived.path, others)) == (3, 0)
    assert queues(shell) == before


def test_a_visit_writes_a_small_row(store: Store, shop: Any, shell: sqlite3.Connection):
    recommend(store, shop, "ann", k=2)
    recommend(store, shop, "ann", k=2)
    rows = shell.execute("SELECT kind, what, amount, room FROM journal").fetchall()
    assert rows == [
        ("added", '["c0","c1","c2","b3","b2"]', None, None),
        ("shown", None, 2.0, None),
        ("shown", None, 2.0, None),
    ]


def test_a_full_pool_forgets_what_was_shown_most(tmp_path: Path, shop: Any):
    rules_ = QueueSettings(weights={"view": 1}, refund=(), min_pool=1, refill_to=2, max_pool=4)
    store = Store(tmp_path / "recommendation.db", rules_)
    for _ in range(2):
        recommend(store, shop, "ann", k=2)
    assert store.queue("ann") == tuple(Entry(item, 1, 0.0) for item in ["c0", "c1", "c2", "b3"])
    shown = recommend(store, shop, "ann", k=2)
    assert [one.product_id for one in shown] == ["b2", "b1"]
    assert [entry.product_id for entry in store.queue("ann")] == ["c2", "b3", "b2", "b1"]

    record(store, [Event(NOON, "view", "ann", "x"), Event(NOON, "view", "ann", "b3")])
    assert store.queue("ann") == (
        Entry("b3", 1, 1.0), *(Entry(item, 1, 0.0) for item in ["b2", "b1"]), Entry("x", 0, 1.0)
    )  # fmt: skip
    assert rebuild(store) == (1, 0)
    store.close()


def test_a_longer_list_than_the_pool_may_be_is_shown_whole(tmp_path: Path, shop: Any):
    rules_ = QueueSettings(weights={}, refund=(), min_pool=1, refill_to=2, max_pool=4)
    store = Store(tmp_path / "recommendation.db", rules_)
    recommend(store, shop, "ann", k=4)
    assert len(recommend(store, shop, "ann", k=7)) == 7
    assert len(store.queue("ann")) == 7
    assert rebuild(store) == (1, 0)
    store.close()


def test_the_text_is_what_the_rules_write(lived: Store, shell: sqlite3.Connection):
    for user, text in queues(shell):
        assert rules.dumps(lived.queue(user)) == text
