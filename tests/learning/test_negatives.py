from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from progrec.learning import negatives

N_ITEMS = 6


def keys(pairs: set[tuple[int, int]], n_items: int = N_ITEMS) -> Tensor:
    return torch.tensor(sorted(user * n_items + item for user, item in pairs), dtype=torch.int64)


def draw(users: list[int], n: int, known: set[tuple[int, int]], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return negatives.uniform(torch.tensor(users), N_ITEMS, n, keys(known), generator)


pairs = st.sets(st.tuples(st.integers(0, 3), st.integers(0, N_ITEMS - 1)))


@given(known=pairs, seed=st.integers(0, 1000))
def test_a_negative_is_never_known_where_the_user_has_others(
    known: set[tuple[int, int]], seed: int
) -> None:
    users = [0, 1, 2, 3, 0]

    drawn = draw(users, 20, known, seed)

    assert drawn.shape == (5, 20)
    for user, items in zip(users, drawn.tolist(), strict=True):
        liked = {item for owner, item in known if owner == user}
        assert set(items) <= set(range(N_ITEMS))
        assert len(liked) == N_ITEMS or not liked.intersection(items)


def test_a_user_who_knows_everything_gets_items_all_the_same() -> None:
    drawn = draw([1], 300, {(1, item) for item in range(N_ITEMS)})

    assert set(drawn.flatten().tolist()) == set(range(N_ITEMS))


@pytest.mark.parametrize(
    "liked",
    [
        pytest.param(set(), id="nothing"),
        pytest.param({2}, id="little"),
        pytest.param({0, 1, 4, 5}, id="nearly all, where rejection often gives up"),
    ],
)
def test_negatives_are_uniform_over_what_is_not_known(liked: set[int]) -> None:
    known = {(1, item) for item in liked} | {(0, 0), (2, 5)}

    counts = torch.bincount(draw([1] * 100, 60, known).flatten(), minlength=N_ITEMS)

    others = [item for item in range(N_ITEMS) if item not in liked]
    assert counts.sum() == 6000
    assert chisquare(counts[others].numpy()).pvalue > 0.001


def test_the_same_generator_state_draws_the_same() -> None:
    known = {(0, 0), (0, 1), (0, 2), (1, 3)}

    assert torch.equal(draw([0, 1], 50, known, seed=3), draw([0, 1], 50, known, seed=3))
    assert not torch.equal(draw([0, 1], 50, known, seed=3), draw([0, 1], 50, known, seed=4))


def test_a_generator_draws_anew_each_time() -> None:
    generator = torch.Generator().manual_seed(0)
    known, users = keys({(0, 0)}), torch.tensor([0, 1])

    first, second = (negatives.uniform(users, N_ITEMS, 50, known, generator) for _ in range(2))

    assert not torch.equal(first, second)


def test_keys_of_a_large_shop_do_not_overflow() -> None:
    n_items, user = 54_000, 1_600_000
    known = keys({(user, item) for item in range(n_items - 1)}, n_items)

    drawn = negatives.uniform(
        torch.tensor([user]), n_items, 3, known, torch.Generator().manual_seed(0)
    )

    assert drawn.tolist() == [[n_items - 1] * 3]
