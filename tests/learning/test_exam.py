from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.shop import Event, interactions_of
from progrec.learning.bundle import Bundle
from progrec.learning.config import IALSConfig, NeighboursConfig, Recipe
from progrec.learning.evidence import Evidence
from progrec.learning.exam import Exam, Result
from progrec.learning.touches import Touches
from progrec.learning.vocabulary import Vocabulary
from scored import Purchase, bundle_of, with_fusion

FIRST, LAST = date(2020, 1, 8), date(2020, 1, 14)
LOG3 = 1 / math.log2(3)  # what the second place is worth


def exam_of(champion: Bundle, challenger: Bundle, *, max_users: int = 99, seed: int = 0) -> Exam:
    return Exam.of(champion, challenger, FIRST, LAST, max_users=max_users, seed=seed)


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
    exam = Exam.of(*pair, day, day, max_users=9, seed=0)

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


# Evidence

ITEMS = ("p0", "p1", "p2", "p3")
FLAT = {user: dict.fromkeys(ITEMS, 0.0) for user in ("ann", "bob")}
BOUGHT = [("ann", "p0", "2020-01-10"), ("bob", "p1", "2020-01-10")]


def evidence_of(bundle: Bundle, events: Sequence[Event]) -> Evidence:
    day = bundle.provenance.watermark
    return Evidence.of(interactions_of(events), bundle.users, bundle.vocabulary, day)


def purchases_of(bought: Sequence[Purchase]) -> list[Event]:
    return [(day, user, item, "purchase") for user, item, day in bought]


def test_what_users_did_with_the_answers_is_kept_from_the_bundles() -> None:
    plain = bundle_of(FLAT, BOUGHT)
    events = [*purchases_of(BOUGHT), ("2020-01-09", "ann", "p1", "cart")]
    bundle = with_fusion(plain, evidence_of(plain, events), touched=1.0)
    exam = exam_of(bundle, bundle)

    marks = [result.champion.ndcg for result in results(exam, bundle, bundle, 1)]

    # Knowing the answers, both would be first; nothing was done before the days, so that either
    # has four equals.
    assert exam.task.targets.nnz == 2
    assert marks == [pytest.approx(1 / 4)] * 2


def results(exam: Exam, champion: Bundle, challenger: Bundle, k: int) -> list[Result]:
    both = [exam.frozen(champion, challenger, k), exam.recent(champion, challenger, k)]
    assert None not in both
    return both


def test_the_frozen_exam_gives_both_the_champions_evidence_and_the_recent_each_its_own() -> None:
    plain = bundle_of(FLAT, BOUGHT)
    events = purchases_of(BOUGHT)
    # Everybody is said to want p3.
    good = evidence_of(plain, events)
    spoilt = replace(good, demand=good.demand + np.eye(4, dtype=np.float32)[:, [3]] * 99)
    champion = with_fusion(plain, good, purchases=1.0)
    challenger = with_fusion(plain, spoilt, purchases=1.0)
    exam = exam_of(champion, challenger)

    frozen, recent = results(exam, champion, challenger, 1)

    assert frozen.champion == frozen.challenger == recent.champion
    assert recent.champion.ndcg == 1 / 2  # p0 and p1 are bought once each
    assert recent.challenger.ndcg == 0


def test_weights_that_have_changed_show_in_both_exams() -> None:
    plain = bundle_of(FLAT, BOUGHT)
    known = evidence_of(plain, purchases_of(BOUGHT))
    champion = with_fusion(plain, known, purchases=1.0)
    challenger = with_fusion(plain, known, purchases=-1.0)

    for result in results(exam_of(champion, challenger), champion, challenger, 1):
        assert (result.champion.ndcg, result.challenger.ndcg) == (1 / 2, 0)


def test_towers_alone_are_examined_beside_a_fusion() -> None:
    better = {
        "ann": {"p0": 1, "p1": 0, "p2": 0, "p3": 0},
        "bob": {"p0": 0, "p1": 1, "p2": 0, "p3": 0},
    }
    towers = bundle_of(better, BOUGHT)
    fused = with_fusion(towers, evidence_of(towers, purchases_of(BOUGHT)), purchases=1.0)

    for one, other in ((towers, fused), (fused, towers)):
        for result in results(exam_of(one, other), one, other, 1):
            marks = {id(one): result.champion.ndcg, id(other): result.challenger.ndcg}
            assert marks == {id(towers): 1, id(fused): 1 / 2}


def reordered(bundle: Bundle, users: Sequence[int], items: Sequence[int]) -> Bundle:
    """The same bundle with its users and items in another order."""
    at_user, at_item = np.argsort(users), np.argsort(items)
    network = bundle.network.grown(len(users), len(items))
    known = bundle.evidence
    with torch.no_grad():
        network.users.weight.copy_(bundle.network.users.weight[torch.tensor(users)])
        network.items.weight.copy_(bundle.network.items.weight[torch.tensor(items)])
    moved = {"user": at_user, "item": at_item}
    purchases, history = (
        table.assign(**{name: places[table[name]] for name, places in moved.items()})
        for table in (bundle.purchases, known.touches.table())
    )
    return replace(
        bundle,
        network=network,
        users=Vocabulary(bundle.users.ids[list(users)]),
        items=bundle.items.iloc[list(items)].reset_index(drop=True),
        purchases=purchases,
        evidence=replace(
            known,
            touches=Touches.of(history.sort_values(["user", "item"], ignore_index=True)),
            demand=known.demand[list(items)],
            neighbours=known.neighbours[list(items)][:, list(items)],
        ),
    )


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(3)), st.permutations(range(4)))
def test_the_order_of_users_and_items_does_not_matter(users: list[int], items: list[int]) -> None:
    scores = np.random.default_rng(0).normal(size=(3, 4))
    plain = bundle_of(
        {
            user: dict(zip(ITEMS, map(float, row), strict=True))
            for user, row in zip(("ann", "bob", "cem"), scores, strict=True)
        },
        [*BOUGHT, ("cem", "p3", "2020-01-14"), ("cem", "p0", "2020-01-03")],
    )
    events = [
        *purchases_of(BOUGHT),
        ("2020-01-14", "cem", "p3", "purchase"),
        ("2020-01-03", "cem", "p0", "purchase"),
        ("2020-01-20", "ann", "p2", "view"),
    ]
    neighbours = NeighboursConfig(regularizations=(1.0,), max_items=4, kept=3)
    known = evidence_of(plain, events).with_neighbours(neighbours, 0.1)
    bundle = with_fusion(plain, known, towers=1.0, neighbours=2.0, purchases_7=0.3, touched=0.5)
    np.testing.assert_allclose(
        reordered(bundle, users, items).scores(["bob"]), bundle.scores(["bob"])[:, items], rtol=1e-5
    )

    other = reordered(bundle, users, items)

    for result in results(exam_of(bundle, other), bundle, other, 4):
        assert result.users == 3
        assert result.challenger.ndcg == pytest.approx(result.champion.ndcg)
        assert result.low == pytest.approx(0, abs=1e-6)
        assert result.high == pytest.approx(0, abs=1e-6)


def test_an_exam_leaves_the_bundles_as_they_are() -> None:
    plain = bundle_of(FLAT, BOUGHT)
    known = evidence_of(plain, purchases_of(BOUGHT))
    bundle = with_fusion(plain, known, purchases=1.0)
    before = known.touches.table().copy(), known.demand.copy(), bundle.purchases.copy()

    results(exam_of(bundle, bundle), bundle, bundle, 1)

    pd.testing.assert_frame_equal(known.touches.table(), before[0])
    assert (known.demand == before[1]).all()
    pd.testing.assert_frame_equal(bundle.purchases, before[2])


def test_users_are_embedded_by_what_they_liked_before_the_days() -> None:
    start = IALSConfig(regularization=0.1, unobserved_weight=0.3, iterations=1, deviation=0.1)
    plain = replace(bundle_of(FLAT, BOUGHT), recipe=Recipe(start=start, epochs=0))
    events = [*purchases_of(BOUGHT), ("2020-01-02", "ann", "p2", "view")]
    bundle = replace(plain, evidence=evidence_of(plain, events))
    with torch.no_grad():
        bundle.network.users.weight.fill_(9)  # they know the answers

    result = exam_of(bundle, bundle).recent(bundle, bundle, k=1)

    # Ann liked p2 before, which is no answer; of bob nothing is known: four equals.
    assert result is not None
    assert result.champion.ndcg == pytest.approx((0 + 1 / 4) / 2)
