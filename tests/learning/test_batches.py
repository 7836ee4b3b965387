from __future__ import annotations

import numpy as np
import pytest
import torch

from progrec.learning.batches import Batch, Batches
from progrec.learning.dataset import Pairs

N_ITEMS = 7
PAIRS = Pairs(
    np.array([0, 0, 1, 2, 2, 2, 3]),
    np.array([1, 4, 0, 2, 3, 6, 5]),
    np.array([0.1, 1.0, 0.5, 0.1, 1.0, 1.0, 0.5], np.float32),
)


def batches(seed: int = 0, pairs: Pairs = PAIRS) -> Batches:
    return Batches(pairs, N_ITEMS, batch_size=3, n_negatives=4, seed=seed)


def triples(epoch: list[Batch]) -> list[tuple[int, int, float]]:
    return [
        (int(user), int(item), round(float(weight), 6))
        for batch in epoch
        for user, item, weight in zip(batch.users, batch.liked, batch.weights, strict=True)
    ]


def test_an_epoch_holds_every_pair_once_with_its_weight() -> None:
    epoch = list(batches())

    rows = zip(PAIRS.users.tolist(), PAIRS.items.tolist(), PAIRS.weights.tolist(), strict=True)
    assert sorted(triples(epoch)) == sorted((u, i, round(w, 6)) for u, i, w in rows)


def test_batches_are_whole_but_for_the_last() -> None:
    loader = batches()

    assert [len(batch.users) for batch in loader] == [3, 3, 1]
    assert len(loader) == 3
    assert [tuple(batch.others.shape) for batch in loader] == [(3, 4), (3, 4), (1, 4)]


def test_negatives_are_of_the_same_user_and_unknown_to_them() -> None:
    known = set(zip(PAIRS.users.tolist(), PAIRS.items.tolist(), strict=True))

    for batch in batches():
        for user, others in zip(batch.users.tolist(), batch.others.tolist(), strict=True):
            assert not known.intersection((user, item) for item in others)


def test_each_epoch_has_its_own_order_and_negatives() -> None:
    loader = batches()

    first, second = list(loader), list(loader)

    assert triples(first) != triples(second)
    assert not torch.equal(
        torch.cat([batch.others for batch in first]), torch.cat([batch.others for batch in second])
    )


@pytest.mark.parametrize(("seed", "is_same"), [(0, True), (1, False)])
def test_the_seed_decides_every_epoch(seed: int, is_same: bool) -> None:
    one, other = batches(0), batches(seed)

    for _ in range(2):
        pairs = zip(one, other, strict=True)
        assert (
            all(
                torch.equal(a, b) for left, right in pairs for a, b in zip(left, right, strict=True)
            )
            == is_same
        )


def test_no_pairs_are_no_batches() -> None:
    nothing = np.array([], np.int64)
    loader = batches(pairs=Pairs(nothing, nothing, nothing.astype(np.float32)))

    assert len(loader) == 0
    assert list(loader) == []
