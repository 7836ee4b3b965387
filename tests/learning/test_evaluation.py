from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
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
    assert evaluation.curve(Popularity(np.zeros(4, np.float32)), task, 2) == []


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
            "hr@2": 1,
            "coverage@2": 2 / 4,
        }
    )


def test_what_is_bought_is_never_ranked() -> None:
    scorer = Table([[9, 1, 0, 0]] * 4)

    figures = evaluation.evaluate(scorer, Task.of(BOUGHT, NEXT), 1)

    # User 0 has item 0: the target 1 comes first. User 3 is shown 0, which is a target of theirs.
    assert figures["hr@1"] == 1


def test_popularity_is_measured_like_any_other() -> None:
    figures = evaluation.evaluate(
        Popularity(np.array([5, 4, 3, 0], np.float32)), Task.of(BOUGHT, NEXT), 1
    )

    # User 0 is shown 1, user 3 is shown 0: both right.
    assert figures == {"ndcg@1": 1, "recall@1": 1, "hr@1": 1, "coverage@1": 0.5}


def test_a_list_longer_than_the_catalogue_is_the_catalogue() -> None:
    scorer, task = Table([[4, 3, 2, 1]] * 4), Task.of(BOUGHT, NEXT)

    assert list(evaluation.evaluate(scorer, task, 9)) == [
        "ndcg@9",
        "recall@9",
        "hr@9",
        "coverage@9",
    ]
    assert [row["k"] for row in evaluation.curve(scorer, task, 9)] == [1, 2, 3, 4]


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

    figures = evaluation.evaluate(Table(scores), task, k)
    rows = evaluation.curve(Table(scores), task, k)

    assert figures == ({f"{name}@{k}": rows[-1][name] for name in COLUMNS} if rows else {})
    assert len(rows) == (min(k, 5) if len(task) else 0)
    assert all(tuple(row) == evaluation.COLUMNS for row in rows)


COLUMNS = [name for name in evaluation.COLUMNS if name != "k"]


@given(bits, bits, levels)
def test_batches_do_not_show_in_the_figures(
    bought: list[list[int]], after: list[list[int]], scores: list[list[int]]
) -> None:
    task = Task.of(matrix(bought), matrix(after))
    whole = evaluation.evaluate(Table(scores), task, 3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "BATCH", 2)
        assert evaluation.evaluate(Table(scores), task, 3) == whole
