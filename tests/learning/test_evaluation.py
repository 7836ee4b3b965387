from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from progrec.learning import evaluation
from progrec.learning.baselines import Popularity
from progrec.learning.evaluation import Task
from progrec.learning.vocabulary import Rows


class Table:
    """A scorer that has every score written down, and looks up whose are asked for."""

    def __init__(self, scores: list[list[float]]) -> None:
        self.table = np.array(scores, np.float32)

    def scores(self, users: Rows) -> npt.NDArray[np.float32]:
        return self.table[users]


def matrix(rows: list[list[int]]) -> csr_array:
    return csr_array(np.array(rows, np.float32))


BOUGHT = matrix([[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
NEXT = matrix([[1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 1]])


def test_a_task_is_what_users_buy_and_never_bought_before() -> None:
    task = Task.of(BOUGHT, NEXT)

    # User 1 buys nothing, user 2 only what they had.
    assert task.users.tolist() == [0, 3]
    assert task.bought.toarray().tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]
    assert task.targets.toarray().tolist() == [[0, 1, 0, 0], [1, 0, 0, 1]]
    assert len(task) == 2


def test_a_task_without_users_has_no_figures() -> None:
    task = Task.of(BOUGHT, BOUGHT)

    assert len(task) == 0
    assert evaluation.evaluate(Popularity(np.zeros(4, np.float32)), task, 2) == {}
    with pytest.raises(ValueError, match="at least one array"):
        evaluation.measure(Popularity(np.zeros(4, np.float32)), task, 2)


def test_hand_worked_figures() -> None:
    # User 0 has item 0; of the others 3 > 1 > 2: the target 1 stands second.
    # User 3 has item 2; of the others 1 > 3 > 0: the target 3 stands second, 0 third.
    scorer = Table([[0.9, 0.5, 0.1, 0.6], [0] * 4, [0] * 4, [0.1, 0.9, 1.0, 0.2]])

    figures = evaluation.evaluate(scorer, Task.of(BOUGHT, NEXT), 2)

    second = 1 / math.log2(3)
    assert figures == pytest.approx(
        {
            "ndcg@2": (second + second / (1 + second)) / 2,
            "recall@2": (1 + 1 / 2) / 2,
            "hr@10": 1,
            "mrr": 1 / 2,
            "coverage@2": 2 / 4,
        }
    )


def test_equal_scores_are_worth_their_mean() -> None:
    # User 0 has item 0: the target is one of three equals. User 3 has item 2: two of three are.
    figures = evaluation.evaluate(Table([[1] * 4] * 4), Task.of(BOUGHT, NEXT), 1)

    assert figures["recall@1"] == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert figures["mrr"] == pytest.approx(((1 + 1 / 2 + 1 / 3) / 3 + (2 / 3 + 1 / 3 / 2)) / 2)
    assert figures["coverage@1"] == 1 / 2  # the lists are what would be shown: 1, and 0


def test_what_is_bought_is_never_ranked() -> None:
    scorer = Table([[9, 1, 0, 0]] * 4)

    figures = evaluation.evaluate(scorer, Task.of(BOUGHT, NEXT), 1)

    # User 0 has item 0: the target 1 comes first. User 3 is shown 0, which is a target of theirs.
    assert figures["recall@1"] == 1
    assert figures["mrr"] == 1


def test_popularity_is_measured_like_any_other() -> None:
    figures = evaluation.evaluate(
        Popularity(np.array([5, 4, 3, 0], np.float32)), Task.of(BOUGHT, NEXT), 1
    )

    # User 0 is shown 1, user 3 is shown 0: both right.
    assert figures == {"ndcg@1": 1, "recall@1": 1, "hr@10": 1, "mrr": 1, "coverage@1": 0.5}


def test_a_list_longer_than_the_catalogue_is_the_catalogue() -> None:
    scorer, task = Table([[4, 3, 2, 1]] * 4), Task.of(BOUGHT, NEXT)

    assert list(evaluation.evaluate(scorer, task, 9)) == [
        "ndcg@9",
        "recall@9",
        "hr@10",
        "mrr",
        "coverage@9",
    ]
    assert [row["k"] for row in evaluation.measure(scorer, task, 9).curve()] == [1, 2, 3, 4]


def test_the_hit_rate_is_that_of_ten_items() -> None:
    # One target at place 10, one at place 11.
    task = Task.of(matrix([[0] * 12] * 2), matrix([[0] * 9 + [1, 0, 0], [0] * 10 + [1, 0]]))
    scorer = Table([list(range(12, 0, -1))] * 2)

    assert evaluation.evaluate(scorer, task, 1)["hr@10"] == 1 / 2
    assert evaluation.evaluate(scorer, task, 12)["hr@10"] == 1 / 2


def test_what_is_measured_of_each_user_and_of_the_lists() -> None:
    scorer = Table([[0.9, 0.5, 0.1, 0.6], [0] * 4, [0] * 4, [0.1, 0.9, 1.0, 0.2]])
    tail = np.array([False, True, False, False])

    measured = evaluation.measure(scorer, Task.of(BOUGHT, NEXT), 2)

    assert measured.lists.tolist() == [[3, 1], [1, 3]]
    assert {name: values.tolist() for name, values in measured.by_user().items()} == {
        "ndcg@2": pytest.approx([0.6309, 0.3869], abs=1e-4),
        "recall@2": [1, 0.5],
        "hr@10": [1, 1],
        "mrr": [0.5, 0.5],
    }
    everybody = measured.of_lists(np.array([True, True]), tail)
    assert everybody == {
        "coverage@2": 0.5,
        # The shares 0, 0, 1/2 and 1/2 weigh -3, -1, 1 and 3.
        "gini@2": pytest.approx(2 / 3),
        "long_tail@2": 0.5,
    }
    assert measured.of_lists(np.array([True, False]), tail) == everybody


def test_among_new_items_only_these_are_targets() -> None:
    # User 3's list is 1, 3, 0; of the targets 0 and 3 only 0 is new. User 0's target is not.
    scorer = Table([[0.9, 0.5, 0.1, 0.6], [0] * 4, [0] * 4, [0.1, 0.9, 1.0, 0.2]])

    measured = evaluation.measure(scorer, Task.of(BOUGHT, NEXT), 2)
    among = measured.among(np.array([True, False, True, False]))

    assert {name: values.tolist() for name, values in among.items()} == {
        "ndcg@2": [0],
        "recall@2": [0],
        "hr@10": [1],
        "mrr": pytest.approx([1 / 3]),
    }
    assert measured.among(np.zeros(4, bool))["mrr"].tolist() == []


def test_a_scorer_keeps_its_scores() -> None:
    scorer = Table([[4, 3, 2, 1]] * 4)
    shared = scorer.table.copy()
    scorer.scores = lambda users: scorer.table[: len(users)]  # a view, not a copy

    evaluation.evaluate(scorer, Task.of(BOUGHT, NEXT), 2)

    assert np.array_equal(scorer.table, shared)


bits = st.lists(st.lists(st.integers(0, 1), min_size=5, max_size=5), min_size=6, max_size=6)
levels = st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=6, max_size=6)


@given(bits, bits, levels, st.integers(1, 7))
def test_the_curves_last_row_is_what_evaluate_says(
    bought: list[list[int]], after: list[list[int]], scores: list[list[int]], k: int
) -> None:
    task = Task.of(matrix(bought), matrix(after))
    assume(len(task) > 0)

    figures = evaluation.evaluate(Table(scores), task, k)
    rows = evaluation.measure(Table(scores), task, k).curve()

    assert all(figures[f"{name}@{k}"] == rows[-1][name] for name in ("ndcg", "recall", "coverage"))
    assert [row["k"] for row in rows] == list(range(1, min(k, 5) + 1))
    assert all(tuple(row) == evaluation.COLUMNS for row in rows)


@given(bits, bits, levels)
def test_batches_do_not_show_in_the_figures(
    bought: list[list[int]], after: list[list[int]], scores: list[list[int]]
) -> None:
    task = Task.of(matrix(bought), matrix(after))
    whole = evaluation.evaluate(Table(scores), task, 3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "BATCH", 2)
        assert evaluation.evaluate(Table(scores), task, 3) == whole
