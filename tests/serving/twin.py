"""The store and its rules in the slowest words, to compare with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Any

from progrec.settings import QueueSettings

Pool = list[list[Any]]


class Twin:
    """Queues of [product, counter, score], purchases and sessions in plain Python."""

    def __init__(self, settings: QueueSettings, shelf: list[str]) -> None:
        self.settings = settings
        self.shelf = shelf
        """The catalogue, most popular first."""
        self.pools: dict[str, Pool] = defaultdict(list)
        self.bought: dict[str, dict[str, bool]] = defaultdict(dict)
        """Of each purchase whether it counts: a refunded one does not."""
        self.owners: dict[str, str] = {}
        self.seen: set[str] = set()

    def owner(self, user: str) -> str:
        return self.owners.get(user, user)

    def barred(self, user: str) -> set[str]:
        return {item for item, counts in self.bought[self.owner(user)].items() if counts}

    def record(self, event_id: str, kind: str, user: str, item: str) -> bool:
        if event_id in self.seen:
            return False
        self.seen.add(event_id)
        user = self.owner(user)
        if kind == "purchase":
            self.buy(user, item)
        elif kind in self.settings.refund:
            self.bought[user][item] = False
        elif item not in self.barred(user):
            self.score(user, item, self.settings.weights[kind])
        return True

    def score(self, user: str, item: str, weight: float) -> None:
        there = [entry for entry in self.pools[user] if entry[0] == item]
        for entry in there:
            entry[2] += weight
        if not there and weight > 0:
            self.pools[user].append([item, 0, weight])
            self.cut(user, self.settings.max_pool, [self.pools[user][-1]])

    def buy(self, user: str, item: str) -> None:
        self.bought[user][item] = True
        self.pools[user] = [entry for entry in self.pools[user] if entry[0] != item]

    def sync(self, user: str, item: str, *, later: bool) -> bool:
        """Whether the purchase was new: unknown, or of a day after the refund."""
        user = self.owner(user)
        known = self.bought[user].get(item)
        if known is None or (known is False and later):
            self.buy(user, item)
            return True
        return False

    def cut(self, user: str, room: int, spared: Pool) -> None:
        pool = self.pools[user]
        while len(pool) > room:
            able = [entry for entry in pool if not any(entry is one for one in spared)]
            most = max(entry[1] for entry in able)
            able = [entry for entry in able if entry[1] == most]
            least = min(entry[2] for entry in able)
            able = [entry for entry in able if entry[2] == least]
            gone = able[0] if most else able[-1]
            pool[:] = [entry for entry in pool if entry is not gone]

    def visit(
        self, user: str, k: int, allowed: Callable[[str], bool] | None, *, peek: bool
    ) -> list[tuple[str, int]]:
        user = self.owner(user)
        pool = [list(entry) for entry in self.pools[user]]
        fresh = [entry for entry in pool if entry[1] == 0]
        if allowed:
            lacks = k - sum(allowed(item) for item, *_ in fresh)
        elif len(fresh) < k or len(pool) < self.settings.min_pool:
            lacks = max(self.settings.refill_to, self.settings.min_pool, k) - len(fresh)
        else:
            lacks = 0
        taken: Collection[str] = self.barred(user) | {item for item, *_ in pool}
        free = [item for item in self.shelf if item not in taken and (not allowed or allowed(item))]
        pool += [[item, 0, 0.0] for item in free[: max(0, lacks)]]
        ready = [entry for entry in pool if not allowed or allowed(entry[0])]
        due = sorted(ready, key=lambda entry: (entry[1], -entry[2]))[:k]
        for entry in due:
            entry[1] += 1
            pool = [*(one for one in pool if one is not entry), entry]
        if due and not peek:
            self.pools[user] = pool
            self.cut(user, max(k, self.settings.max_pool), due)
        return [(item, counter) for item, counter, _ in due]

    def merge(self, session: str, user: str) -> bool:
        """Whether it was new; a session that has another owner is refused with an assertion."""
        if session in self.owners:
            assert self.owners[session] == user
            return False
        self.owners[session] = user
        for item, counts in self.bought.pop(session, {}).items():
            if counts or item not in self.bought[user]:
                self.bought[user][item] = counts
        for item in self.barred(user):
            self.buy(user, item)
        before = len(self.pools[user])
        for item, counter, score in self.pools.pop(session, []):
            there = [entry for entry in self.pools[user] if entry[0] == item]
            for entry in there:
                entry[1] += counter
                entry[2] += score
            if not there and item not in self.barred(user):
                self.pools[user].append([item, counter, score])
        if len(self.pools[user]) > before:
            self.cut(user, self.settings.max_pool, [])
        return True
