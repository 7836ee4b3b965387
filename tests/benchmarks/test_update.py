from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmarks import large_shop, update
from benchmarks.retraining import Tally
from progrec.learning import daily


def test_the_exponent_is_the_slope_of_the_logarithms() -> None:
    assert update.exponent([1, 10, 100], [3, 30, 300]) == pytest.approx(1)
    assert update.exponent([1, 4, 16], [1, 2, 4]) == pytest.approx(0.5)


def test_the_large_shop_is_one_that_can_learn_its_day() -> None:
    training, updating = update.settings()
    bundle = large_shop.bundle_of(300, 80, training, seed=0)
    day = large_shop.day_of(300, 80, 200, seed=1)

    grown, losses = daily.learn(bundle, day, bundle.network, updating)

    assert day.interactions.filter(like="num_").to_numpy().sum() == 200
    assert len(grown.users) > 300
    assert len(grown.items) > 80
    assert "fusion" in losses
    chances = grown.probabilities(np.arange(len(grown.users)))
    assert ((chances > 0) & (chances < 1)).all()


def test_the_same_seed_makes_the_same_shop_and_day() -> None:
    training, _ = update.settings()
    one, other = (large_shop.bundle_of(50, 20, training, seed=3) for _ in range(2))

    assert one.evidence.touches.table().equals(other.evidence.touches.table())
    days = [large_shop.day_of(50, 20, 40, seed=4).interactions for _ in range(2)]
    assert days[0].equals(days[1])


def test_a_tally_is_a_mean_over_users() -> None:
    tally = Tally()
    tally.measured({"updated": {"ndcg@20": 0.5}}, 10)
    tally.measured({}, 0)
    tally.measured({"updated": {"ndcg@20": 0.2}}, 20)

    assert tally.mean("updated") == pytest.approx(9 / 30)
    assert tally.ndcg == Counter(updated=9.0)
