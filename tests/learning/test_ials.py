from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from torch import Tensor

from progrec.learning import ials
from progrec.learning.config import IALSConfig

CONFIG = IALSConfig(regularization=0.05, unobserved_weight=0.2, iterations=5, deviation=0.1)


def random_likes(n_users: int, n_items: int, seed: int, density: float = 0.3) -> csr_array:
    likes = np.random.default_rng(seed).random((n_users, n_items)) < density
    return csr_array(likes.astype(np.float32))


def solved_one_by_one(others: Tensor, likes: csr_array, config: IALSConfig) -> Tensor:
    """The naive twin: each row's normal equations, written out over all pairs."""
    v = others.double().numpy()
    w, r = config.unobserved_weight, config.regularization
    rows = []
    for liked in likes.toarray():
        system = v.T @ np.diag(liked + w) @ v
        system += r * (liked.sum() + w * len(v)) * np.eye(v.shape[1])
        rows.append(np.linalg.solve(system, v.T @ liked))
    return torch.from_numpy(np.array(rows)).float()


def objective(users: Tensor, items: Tensor, likes: csr_array, config: IALSConfig) -> float:
    dense = torch.from_numpy(likes.toarray()).double()
    u, v = users.double(), items.double()
    w, products = config.unobserved_weight, u @ v.T
    ridge_u = config.regularization * (dense.sum(1) + w * len(v))
    ridge_v = config.regularization * (dense.sum(0) + w * len(u))
    fit = (dense * (1 - products) ** 2).sum() + w * (products**2).sum()
    return float(fit + (ridge_u * (u**2).sum(1)).sum() + (ridge_v * (v**2).sum(1)).sum())


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 30), st.integers(1, 20), st.integers(1, 6), st.integers(0, 999), st.booleans()
)
def test_rows_solve_their_normal_equations(
    n: int, m: int, width: int, seed: int, in_small_blocks: bool
) -> None:
    likes = random_likes(n, m, seed)
    others = torch.randn(m, width, generator=torch.Generator().manual_seed(seed))
    rows = torch.full((n, width), torch.nan)

    with pytest.MonkeyPatch.context() as patch:
        if in_small_blocks:
            patch.setattr(ials, "ROWS_AT_ONCE", 4)
            patch.setattr(ials, "FLOATS_AT_ONCE", 3 * width)
        ials.solve(rows, others, ials.gram(others), likes, CONFIG)

    twin = solved_one_by_one(others, likes, CONFIG)
    torch.testing.assert_close(rows, twin, rtol=1e-3, atol=1e-4)


def test_each_half_step_lowers_the_objective() -> None:
    likes = random_likes(30, 20, 1)
    liked_by = csr_array(likes.T)
    generator = torch.Generator().manual_seed(0)
    users, items = (torch.randn(n, 4, generator=generator) for n in likes.shape)

    values = [objective(users, items, likes, CONFIG)]
    for _ in range(6):
        ials.solve(users, items, ials.gram(items), likes, CONFIG)
        values.append(objective(users, items, likes, CONFIG))
        ials.solve(items, users, ials.gram(users), liked_by, CONFIG)
        values.append(objective(users, items, likes, CONFIG))

    assert np.all(np.diff(values) < 0)


def test_a_hand_worked_minimum() -> None:
    # Five users like four items, five others the other four. Where p = u.v of a like, a kind costs
    # 20 ((1 - p)^2 + 0.2 p^2) + 5 * 0.28 |u|^2 + 4 * 0.35 |v|^2; the latter two are 2.8 p at least,
    # and the sum is least where 48 p = 40 - 2.8.
    likes = csr_array(np.kron(np.eye(2), np.ones((5, 4))).astype(np.float32))

    users, items = ials.fit(likes, 2, CONFIG.model_copy(update={"iterations": 40}), 0)

    np.testing.assert_allclose((users @ items.T).numpy(), likes.toarray() * 0.775, atol=1e-3)


def test_the_seed_decides() -> None:
    likes = random_likes(20, 10, 2)

    one, same, other = (ials.fit(likes, 3, CONFIG, seed, quiet=True) for seed in (1, 1, 2))

    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one[1], other[1])


def test_rows_without_likes_are_zero() -> None:
    likes = csr_array(np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0]], np.float32))

    users, items = ials.fit(likes, 2, CONFIG, 0)

    assert users[1].tolist() == items[2].tolist() == [0, 0]
    assert users[0].abs().sum() > 0
    nothing = ials.fit(csr_array((2, 3), dtype=np.float32), 2, CONFIG, 0)
    assert not any(side.any() for side in nothing)
