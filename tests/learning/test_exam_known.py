"""What an exam tells the bundles, and what it keeps from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from learning.exams import FIRST, LAST, exam_of
from learning.shop import Event, interactions_of
from progrec.learning.bundle import Bundle
from progrec.learning.config import IALSConfig, NeighboursConfig, Recipe
from progrec.learning.evidence import Evidence
from progrec.learning.exam import Exam, Result
from progrec.learning.touches import Touches
from progrec.learning.vocabulary import Vocabulary
from scored import Purchase, bundle_of, with_fusion

ITEMS = ("p0", "p1", "p2", "p3")
FLAT = {user: dict.fromkeys(ITEMS, 0.0) for user in ("ann", "bob")}
BOUGHT = [("ann", "p0", "2020-01-10"), ("bob", "p1", "2020-01-10")]
SOLD: list[Event] = [("2020-01-02", "eve", item, "purchase") for item in ("p0", "p1")]


def purchases_of(bought: Sequence[Purchase]) -> list[Event]:
    return [(day, user, item, "purchase") for user, item, day in bought]


def fused(bundle: Bundle, **weights: float) -> Bundle:
    return with_fusion(bundle, bundle.evidence, **weights)


def with_neighbour(bundle: Bundle, item: str, other: str) -> Bundle:
    """The bundle to which who likes the one item will like the other."""
    row, column = bundle.vocabulary.rows([item, other])
    found = np.zeros((len(bundle.items), len(bundle.items)), np.float32)
    found[row, column] = 1
    return replace(bundle, evidence=replace(bundle.evidence, neighbours=csr_array(found)))


def results(exam: Exam, champion: Bundle, challenger: Bundle, k: int) -> list[Result]:
    both = [exam.frozen(champion, challenger, k), exam.recent(champion, challenger, k)]
    assert None not in both
    return both


def test_what_users_did_on_the_days_is_kept_from_the_bundles() -> None:
    bundle = fused(bundle_of(FLAT, BOUGHT), touched=1.0)
    exam = exam_of(bundle, bundle, [*purchases_of(BOUGHT), ("2020-01-09", "ann", "p0", "cart")])

    marks = [result.champion.ndcg for result in results(exam, bundle, bundle, 1)]

    # Knowing the answers, both would be first; nothing was done before the days, so that either
    # has four equals.
    assert exam.task.targets.nnz == 2
    assert marks == [pytest.approx(1 / 4)] * 2


def test_what_users_did_before_the_days_is_told_though_they_did_it_again() -> None:
    bundle = fused(bundle_of(FLAT, BOUGHT), touched=1.0)
    looks = [("2020-01-05", user, item, "view") for user, item, _ in BOUGHT]
    exam = exam_of(bundle, bundle, [*looks, *purchases_of(BOUGHT)])

    assert [result.champion.ndcg for result in results(exam, bundle, bundle, 1)] == [1, 1]


def test_neighbours_are_the_champions_in_the_frozen_exam_and_each_ones_own_in_the_recent() -> None:
    bundle = fused(bundle_of(FLAT, BOUGHT[:1]), neighbours=1.0)
    champion, challenger = (with_neighbour(bundle, "p2", item) for item in ("p0", "p3"))
    exam = exam_of(champion, challenger, [("2020-01-05", "ann", "p2", "view")])

    frozen, recent = results(exam, champion, challenger, 1)

    assert (frozen.champion.ndcg, frozen.challenger.ndcg) == (1, 1)
    assert (recent.champion.ndcg, recent.challenger.ndcg) == (1, 0)


def test_what_came_on_the_days_is_neither_ranked_nor_asked_about() -> None:
    scores = {"ann": {"p0": 1.0, "p1": 0.0, "new": 9.0}, "bob": {"p0": 0.0, "p1": 1.0, "new": 9.0}}
    bundle = fused(bundle_of(scores, [*BOUGHT, ("ann", "new", "2020-01-09")]), towers=1.0)
    bundle = with_neighbour(bundle, "p0", "new")
    done = interactions_of([*SOLD, ("2020-01-09", "ann", "new", "purchase")])

    exam = Exam.of(bundle, bundle, done, FIRST, LAST, max_users=9, seed=0)

    assert list(exam.items.ids) == ["p0", "p1"]
    assert exam.task.targets.toarray().tolist() == [[1, 0], [0, 1]]
    assert exam.task.bought.nnz == 0
    assert [result.champion.ndcg for result in results(exam, bundle, bundle, 1)] == [1, 1]


def test_a_bundle_that_lacks_products_is_told_of_those_that_it_has() -> None:
    bought = [("ann", "p3", "2020-01-10")]
    few = {"ann": dict.fromkeys(("p3", "p1", "p2"), 0.0)}
    all_of_them, without = (fused(bundle_of(scores, bought), touched=1.0) for scores in (FLAT, few))

    for one, other in ((all_of_them, without), (without, all_of_them)):
        exam = exam_of(one, other, [("2020-01-05", "ann", "p3", "view")])
        for result in results(exam, one, other, 1):
            assert (result.champion.ndcg, result.challenger.ndcg) == (1, 1)


def test_where_nothing_is_known_of_before_the_days_there_is_nothing_to_ask() -> None:
    bundle = fused(bundle_of(FLAT, BOUGHT), touched=1.0)
    done = interactions_of(purchases_of(BOUGHT))

    exam = Exam.of(bundle, bundle, done, FIRST, LAST, max_users=9, seed=0)

    assert exam.frozen(bundle, bundle, 1) is None
    assert exam.recent(bundle, bundle, 1) is None


def test_weights_that_have_changed_show_in_both_exams() -> None:
    plain = bundle_of(FLAT, BOUGHT)
    champion, challenger = (fused(plain, purchases=weight) for weight in (1.0, -1.0))

    for result in results(exam_of(champion, challenger, SOLD), champion, challenger, 1):
        # p0 and p1 were bought once each.
        assert (result.champion.ndcg, result.challenger.ndcg) == (1 / 2, 0)


def test_towers_alone_are_examined_beside_a_fusion() -> None:
    better = {
        "ann": {"p0": 1, "p1": 0, "p2": 0, "p3": 0},
        "bob": {"p0": 0, "p1": 1, "p2": 0, "p3": 0},
    }
    towers = bundle_of(better, BOUGHT)
    both = fused(towers, purchases=1.0)

    for one, other in ((towers, both), (both, towers)):
        for result in results(exam_of(one, other, SOLD), one, other, 1):
            marks = {id(one): result.champion.ndcg, id(other): result.challenger.ndcg}
            assert marks == {id(towers): 1, id(both): 1 / 2}


events = st.tuples(
    st.integers(3, 17).map("2020-01-{:02}".format),
    st.sampled_from(["ann", "bob", "eve"]),
    st.sampled_from([*ITEMS, "gone"]),  # of which no bundle has a row
    st.sampled_from(["view", "cart", "remove_from_cart", "purchase"]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(events, max_size=12))
def test_what_is_known_is_what_a_naive_twin_counts_before_the_days(done: list[Event]) -> None:
    bundle = bundle_of(FLAT, BOUGHT)

    exam = exam_of(bundle, bundle, done)

    before = [event for event in done if event[0] < str(FIRST) and event[2] in ITEMS]
    touches = [
        (
            str(exam.users.ids[row.user]),
            str(exam.items.ids[row.item]),
            (row.num_views, row.num_carts, row.num_removes, row.num_purchases),
            str(row.last.date()),
        )
        for row in exam.known.touches.table().itertuples()
    ]
    pairs = {(user, item) for _, user, item, _ in before if user != "eve"}
    assert sorted(touches) == [
        (
            *pair,
            tuple(
                sum(event[1:] == (*pair, kind) for event in before)
                for kind in ("view", "cart", "remove_from_cart", "purchase")
            ),
            max(day for day, *who, _ in before if tuple(who) == pair),
        )
        for pair in sorted(pairs)
    ]
    buyers = {(day, user, item) for day, user, item, kind in before if kind == "purchase"}
    ages = [
        [7 - int(day[-2:]) for day, _, each in buyers if each == item] for item in exam.items.ids
    ]
    expected = [(len(each), sum(0.5 ** (age / 7) for age in each)) for each in ages]
    np.testing.assert_allclose(exam.known.demand[:, :2], expected, rtol=1e-5)


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
        ("2020-01-04", "ann", "p2", "view"),
    ]
    neighbours = NeighboursConfig(regularizations=(0.1,), max_items=4, kept=3)
    day = plain.provenance.watermark
    known = Evidence.of(interactions_of(events), plain.users, plain.vocabulary, day)
    known = known.with_neighbours(neighbours)
    bundle = with_fusion(plain, known, towers=1.0, neighbours=2.0, purchases_7=0.3, touched=0.5)
    np.testing.assert_allclose(
        reordered(bundle, users, items).scores(["bob"]), bundle.scores(["bob"])[:, items], rtol=1e-5
    )

    other = reordered(bundle, users, items)

    for result in results(exam_of(bundle, other, events), bundle, other, 4):
        assert result.users == 3
        assert result.challenger.ndcg == pytest.approx(result.champion.ndcg)
        assert result.low == pytest.approx(0, abs=1e-6)
        assert result.high == pytest.approx(0, abs=1e-6)


def test_an_exam_leaves_what_it_is_given_as_it_is() -> None:
    bundle = fused(bundle_of(FLAT, BOUGHT), purchases=1.0)
    done = interactions_of([*SOLD, *purchases_of(BOUGHT)])
    network = {name: value.clone() for name, value in bundle.network.state_dict().items()}
    tables = done.copy(), bundle.purchases.copy()

    exam = Exam.of(bundle, bundle, done, FIRST, LAST, max_users=9, seed=0)
    results(exam, bundle, bundle, 1)

    pd.testing.assert_frame_equal(done, tables[0])
    pd.testing.assert_frame_equal(bundle.purchases, tables[1])
    for name, value in bundle.network.state_dict().items():
        assert torch.equal(value, network[name]), name


def from_least_squares(bundle: Bundle) -> Bundle:
    """The bundle, said to have started so, whose users' rows know the answers."""
    start = IALSConfig(regularization=0.1, unobserved_weight=0.3, iterations=1, deviation=0.1)
    with torch.no_grad():
        bundle.network.users.weight.fill_(9)
    return replace(bundle, recipe=Recipe(start=start, epochs=0))


def test_users_are_embedded_by_what_they_liked_before_the_days() -> None:
    bundle = from_least_squares(bundle_of(FLAT, BOUGHT))
    events = [*purchases_of(BOUGHT), ("2020-01-02", "ann", "p2", "view")]

    result = exam_of(bundle, bundle, events).recent(bundle, bundle, k=1)

    # Ann liked p2 before, which is no answer; of bob nothing is known: four equals.
    assert result is not None
    assert result.champion.ndcg == pytest.approx((0 + 1 / 4) / 2)


def test_what_was_liked_is_looked_up_by_each_bundles_own_rows() -> None:
    backwards = {user: dict.fromkeys(ITEMS[::-1], 0.0) for user in FLAT}
    one, other = (from_least_squares(bundle_of(scores, BOUGHT)) for scores in (backwards, FLAT))
    events = [("2020-01-02", "bob", "p1", "view")]

    result = exam_of(one, other, events).recent(one, other, k=1)

    assert result is not None
    for marks in (result.champion, result.challenger):
        assert marks.ndcg == pytest.approx((1 / 4 + 1) / 2)
