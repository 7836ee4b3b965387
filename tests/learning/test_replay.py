from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from learning.shop import bought, days_after
from progrec.learning import daily
from progrec.learning.bundle import Bundle
from progrec.learning.config import UpdateConfig
from progrec.learning.dataset import Pairs
from progrec.learning.ncf import NCF

DAY = "2020-02-01"
Config = Callable[..., UpdateConfig]
Learn = Callable[..., Bundle]


@pytest.fixture
def learned_pairs(monkeypatch: pytest.MonkeyPatch) -> list[Pairs]:
    """The pairs of each day's gradient steps."""
    seen = []
    steps = daily._steps

    def watched(network: NCF, pairs: Pairs, *rest: object) -> float:
        seen.append(pairs)
        return steps(network, pairs, *rest)

    monkeypatch.setattr(daily, "_steps", watched)
    return seen


def test_replay_adds_likes_of_other_days_one_a_user(
    cold: Bundle, learn: Learn, learned_pairs: list[Pairs]
) -> None:
    day = bought(*(f"new{n} p00" for n in range(10)))

    learn(cold, day, "update.replay=2")
    learn(cold, day, "update.replay=0")

    replayed, alone = learned_pairs
    assert len(alone) == 10
    old = replayed.users < 24
    assert 5 < old.sum() <= 20
    assert len(set(replayed.users[old])) == old.sum()
    likes = cold.evidence.likes().toarray()
    assert likes[replayed.users[old], replayed.items[old]].all()
    assert sorted(replayed.users[~old]) == sorted(alone.users)
    assert len(set(zip(replayed.users, replayed.items, strict=True))) == len(replayed)


def test_replay_differs_by_day_and_seed(
    cold: Bundle, learn: Learn, learned_pairs: list[Pairs]
) -> None:
    for day, seed in (("2020-02-01", 0), ("2020-02-01", 0), ("2020-02-02", 0), ("2020-02-01", 1)):
        learn(cold, bought(*(f"new{n} p00" for n in range(10)), day=day), f"seed={seed}")

    one, same, later, other = ([*pairs.users, *pairs.items] for pairs in learned_pairs)
    assert one == same
    assert one not in (later, other)


def test_a_bundle_that_was_loaded_replays_the_same(
    cold: Bundle, learn: Learn, learned_pairs: list[Pairs], tmp_path: Path
) -> None:
    events = days_after(2)
    before = learn(cold, [event for event in events if event[0] == DAY])
    before.save(tmp_path / "before")
    today = [event for event in events if event[0] != DAY]
    learned_pairs.clear()

    learn(before, today)
    learn(Bundle.load(tmp_path / "before"), today)

    one, other = learned_pairs
    assert one.users.tolist() == other.users.tolist()
    assert one.items.tolist() == other.items.tolist()
    assert one.weights.tolist() == other.weights.tolist()
