from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from progrec.learning import neighbours

HALF = 0.5**0.5


def matrix(rows: list[list[float]]) -> csr_array:
    return csr_array(np.array(rows, np.float32))


def random_likes(n_users: int, n_items: int, seed: int) -> csr_array:
    likes = np.random.default_rng(seed).random((n_users, n_items)) < 0.4
    return csr_array(likes.astype(np.float32))


def test_hand_worked_weights_between_two_items() -> None:
    # x'x = 3 and y'y = 2, x'y = 2: x from y by 2 / (2 + 1), y from x by 2 / (3 + 1).
    likes = matrix([[1, 1], [1, 1], [1, 0]])

    weights = neighbours.ease(likes, 1.0)

    np.testing.assert_allclose(weights, [[0, 1 / 2], [2 / 3, 0]], rtol=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 20), st.integers(1, 8), st.integers(0, 999), st.sampled_from([0.5, 10, 300]))
def test_ease_is_a_ridge_regression_of_each_item_on_the_others(
    n_users: int, n_items: int, seed: int, regularization: float
) -> None:
    likes = random_likes(n_users, n_items, seed)
    x = likes.toarray().astype(np.float64)
    twin = np.zeros((n_items, n_items))
    for item in range(n_items):
        others = np.delete(np.arange(n_items), item)
        system = x[:, others].T @ x[:, others] + regularization * np.eye(n_items - 1)
        twin[others, item] = np.linalg.solve(system, x[:, others].T @ x[:, item])

    weights = neighbours.ease(likes, regularization)

    assert weights.dtype == np.float32
    assert not np.diag(weights).any()
    np.testing.assert_allclose(weights, twin, rtol=1e-4, atol=1e-6)


def test_hand_worked_cosines() -> None:
    # Items 0 and 1 share a user, as 1 and 2; nobody likes item 3.
    likes = matrix([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]])

    every = neighbours.cosine(likes, 4).toarray()

    np.testing.assert_allclose(
        every, [[0, HALF, 0, 0], [HALF, 0, 0.5, 0], [0, 0.5, 0, 0], [0, 0, 0, 0]], rtol=1e-6
    )


def test_an_item_is_foretold_by_its_own_nearest() -> None:
    likes = matrix([[1, 1, 0], [0, 1, 1], [0, 0, 1]])

    # 1 is nearest to 0 and to 2, and 0 to 1: column 1 has only row 0.
    np.testing.assert_allclose(
        neighbours.cosine(likes, 1).toarray(), [[0, HALF, 0], [HALF, 0, 0.5], [0, 0, 0]], rtol=1e-6
    )


def test_the_strongest_are_the_largest_by_size() -> None:
    weights = np.array([[9, -3, 2, 1], [0, 9, 0, -1], [1, 2, 9, 3], [5, -6, 4, 9]], np.float32)

    kept = neighbours.strongest(weights, 2)

    assert kept.toarray().tolist() == [[0, -3, 2, 0], [0, 0, 0, -1], [0, 2, 0, 3], [5, -6, 0, 0]]
    assert kept.nnz == 7
    assert weights[0, 0] == 9


@pytest.mark.parametrize("n", [3, 4, 100])
def test_all_but_the_diagonal_are_kept_where_there_are_no_more(n: int) -> None:
    weights = np.arange(1, 17, dtype=np.float32).reshape(4, 4)

    assert np.array_equal(neighbours.strongest(weights, n).toarray(), weights * (1 - np.eye(4)))
    assert neighbours.strongest(np.ones((1, 1), np.float32), n).nnz == 0


def test_the_most_liked_items_stand_by_row_and_the_first_of_equals_wins() -> None:
    likes = matrix([[1, 1, 0, 1, 0], [0, 1, 0, 1, 1]])

    assert neighbours.most_liked(likes, 2).tolist() == [1, 3]
    assert neighbours.most_liked(likes, 3).tolist() == [0, 1, 3]
    assert neighbours.most_liked(likes, 9).tolist() == [0, 1, 2, 3, 4]


def test_only_the_most_liked_items_take_part() -> None:
    likes = matrix([[1, 0, 1, 1], [1, 1, 1, 0], [0, 0, 1, 1]])

    fitted = neighbours.fit(likes, 2.0, n_items=3, n_neighbours=9)

    dense = fitted.toarray()
    assert not dense[1].any()
    assert not dense[:, 1].any()
    chosen = [0, 2, 3]
    among = neighbours.ease(csr_array(likes[:, chosen]), 2.0)
    assert np.array_equal(dense[np.ix_(chosen, chosen)], among)
    assert neighbours.fit(likes, 2.0, n_items=3, n_neighbours=1).nnz == 3
