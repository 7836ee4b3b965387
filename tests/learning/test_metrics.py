from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array

from progrec.learning import metrics

INF = np.inf

# Few distinct values, so that ties are the rule, and items that are not to be ranked.
scores = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 7)),
    elements=st.sampled_from([-INF, -1.5, 0.0, 0.25, 0.5, INF]),
)
lengths = st.integers(1, 9)


def naive_top(row: list[float], k: int) -> list[int]:
    ranked = sorted(range(len(row)), key=lambda item: (-row[item], item))
    ranked = [item for item in ranked if row[item] > -INF][:k]
    return ranked + [-1] * (min(k, len(row)) - len(ranked))


def naive_ndcg(ranked: list[int], wanted: set[int], k: int) -> float:
    gains = sum(1 / math.log2(place + 2) for place, item in enumerate(ranked) if item in wanted)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(wanted))))
    return gains / ideal


def targets(n_items: int, *wanted: set[int]) -> csr_array:
    dense = np.zeros((len(wanted), n_items), np.float32)
    for user, items in enumerate(wanted):
        dense[user, list(items)] = 1
    return csr_array(dense)


@given(scores, lengths)
def test_top_agrees_with_sorting(scores: npt.NDArray[np.float32], k: int) -> None:
    assert metrics.top(scores, k).tolist() == [naive_top(row, k) for row in scores.tolist()]


@given(scores, lengths, st.data())
def test_metrics_agree_with_their_definitions(
    scores: npt.NDArray[np.float32], k: int, data: st.DataObject
) -> None:
    n_users, n_items = scores.shape
    items = st.sets(st.integers(0, n_items - 1), min_size=1)
    wanted = data.draw(st.lists(items, min_size=n_users, max_size=n_users))
    k = min(k, n_items)

    ranked = metrics.top(scores, k)
    hit = metrics.hits(ranked, targets(n_items, *wanted))
    n_targets = np.array([len(items) for items in wanted])

    lists = ranked.tolist()
    rows = list(zip(lists, wanted, strict=True))
    caught = [len(items.intersection(ranked)) for ranked, items in rows]
    np.testing.assert_allclose(
        metrics.ndcg(hit, n_targets), [naive_ndcg(ranked, items, k) for ranked, items in rows]
    )
    np.testing.assert_allclose(
        metrics.recall(hit, n_targets),
        [n / min(k, len(items)) for n, items in zip(caught, wanted, strict=True)],
    )
    assert metrics.hit_rate(hit).tolist() == [float(n > 0) for n in caught]
    shown = {item for ranked in lists for item in ranked} - {-1}
    assert metrics.coverage(ranked, n_items) == len(shown) / n_items


def test_a_hand_worked_ndcg() -> None:
    # Targets at places 2 and 4 of 4, and a third that is missed.
    hit = np.array([[False, True, False, True]])
    gain = 1 / math.log2(3) + 1 / math.log2(5)  # 0.6309 + 0.4307
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)  # 1 + 0.6309 + 0.5

    assert metrics.ndcg(hit, np.array([3]))[0] == pytest.approx(gain / ideal)
    assert metrics.ndcg(hit, np.array([3]))[0] == pytest.approx(0.49818925)


@pytest.mark.parametrize("n_targets", [1, 2, 3, 5])
def test_a_perfect_list_is_worth_one(n_targets: int) -> None:
    hit = np.array([[place < n_targets for place in range(3)]])

    assert metrics.ndcg(hit, np.array([n_targets])) == pytest.approx(1)
    assert metrics.recall(hit, np.array([n_targets])) == pytest.approx(1)
    assert metrics.hit_rate(hit) == 1


def test_a_list_without_a_hit_is_worth_nothing() -> None:
    hit = np.zeros((1, 3), bool)

    assert metrics.ndcg(hit, np.array([2])) == 0
    assert metrics.recall(hit, np.array([2])) == 0
    assert metrics.hit_rate(hit) == 0


def test_a_row_with_nothing_to_rank_is_a_list_of_nothing() -> None:
    ranked = metrics.top(np.full((1, 3), -INF, np.float32), 2)

    assert ranked.tolist() == [[-1, -1]]
    assert not metrics.hits(ranked, targets(3, {0, 1, 2})).any()
    assert metrics.coverage(ranked, 3) == 0


def test_an_empty_place_is_no_hit_in_the_row_above() -> None:
    # User 1's empty place has the key of user 0's last item, were it not left out.
    ranked = np.array([[0], [-1]])

    assert metrics.hits(ranked, targets(2, {1}, {0})).tolist() == [[False], [False]]


def test_one_item_is_a_list_of_one_however_long_it_is_asked_for() -> None:
    assert metrics.top(np.array([[0.5]], np.float32), 20).tolist() == [[0]]


def test_no_users_are_no_lists() -> None:
    ranked = metrics.top(np.zeros((0, 4), np.float32), 2)

    assert ranked.shape == (0, 2)
    assert metrics.hits(ranked, targets(4)).shape == (0, 2)


def test_ties_go_to_the_item_that_stands_first() -> None:
    assert metrics.top(np.array([[1, 2, 2, 2, 1]], np.float32), 4).tolist() == [[1, 2, 3, 0]]


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="a score is NaN"):
        metrics.top(np.array([[0.5, np.nan, -INF]], np.float32), 1)


@given(scores, lengths)
def test_what_is_not_to_be_ranked_never_is(scores: npt.NDArray[np.float32], k: int) -> None:
    ranked = metrics.top(scores, k)

    for row, items in zip(scores, ranked, strict=True):
        assert np.all(row[items[items >= 0]] > -INF)
        assert len(set(items[items >= 0])) == np.sum(items >= 0)
