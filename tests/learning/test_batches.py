from __future__ import annotations

import numpy as np
import pytest
import torch

from progrec.learning.batches import Batch, Batches
from progrec.learning.config import SamplerConfig
from progrec.learning.dataset import Pairs

N_ITEMS = 7
PAIRS = Pairs(
    np.array([0, 0, 1, 2, 2, 2, 3]),
    np.array([1, 4, 0, 2, 3, 6, 5]),
    np.array([0.1, 1.0, 0.5, 0.1, 1.0, 1.0, 0.5], np.float32),
)


FOUR = SamplerConfig(negatives=4)


def batches(seed: int = 0, pairs: Pairs = PAIRS, sampler: SamplerConfig = FOUR) -> Batches:
    return Batches(pairs, N_ITEMS, batch_size=3, sampler=sampler, seed=seed)


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


def test_by_default_order_and_negatives_are_two_plain_draws_of_one_generator() -> None:
    pairs = Pairs(np.arange(7), np.zeros(7, np.int64), np.ones(7, np.float32))
    generator = torch.Generator().manual_seed(5)
    order = torch.randperm(7, generator=generator)

    for batch, users in zip(batches(5, pairs), torch.split(order, 3), strict=True):
        others = torch.randint(N_ITEMS, (len(users), 4), generator=generator)
        # Everybody likes item 0 and nothing else.
        while hits := int((others == 0).sum()):
            others[others == 0] = torch.randint(N_ITEMS, (hits,), generator=generator)
        assert torch.equal(batch.users, users)
        assert torch.equal(batch.others, others)


def test_a_batch_knows_how_likely_its_negatives_were() -> None:
    unknown = torch.tensor([5, 6, 4, 6])  # items, by user

    for batch in batches():
        expected = (1 / unknown[batch.users])[:, None].expand(-1, 4)
        torch.testing.assert_close(batch.log_rates.exp(), expected)


def test_what_many_like_is_drawn_often() -> None:
    # 1, 16, 81 and 0 users like the items, each user one: tickets 1, 8, 27 and 1.
    pairs = Pairs(np.arange(98), np.repeat([0, 1, 2], [1, 16, 81]), np.ones(98, np.float32))
    sampler = SamplerConfig(negatives=50, popularity_exponent=0.75)

    (batch,) = Batches(pairs, 4, batch_size=98, sampler=sampler, seed=0)

    held = torch.tensor([1.0, 8.0, 27.0, 1.0])
    rates = held[batch.others] / (37 - held[batch.liked])[:, None]
    torch.testing.assert_close(batch.log_rates.exp(), rates)
    drawn = batch.others[batch.liked == 2].flatten()
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    assert shares.tolist() == pytest.approx([0.1, 0.8, 0, 0.1], abs=0.02)


def test_where_the_hardest_are_kept_there_are_so_many_times_as_many_to_choose_from() -> None:
    loader = batches(sampler=SamplerConfig(negatives=2, hardest_of=3))

    for batch in loader:
        assert batch.others.shape == batch.log_rates.shape == (len(batch.users), 6)


def test_the_hardest_are_those_of_the_highest_logits() -> None:
    batch = Batch(
        torch.tensor([1, 4]),
        torch.tensor([0, 2]),
        torch.tensor([[5, 6, 3], [7, 5, 8]]),
        torch.tensor([1.0, 0.5]),
        torch.tensor([[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]]),
    )

    hardest = batch.hardest(torch.tensor([[0.3, 0.1, 0.2], [-3.0, 9.0, 0.0]]), 2)

    assert hardest.others.tolist() == [[5, 3], [5, 8]]
    assert hardest.log_rates.tolist() == [[-1.0, -3.0], [-5.0, -6.0]]
    assert hardest.users is batch.users
    assert hardest.liked is batch.liked
    assert hardest.weights is batch.weights


def test_no_pairs_are_no_batches() -> None:
    nothing = np.array([], np.int64)
    loader = batches(pairs=Pairs(nothing, nothing, nothing.astype(np.float32)))

    assert len(loader) == 0
    assert list(loader) == []
