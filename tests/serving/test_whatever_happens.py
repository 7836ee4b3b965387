"""Anything that can happen to the queues, beside a model of it in plain Python."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec.structs import astuple

from progrec.errors import InputError
from progrec.serving import sessions
from progrec.serving.audit import audit
from progrec.serving.compact import compact
from progrec.serving.rebuild import rebuild
from progrec.serving.rules import Entry, dumps
from progrec.serving.store import Event, Store
from progrec.settings import QueueSettings
from serving.twin import Twin
from serving.visits import recommend
from serving.written import merge, record

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)
RULES = QueueSettings(
    weights={"view": 1, "click": 0.1, "cart": 3, "remove_from_cart": -1},
    refund=("return",),
    min_pool=2,
    refill_to=3,
    max_pool=5,
)


class Shelf:
    """Nine products, which everybody is offered in this order."""

    digest = "shelf"
    watermark = date(2020, 1, 31)
    item_ids = np.array(list("abcdefghi"), dtype=object)
    item_row = {item: row for row, item in enumerate(item_ids)}  # noqa: RUF012
    popularity = np.arange(9.0, 0.0, -1.0)
    category = np.full(9, None, dtype=object)

    def knows(self, user_id: str) -> bool:
        return False

    def ranking_after(self, user_id, done):
        return None


SHELF = Shelf()
SESSIONS = ["s1", "s2"]
NAMES = ["ann", "bob"]
people = st.sampled_from([*NAMES, *map(sessions.key, SESSIONS)])
items = st.sampled_from("abcdefghiz")
kinds = st.sampled_from(["view", "click", "cart", "remove_from_cart", "purchase", "return"])
filters = st.none() | st.sets(items).map(lambda allowed: allowed.__contains__)


class Shoppers(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "recommendation.db"
        self.store = Store(self.path, RULES)
        self.twin = Twin(RULES, list(SHELF.item_ids))
        self.posted: list[Event] = []

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(steps=st.lists(st.tuples(people, items, kinds), max_size=5), again=st.booleans())
    def post(self, steps, again):
        events = [
            Event(NOON, kind, user, item, event_id=str(len(self.posted) + place))
            for place, (user, item, kind) in enumerate(steps)
        ]
        self.posted += events
        sent = self.posted if again else events
        assert record(self.store, sent) == [
            self.twin.record(str(one.event_id), one.event_type, one.user_id, one.product_id)
            for one in sent
        ]

    @rule(user=people, bought=st.lists(items, max_size=3), later=st.booleans())
    def sync(self, user, bought, later):
        day = NOON + timedelta(later)
        new = sum(self.twin.sync(user, item, later=later) for item in bought)
        assert self.store.add_purchases((user, item, day) for item in bought) == new

    @rule(user=people, k=st.integers(1, 7), allowed=filters)
    def visit(self, user, k, allowed):
        foretold = recommend(self.store, SHELF, user, k=k, allowed=allowed, peek=True)
        expected = self.twin.visit(user, k, allowed, peek=True)
        assert [(one.product_id, one.counter) for one in foretold] == expected
        self.the_queues_are_the_twins()

        assert self.twin.visit(user, k, allowed, peek=False) == expected
        assert recommend(self.store, SHELF, user, k=k, allowed=allowed) == foretold

    @rule(session=st.sampled_from(SESSIONS), user=st.sampled_from(NAMES))
    def merge(self, session, user):
        key = sessions.key(session)
        if self.twin.owners.get(key, user) == user:
            assert merge(self.store, session, user) == self.twin.merge(key, user)
        else:
            with pytest.raises(InputError, match=f"session_id: {session} has been merged"):
                merge(self.store, session, user)

    @rule()
    def reopen(self):
        self.store.close()
        self.store = Store(self.path, RULES)

    @rule()
    def rebuild(self):
        assert rebuild(self.store).repaired == 0

    @rule()
    def compact(self):
        compact(self.store)
        assert rebuild(self.store).repaired == 0

    @rule(user=people, item=items)
    def break_in(self, user, item):
        user = self.twin.owner(user)
        if item not in self.twin.barred(user):
            return
        with closing(sqlite3.connect(self.path, isolation_level=None)) as shell:
            queue = dumps((*self.store.queue(user), Entry(item, 0, 0.0)))
            with pytest.raises(sqlite3.IntegrityError):
                shell.execute(
                    "INSERT OR REPLACE INTO recommendation_queue VALUES (?, ?)", (user, queue)
                )

    @invariant()
    def the_queues_are_the_twins(self):
        for user in [*NAMES, *map(sessions.key, SESSIONS)]:
            owner = self.twin.owner(user)
            assert [list(astuple(entry)) for entry in self.store.queue(user)] == self.twin.pools[
                owner
            ]
            assert self.store.purchased(user) == self.twin.barred(owner)

    @rule()
    def look_closely(self):
        assert audit(self.path).violations == []


def test_whatever_happens_the_rules_hold_and_replay_is_live():
    run_state_machine_as_test(
        Shoppers, settings=settings(max_examples=25, stateful_step_count=20, deadline=None)
    )


@pytest.mark.slow
def test_whatever_happens_for_long_the_rules_hold_and_replay_is_live():
    run_state_machine_as_test(
        Shoppers, settings=settings(max_examples=1000, stateful_step_count=50, deadline=None)
    )
