"""Killed while it works: what was acknowledged is there, once, and no rule is broken."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import sqlite3
from collections.abc import Collection
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from progrec.serving import kept, sessions
from progrec.serving.audit import audit
from progrec.serving.rebuild import rebuild
from progrec.serving.recommender import ScoredCatalogue, recommend
from progrec.serving.scorers import Scorers
from progrec.serving.store import Event, Store
from progrec.settings import QueueSettings
from serving.written import merge, record

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)
KINDS = ["view", "cart", "remove_from_cart", "purchase", "return"]


def event(chance: random.Random, users: list[str], shop: ScoredCatalogue, name: str) -> Event:
    kind, user, item = map(chance.choice, (KINDS, users, shop.item_ids))
    return Event(NOON, kind, user, item, event_id=name)


def live(path: Path, rules: QueueSettings, shop: ScoredCatalogue, turn: int, pipe: Connection):
    """Posts, shows, merges and syncs without end; says which events were acknowledged."""
    store = Store(path, rules)
    chance = random.Random(turn)
    users = ["ann", "bob", *(sessions.key(f"{turn}-{n}") for n in range(3))]

    async def post(names: list[str]) -> None:
        events = [event(chance, users, shop, name) for name in names]
        now = kept.text(NOON)
        await store.write(lambda connection: kept.record(connection, rules, events, now))
        pipe.send_bytes("\n".join(names).encode())

    async def visit() -> None:
        user = chance.choice(users)
        await recommend(store, shop, Scorers(), user, k=chance.randint(1, 8))

    async def together(number: str) -> None:
        names = [f"{number}-{place}" for place in range(chance.randint(3, 20))]
        await asyncio.gather(post(names[::3]), visit(), post(names[1::3]), post(names[2::3]))

    for number in count():
        asyncio.run(together(f"{turn}-{number}"))
        record(store, [event(chance, users, shop, f"{turn}-{number}-alone")])
        pipe.send_bytes(f"{turn}-{number}-alone".encode())
        store.add_purchases([(chance.choice(users), chance.choice(shop.item_ids), NOON)])
        merge(store, f"{turn}-{number % 3}", users[number % 3 % 2])


def acknowledged_until_killed(
    path: Path, rules: QueueSettings, shop: ScoredCatalogue, turn: int
) -> list[str]:
    """The events that a process has acknowledged when it is killed in the middle of its work."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=live, args=(path, rules, shop, turn, theirs))
    process.start()
    theirs.close()
    acknowledged = []
    with suppress(EOFError):
        for received in count():
            acknowledged += ours.recv_bytes().decode().split("\n")
            if received == turn % 7:
                process.kill()
    process.join()
    assert process.exitcode == -9
    return acknowledged


def check(store: Store, acknowledged: Collection[str]) -> None:
    assert audit(store.path).violations == []
    assert rebuild(store).repaired == 0
    with closing(sqlite3.connect(store.path)) as connection:
        stored = [name for (name,) in connection.execute("SELECT event_id FROM events")]
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)


def survive(path: Path, rules: QueueSettings, shop: ScoredCatalogue, kills: int) -> None:
    acknowledged: list[str] = []
    for turn in range(kills):
        acknowledged += acknowledged_until_killed(path, rules, shop, turn)
        with closing(Store(path, rules)) as store:
            check(store, acknowledged)
    assert len(acknowledged) >= kills


def test_acknowledged_events_outlive_a_few_kills(
    tmp_path: Path, queue_settings: QueueSettings, shop: ScoredCatalogue
):
    survive(tmp_path / "recommendation.db", queue_settings, shop, kills=5)


@pytest.mark.slow
def test_acknowledged_events_outlive_a_hundred_kills(
    tmp_path: Path, queue_settings: QueueSettings, shop: ScoredCatalogue
):
    survive(tmp_path / "recommendation.db", queue_settings, shop, kills=100)
