from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby, permutations, product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array

from progrec.learning import metrics
from progrec.learning.metrics import Places

INF = np.inf
LEVELS = [-INF, -1.5, 0.0, 0.25, 0.5, INF]

# Few distinct values, so that ties are the rule, and items that are not to be ranked.
scores = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 7)),
    elements=st.sampled_from(LEVELS),
)
few_scores = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 5)),
    elements=st.sampled_from(LEVELS),
)
lengths = st.integers(1, 9)
lists = hnp.arrays(
    np.int64, st.tuples(st.integers(0, 4), st.integers(1, 4)), elements=st.integers(-1, 5)
)


# Naive twins


def naive_top(row: list[float], k: int) -> list[int]:
    ranked = sorted(range(len(row)), key=lambda item: (-row[item], item))
    ranked = [item for item in ranked if row[item] > -INF][:k]
    return ranked + [-1] * (min(k, len(row)) - len(ranked))


def orders(row: list[float]) -> Iterator[list[int]]:
    """Every order of the ranked items that their scores allow."""
    ranked = sorted((item for item in range(len(row)) if row[item] > -INF), key=lambda i: -row[i])
    equals = [list(group) for _, group in groupby(ranked, key=lambda item: row[item])]
    for order in product(*(permutations(group) for group in equals)):
        yield [item for group in order for item in group]


def naive_ndcg(ranked: list[int], wanted: set[int], k: int) -> float:
    gains = sum(1 / math.log2(place + 2) for place, item in enumerate(ranked[:k]) if item in wanted)
    return gains / sum(1 / math.log2(place + 2) for place in range(min(k, len(wanted))))


def naive_recall(ranked: list[int], wanted: set[int], k: int) -> float:
    return len(wanted.intersection(ranked[:k])) / min(k, len(wanted))


def naive_hit_rate(ranked: list[int], wanted: set[int], k: int) -> float:
    return float(not wanted.isdisjoint(ranked[:k]))


def naive_reciprocal_rank(ranked: list[int], wanted: set[int], k: int) -> float:
    return next((1 / place for place, item in enumerate(ranked, 1) if item in wanted), 0.0)


def naive_gini(counts: list[int]) -> float:
    """Half the mean difference of two different items, relative to the mean."""
    n = len(counts)
    if n == 1 or sum(counts) == 0:
        return 0.0
    differences = sum(abs(one - other) for one in counts for other in counts)
    return differences / (2 * (n - 1) * sum(counts))


def naive_tail(purchases: list[int]) -> list[bool]:
    return [
        sum(more for more in purchases if more > own) >= metrics.HEAD * sum(purchases)
        for own in purchases
    ]


def targets(n_items: int, *wanted: set[int]) -> csr_array:
    dense = np.zeros((len(wanted), n_items), np.float32)
    for user, items in enumerate(wanted):
        dense[user, list(items)] = 1
    return csr_array(dense)


def places(scores: list[list[float]], *wanted: set[int]) -> Places:
    return metrics.places(np.array(scores, np.float32), targets(len(scores[0]), *wanted))


def wanted_of(data: st.DataObject, scores: npt.NDArray[np.float32]) -> list[set[int]]:
    n_users, n_items = scores.shape
    items = st.sets(st.integers(0, n_items - 1), min_size=1)
    return data.draw(st.lists(items, min_size=n_users, max_size=n_users))


@given(scores, lengths)
def test_top_agrees_with_sorting(scores: npt.NDArray[np.float32], k: int) -> None:
    assert metrics.top(scores, k).tolist() == [naive_top(row, k) for row in scores.tolist()]


@given(few_scores, lengths, st.data())
def test_accuracy_is_the_mean_over_all_orders_of_equals(
    scores: npt.NDArray[np.float32], k: int, data: st.DataObject
) -> None:
    wanted = wanted_of(data, scores)
    subject = metrics.places(scores, targets(scores.shape[1], *wanted))

    for found, twin in (
        (metrics.ndcg(subject, k), naive_ndcg),
        (metrics.recall(subject, k), naive_recall),
        (metrics.hit_rate(subject, k), naive_hit_rate),
        (metrics.mrr(subject), naive_reciprocal_rank),
    ):
        expected = [
            np.mean([twin(order, items, k) for order in orders(row)])
            for row, items in zip(scores.tolist(), wanted, strict=True)
        ]
        np.testing.assert_allclose(found, expected, atol=1e-12)


@given(scores, lengths, st.data())
def test_accuracy_does_not_know_the_order_of_the_rows(
    scores: npt.NDArray[np.float32], k: int, data: st.DataObject
) -> None:
    wanted = targets(scores.shape[1], *wanted_of(data, scores))
    order = data.draw(st.permutations(range(scores.shape[1])))
    one = metrics.places(scores, wanted)
    other = metrics.places(scores[:, order], csr_array(wanted.toarray()[:, order]))

    for metric in (metrics.ndcg, metrics.recall, metrics.hit_rate):
        np.testing.assert_allclose(metric(one, k), metric(other, k), atol=1e-12)
    np.testing.assert_allclose(metrics.mrr(one), metrics.mrr(other), atol=1e-12)


@given(scores, lengths, st.data())
def test_accuracy_keeps_its_bounds_and_a_longer_list_catches_more(
    scores: npt.NDArray[np.float32], k: int, data: st.DataObject
) -> None:
    subject = metrics.places(scores, targets(scores.shape[1], *wanted_of(data, scores)))
    ndcg, recall = metrics.ndcg(subject, k), metrics.recall(subject, k)
    hit_rate, mrr = metrics.hit_rate(subject, k), metrics.mrr(subject)

    for values in (ndcg, recall, hit_rate, mrr):
        assert values.shape == (len(scores),)
        assert np.all((values >= 0) & (values <= 1 + 1e-12))
    assert np.all(recall <= hit_rate + 1e-12)
    assert np.all(hit_rate <= metrics.hit_rate(subject, k + 1) + 1e-12)
    # A first target beyond the list stands at k + 1 at best.
    assert np.all(mrr <= hit_rate + (1 - hit_rate) / (k + 1) + 1e-12)


# Hand-worked cases


def test_a_hand_worked_ranking() -> None:
    # Targets at places 2 and 4, and a third at place 6.
    subject = places([[9, 8, 7, 6, 5, 4, 3]], {1, 3, 5})
    gain = 1 / math.log2(3) + 1 / math.log2(5)  # 0.6309 + 0.4307
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)  # 1 + 0.6309 + 0.5

    assert metrics.ndcg(subject, 4)[0] == pytest.approx(gain / ideal)
    assert metrics.ndcg(subject, 4)[0] == pytest.approx(0.49818925)
    assert metrics.recall(subject, 4)[0] == pytest.approx(2 / 3)
    assert metrics.hit_rate(subject, 1)[0] == 0
    assert metrics.hit_rate(subject, 2)[0] == 1
    assert metrics.mrr(subject)[0] == 0.5


def test_hand_worked_ties() -> None:
    # One item is better; of the four equals behind it, at places 2 to 5, two are targets.
    subject = places([[9, 5, 5, 5, 5, 1]], {1, 2})

    assert subject.above.tolist() == [1, 1]
    assert subject.equal.tolist() == [4, 4]
    # The list of three holds two of the four equals.
    assert metrics.recall(subject, 3)[0] == pytest.approx(0.5)
    assert metrics.hit_rate(subject, 3)[0] == pytest.approx(1 - 1 / 6)
    gain = 2 / 4 * (1 / math.log2(3) + 1 / math.log2(4))
    assert metrics.ndcg(subject, 3)[0] == pytest.approx(gain / (1 + 1 / math.log2(3)))
    # The first target stands at 2, 3 or 4 in 3, 2 and 1 of the 6 cases.
    assert metrics.mrr(subject)[0] == pytest.approx((3 / 2 + 2 / 3 + 1 / 4) / 6)


def test_targets_in_two_groups_of_equals() -> None:
    # A target among the two best, and one among the two behind these.
    subject = places([[9, 9, 5, 5]], {0, 2})

    assert metrics.hit_rate(subject, 1)[0] == pytest.approx(1 / 2)
    assert metrics.hit_rate(subject, 2)[0] == 1
    assert metrics.recall(subject, 3)[0] == pytest.approx((1 + 1 / 2) / 2)
    assert metrics.mrr(subject)[0] == pytest.approx((1 + 1 / 2) / 2)


# Limits


@pytest.mark.parametrize("n_targets", [1, 2, 3, 5])
def test_a_perfect_list_is_worth_one(n_targets: int) -> None:
    subject = places([[9, 8, 7, 6, 5]], set(range(n_targets)))

    assert metrics.ndcg(subject, 3) == pytest.approx(1)
    assert metrics.recall(subject, 3) == pytest.approx(1)
    assert metrics.hit_rate(subject, 3) == 1
    assert metrics.mrr(subject) == 1


def test_a_list_without_a_hit_is_worth_nothing() -> None:
    subject = places([[9, 8, 7, 6, 5]], {3, 4})

    assert metrics.ndcg(subject, 3) == 0
    assert metrics.recall(subject, 3) == 0
    assert metrics.hit_rate(subject, 3) == 0
    assert metrics.mrr(subject) == 1 / 4  # of the full ranking


@pytest.mark.parametrize("n", [2, 50_000])
def test_a_scorer_that_knows_nothing_is_worth_chance(n: int) -> None:
    subject = places([[0.5] * n], {n - 1})

    assert metrics.recall(subject, 1) == pytest.approx(1 / n)
    assert metrics.hit_rate(subject, 1) == pytest.approx(1 / n)
    assert metrics.ndcg(subject, n) == pytest.approx(np.mean(1 / np.log2(np.arange(n) + 2)))
    assert metrics.mrr(subject) == pytest.approx(np.mean(1 / (np.arange(n) + 1)))


def test_where_all_equals_are_targets_their_order_is_nothing() -> None:
    subject = places([[1.0] * 6], set(range(6)))

    assert metrics.ndcg(subject, 4) == pytest.approx(1)
    assert metrics.recall(subject, 4) == pytest.approx(1)
    assert metrics.hit_rate(subject, 1) == 1
    assert metrics.mrr(subject) == 1


def test_a_target_that_is_not_ranked_is_missed_at_any_length() -> None:
    subject = places([[1, -INF, -INF], [-INF, -INF, -INF]], {0, 1}, {2})

    assert metrics.recall(subject, 3).tolist() == [0.5, 0]
    assert metrics.hit_rate(subject, 3).tolist() == [1, 0]
    assert metrics.mrr(subject).tolist() == [1, 0]
    assert metrics.ndcg(subject, 3)[1] == 0


def test_a_row_with_nothing_to_rank_is_a_list_of_nothing() -> None:
    ranked = metrics.top(np.full((1, 3), -INF, np.float32), 2)

    assert ranked.tolist() == [[-1, -1]]
    assert metrics.coverage(ranked, 3) == 0
    assert metrics.gini(ranked, 3) == 0
    assert metrics.long_tail_share(ranked, np.ones(3, bool)) == 0


def test_one_item_is_a_list_of_one_however_long_it_is_asked_for() -> None:
    ranked = metrics.top(np.array([[0.5]], np.float32), 20)

    assert ranked.tolist() == [[0]]
    assert metrics.gini(ranked, 1) == 0
    assert metrics.ndcg(places([[0.5]], {0}), 20) == 1


def test_no_users_are_no_lists() -> None:
    subject = metrics.places(np.zeros((0, 4), np.float32), targets(4))

    assert metrics.top(np.zeros((0, 4), np.float32), 2).shape == (0, 2)
    for values in (metrics.ndcg(subject, 2), metrics.hit_rate(subject, 2), metrics.mrr(subject)):
        assert values.shape == (0,)


def test_ties_go_to_the_item_that_stands_first() -> None:
    assert metrics.top(np.array([[1, 2, 2, 2, 1]], np.float32), 4).tolist() == [[1, 2, 3, 0]]


def test_a_score_that_is_no_number_is_refused() -> None:
    scores = np.array([[0.5, np.nan, -INF]], np.float32)

    with pytest.raises(ValueError, match="a score is NaN"):
        metrics.top(scores, 1)
    with pytest.raises(ValueError, match="a score is NaN"):
        metrics.places(scores, targets(3, {0}))


@given(scores, lengths)
def test_what_is_not_to_be_ranked_never_is(scores: npt.NDArray[np.float32], k: int) -> None:
    ranked = metrics.top(scores, k)

    for row, items in zip(scores, ranked, strict=True):
        assert np.all(row[items[items >= 0]] > -INF)
        assert len(set(items[items >= 0])) == np.sum(items >= 0)


# Places


def test_the_places_of_batches_are_those_of_the_whole() -> None:
    table, wanted = [[3, 2, 2], [1, 1, 1], [0, 5, 9]], ({1, 2}, {0}, {1})
    whole = places(table, *wanted)

    joined = Places.joined([places(table[:2], *wanted[:2]), places(table[2:], *wanted[2:])])

    assert joined.n_users == whole.n_users == 3
    for name in ("user", "item", "above", "equal", "n_targets"):
        assert getattr(joined, name).tolist() == getattr(whole, name).tolist()


def test_among_some_items_the_ranking_stays_that_of_all() -> None:
    subject = places([[9, 8, 7], [9, 8, 7], [9, 8, 7]], {0, 2}, {1}, {2})

    some = subject.among(np.array([False, False, True]))

    assert some.n_users == 2  # the first and the last
    assert some.n_targets.tolist() == [1, 1]
    assert metrics.mrr(some).tolist() == [1 / 3, 1 / 3]
    assert subject.among(np.zeros(3, bool)).n_users == 0


# Lists


@given(lists)
def test_figures_of_lists_agree_with_their_definitions(ranked: npt.NDArray[np.int64]) -> None:
    shown = [item for row in ranked.tolist() for item in row if item >= 0]
    tail = np.array([True, False, False, True, True, False])

    assert metrics.coverage(ranked, 6) == len(set(shown)) / 6
    assert metrics.gini(ranked, 6) == pytest.approx(
        naive_gini([shown.count(item) for item in range(6)])
    )
    share = sum(tail[item] for item in shown) / len(shown) if shown else 0
    assert metrics.long_tail_share(ranked, tail) == pytest.approx(share)


def test_a_hand_worked_gini() -> None:
    # The shares 0, 0, 1/4 and 3/4 weigh -3, -1, 1 and 3.
    assert metrics.gini(np.array([[0], [0], [0], [1]]), 4) == pytest.approx((1 / 4 + 9 / 4) / 3)
    assert metrics.gini(np.array([[0, 1], [2, 3]]), 4) == 0
    assert metrics.gini(np.array([[2], [2]]), 4) == pytest.approx(1)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_the_long_tail_agrees_with_its_definition(purchases: list[int]) -> None:
    assert metrics.long_tail(np.array(purchases, np.float64)).tolist() == naive_tail(purchases)


def test_a_hand_worked_long_tail() -> None:
    # 6 and 2 make 8 of the 10 purchases; the one that sold 1 is outside, as is what never sold.
    assert metrics.long_tail(np.array([1.0, 6, 0, 2, 1])).tolist() == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_equally_popular_items_are_on_one_side() -> None:
    # One of the equals is needed for 80 %.
    assert not metrics.long_tail(np.array([6.0, 2, 2, 2])).any()
