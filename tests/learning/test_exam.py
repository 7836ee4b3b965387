from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.exams import FIRST, LAST, exam_of
from learning.shop import interactions_of
from progrec.learning.bundle import Bundle
from progrec.learning.exam import Exam
from scored import bundle_of

LOG3 = 1 / math.log2(3)  # what the second place is worth


def named(exam: Exam) -> dict[str, tuple[set[str], set[str]]]:
    """User -> what is to be found, and what is not ranked."""
    return {
        user: tuple(
            {str(exam.items.ids[item]) for item in part[[row]].nonzero()[1]}
            for part in (exam.task.targets, exam.task.bought)
        )
        for row, user in enumerate(exam.users.ids)
    }


@pytest.fixture
def pair() -> tuple[Bundle, Bundle]:
    """Two bundles that share ann and bob and the items a to d, each in an order of its own."""
    champion = bundle_of(
        {
            "ann": {"a": 9, "b": 1, "c": 3, "d": 2},
            "bob": {"a": 1, "b": 2, "c": 9, "d": 3},
            "cem": {"a": 1, "b": 1, "c": 1, "d": 1},
        },
        [
            ("ann", "a", "2020-01-05"),
            ("ann", "b", "2020-01-08"),
            ("bob", "a", "2020-01-09"),
            ("bob", "c", "2020-01-15"),
            ("cem", "a", "2020-01-10"),
        ],
    )
    challenger = bundle_of(
        {
            "bob": {"d": 0, "c": 9, "b": 5, "a": 5, "e": 0},
            "dan": {"d": 1, "c": 1, "b": 1, "a": 1, "e": 1},
            "ann": {"d": 0, "c": 4, "b": 3, "a": 9, "e": 5},
        },
        [
            ("ann", "a", "2020-01-10"),  # again: the first time was before
            ("ann", "c", "2020-01-14"),
            ("bob", "a", "2020-01-09"),
            ("bob", "e", "2020-01-07"),
            ("dan", "d", "2020-01-10"),
        ],
    )
    return champion, challenger


def test_the_exam_asks_what_users_of_both_bought_first_in_the_days(
    pair: tuple[Bundle, Bundle],
) -> None:
    assert named(exam_of(*pair)) == {"ann": ({"b", "c"}, {"a"}), "bob": ({"a"}, {"c", "e"})}


def test_hand_worked_marks(pair: tuple[Bundle, Bundle]) -> None:
    exam = exam_of(*pair)

    result = exam.recent(*pair, k=2)

    # The champion ranks c, d, b for ann and d, b, a for bob; it does not know e.
    # The challenger ranks e, c, b, d for ann, and a beside b before d for bob.
    ideal = 1 + LOG3
    ann, bob = (1 / ideal, LOG3 / ideal), (0, (1 + LOG3) / 2)
    assert result is not None
    assert result.users == 2
    assert result.champion.ndcg == pytest.approx((ann[0] + bob[0]) / 2)
    assert result.challenger.ndcg == pytest.approx((ann[1] + bob[1]) / 2)
    assert result.champion.recall == pytest.approx((1 / 2 + 0) / 2)
    assert result.challenger.recall == pytest.approx((1 / 2 + 1) / 2)
    # A quarter of the resamples is ann twice, and a quarter bob.
    assert result.low == pytest.approx(ann[1] - ann[0])
    assert result.high == pytest.approx(bob[1] - bob[0])
    assert exam.frozen(*pair, k=2) == result


def test_what_a_bundle_does_not_know_it_does_not_find() -> None:
    bought = [("ann", "a", "2020-01-10")]
    champion = bundle_of({"ann": {"b": -50}}, name="none")
    challenger = bundle_of({"ann": {"a": -90, "b": 50}}, bought)

    result = exam_of(champion, challenger).recent(champion, challenger, 2)

    assert result is not None
    assert (result.champion.ndcg, result.champion.recall) == (0, 0)
    assert (result.challenger.ndcg, result.challenger.recall) == (pytest.approx(LOG3), 1)


def test_days_on_which_nobody_bought_anything_say_nothing(pair: tuple[Bundle, Bundle]) -> None:
    day = date(2021, 1, 1)
    exam = Exam.of(*pair, interactions_of([]), day, day, max_users=9, seed=0)

    assert exam.recent(*pair, k=2) is None
    assert exam.frozen(*pair, k=2) is None


def test_bundles_without_purchases_or_common_users_say_nothing() -> None:
    empty, ann, bob = (
        bundle_of({user: {"a": 1}}, [(user, "a", "2020-01-10")] * n)
        for user, n in (("ann", 0), ("ann", 1), ("bob", 1))
    )

    assert exam_of(empty, empty).recent(empty, empty, 1) is None
    assert exam_of(ann, bob).frozen(ann, bob, 1) is None


def test_a_score_that_is_no_number_comes_last(pair: tuple[Bundle, Bundle]) -> None:
    champion, challenger = pair
    broken = replace(challenger, network=replace_weights(challenger, math.nan))

    result = exam_of(champion, broken).recent(champion, broken, 2)

    assert result is not None
    assert (result.challenger.ndcg, result.challenger.recall) == (0, 0)


def replace_weights(bundle: Bundle, value: float) -> torch.nn.Module:
    network = bundle.network.grown(len(bundle.users), len(bundle.items)).eval()
    with torch.no_grad():
        network.users.weight.fill_(value)
    return network


MANY = {f"u{number:02}": {"a": 1.0, "b": 2.0} for number in range(30)}


@pytest.mark.parametrize(("max_users", "asked"), [(1, 1), (29, 29), (30, 30), (99, 30)])
def test_of_many_buyers_some_are_drawn_by_the_seed(max_users: int, asked: int) -> None:
    bundle = bundle_of(MANY, [(user, "a", "2020-01-10") for user in MANY])

    one, same, other = (
        list(exam_of(bundle, bundle, max_users=max_users, seed=seed).users.ids)
        for seed in (0, 0, 1)
    )

    assert len(set(one)) == asked
    assert one == same
    assert (one != other) == (asked < 30)


# A naive twin


def naive(champion: Bundle, challenger: Bundle, k: int) -> tuple[int, list[float]] | None:
    """How many users, then NDCG and recall of the one and of the other."""
    bundles = (champion, challenger)
    first: dict[tuple[str, str], date] = {}
    for bundle in bundles:
        for row in bundle.purchases.itertuples():
            key = str(bundle.users.ids[row.user]), str(bundle.item_ids[row.item])
            first[key] = min(row.date, first.get(key, row.date))
    marks: list[list[float]] = []
    for user in champion.users.ids:
        mine = {item: day for (buyer, item), day in first.items() if buyer == user}
        targets = {item for item, day in mine.items() if FIRST <= day <= LAST}
        if not challenger.knows(user) or not targets:
            continue
        marks.append([])
        for bundle in bundles:
            scores = dict(zip(bundle.item_ids, bundle.scores([user])[0], strict=True))
            ranked = sorted(scores.keys() - (mine.keys() - targets), key=lambda item: -scores[item])
            hits = [item in targets for item in ranked[:k]]
            gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(hits) if hit)
            ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(targets))))
            marks[-1] += [gain / ideal, sum(hits) / min(k, len(targets))]
    return (len(marks), list(np.mean(marks, axis=0))) if marks else None


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    """A bundle that gives no two products of a user the same score."""
    users = draw(st.lists(st.sampled_from(["ann", "bob", "cem", "dan"]), min_size=1, unique=True))
    items = draw(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True))
    places = range(len(items))
    scores = {
        user: dict(zip(items, map(float, draw(st.permutations(places))), strict=True))
        for user in users
    }
    bought: dict[tuple[str, str], int] = draw(
        st.dictionaries(
            st.tuples(st.sampled_from(users), st.sampled_from(items)),
            st.integers(5, 17),
            max_size=9,
        )
    )
    return bundle_of(scores, [(*key, f"2020-01-{day:02}") for key, day in bought.items()])


@settings(deadline=None, max_examples=60)
@given(bundles(), bundles(), st.integers(1, 4))
def test_the_marks_are_those_of_a_naive_twin(champion: Bundle, challenger: Bundle, k: int) -> None:
    result = exam_of(champion, challenger).recent(champion, challenger, k)

    expected = naive(champion, challenger, k)
    if expected is None:
        assert result is None
    else:
        assert result is not None
        found = [
            value
            for part in (result.champion, result.challenger)
            for value in (part.ndcg, part.recall)
        ]
        assert result.users == expected[0]
        assert found == pytest.approx(expected[1])
