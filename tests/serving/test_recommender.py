from __future__ import annotations

import sqlite3
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progrec.learning.touches import Done
from progrec.serving.candidates import Candidate, ScoredCatalogue, candidates
from progrec.serving.recommender import Recommendation, strategy
from progrec.serving.rules import Entry
from progrec.serving.store import Event, Store
from serving.visits import recommend
from serving.written import record

NOON = datetime(2020, 2, 1, 12, tzinfo=UTC)

ITEMS = ["b0", "b1", "b2", "b3", "c0", "c1", "c2", "x"]
item_sets = st.sets(st.sampled_from([*ITEMS, "unheard of"]))
users = st.sampled_from(["ann", "bob", "new"])


def names(found: list[Candidate]) -> list[str]:
    return [candidate.product_id for candidate in found]


def sources(found: list[Candidate] | list[Recommendation]) -> list[str]:
    return [candidate.source for candidate in found]


def naive(
    shop: Any, user: str, n: int, exclude: set[str], touched: set[str], done: Collection[str] = ()
) -> list[tuple[str, str]]:
    """The ladder in the slowest words."""
    by_popularity = sorted(ITEMS, key=lambda item: -shop.popularity[ITEMS.index(item)])
    category = dict(zip(ITEMS, shop.category, strict=True))
    liked = {category.get(item) for item in touched} - {None}
    ladder = []
    if user in shop.probabilities:
        order = sorted(ITEMS, key=lambda item: -shop.probabilities[user][ITEMS.index(item)])
        ladder += [(item, "model") for item in order]
    elif "c1" in done:
        order = sorted(ITEMS, key=lambda item: -shop.like_c1[ITEMS.index(item)])
        ladder += [(item, "similar") for item in order]
    ladder += [(item, "category_popular") for item in by_popularity if category[item] in liked]
    ladder += [(item, "popular") for item in by_popularity]
    first = {item: rung for item, rung in reversed(ladder) if item not in exclude}
    return [(item, rung) for item, rung in ladder if first.get(item) == rung][:n]


# Candidates


def test_the_model_comes_first_for_whom_it_knows(shop: ScoredCatalogue):
    found = candidates(shop, "ann", n=4, exclude=(), touched=["b0"])
    assert names(found) == ["c0", "c1", "c2", "b3"]
    assert sources(found) == ["model"] * 4
    assert [candidate.score for candidate in found] == pytest.approx([0.9, 0.9, 0.9, 0.4])


def test_a_stranger_gets_what_is_popular(shop: ScoredCatalogue):
    found = candidates(shop, "new", n=3, exclude=(), touched=())
    assert found == [
        Candidate("b0", 0.2, "popular"),
        Candidate("c0", 0.2, "popular"),
        Candidate("b1", 0.15, "popular"),
    ]


def test_what_a_stranger_touched_says_which_categories(shop: ScoredCatalogue):
    found = candidates(shop, "new", n=5, exclude=["c1"], touched=["c2", "x", "unheard of"])
    assert names(found) == ["c0", "c2", "b0", "b1", "b2"]
    assert sources(found) == ["category_popular"] * 2 + ["popular"] * 3


def test_a_stranger_gets_what_is_like_what_they_looked_at(shop: ScoredCatalogue):
    done = [Done("c1", "view", 2, NOON.date())]
    found = candidates(shop, "new", n=3, exclude=["c1"], touched=["c1"], done=done)
    assert [(each.product_id, each.source) for each in found] == [
        ("c2", "similar"),
        ("x", "similar"),
        ("c0", "similar"),
    ]


def test_the_model_is_told_only_what_it_does_not_know(shop: Any, store: Store):
    class Listening(type(shop)):
        def ranking_after(self, user_id, done):
            told.append((user_id, [each.product_id for each in done]))
            return super().ranking_after(user_id, done)

    told: list[tuple[str, list[str]]] = []
    days = [NOON - timedelta(1), NOON]
    for user in ["ann", "new"]:
        record(store, [Event(day, "view", user, f"b{n}") for n, day in enumerate(days)])
        recommend(store, Listening(), user, k=3)
    assert told == [("ann", ["b1"]), ("new", ["b0", "b1"])]


def test_a_touched_product_without_a_category_leads_nowhere(shop: ScoredCatalogue):
    assert set(sources(candidates(shop, "new", n=8, exclude=(), touched=["x"]))) == {"popular"}


def test_fewer_than_a_broken_rule(shop: ScoredCatalogue):
    for user in ["ann", "new"]:
        assert names(candidates(shop, user, n=8, exclude=ITEMS[1:], touched=["b0"])) == ["b0"]
        assert candidates(shop, user, n=8, exclude=ITEMS, touched=["b0"]) == []
        assert candidates(shop, user, n=0, exclude=(), touched=["b0"]) == []


@given(users, st.integers(0, 10), item_sets, item_sets)
def test_the_ladder_agrees_with_its_naive_twin(shop, user, n, exclude, touched):
    found = candidates(shop, user, n=n, exclude=exclude, touched=sorted(touched))
    assert list(zip(names(found), sources(found), strict=True)) == naive(
        shop, user, n, exclude, touched
    )


class Many:
    """A catalogue with many equal scores, which a partial sort could take in any order."""

    digest = "many"

    def __init__(self, scores: np.ndarray) -> None:
        self.item_ids = np.array([str(row) for row in range(len(scores))], dtype=object)
        self.item_row = {item: row for row, item in enumerate(self.item_ids)}
        self.category = np.full(len(scores), None, dtype=object)
        self.popularity = scores

    def knows(self, user_id: str) -> bool:
        return False

    def ranking_after(self, user_id, done):
        return None


@given(st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_equal_scores_come_in_the_order_of_the_catalogue(seed: int, n: int):
    scores = np.random.default_rng(seed).integers(0, 4, size=200).astype(float)
    found = candidates(Many(scores), "new", n=n, exclude=(), touched=())
    assert names(found) == [str(row) for row in np.argsort(-scores, kind="stable")[:n]]


def test_nothing_has_ever_been_sold():
    found = candidates(Many(np.zeros(3)), "new", n=2, exclude=(), touched=())
    assert found == [Candidate("0", 0.0, "popular"), Candidate("1", 0.0, "popular")]


# The queue and the ladder together


def test_a_first_visit_fills_the_queue(shop: ScoredCatalogue, store: Store):
    shown = recommend(store, shop, "ann", k=2)
    assert shown == [
        Recommendation("c0", pytest.approx(0.9), "model", 1),
        Recommendation("c1", pytest.approx(0.9), "model", 1),
    ]
    assert store.queue("ann") == (
        Entry("c2", 0, 0.0),
        Entry("b3", 0, 0.0),
        Entry("b2", 0, 0.0),
        Entry("c0", 1, 0.0),
        Entry("c1", 1, 0.0),
    )


def test_what_was_shown_least_comes_next(shop: ScoredCatalogue, store: Store):
    visits = [recommend(store, shop, "ann", k=2) for _ in range(3)]
    assert [[one.product_id for one in shown] for shown in visits] == [
        ["c0", "c1"],
        ["c2", "b3"],
        ["b2", "b1"],
    ]
    assert sources(visits[2]) == ["queue", "model"]
    assert [one.counter for one in visits[2]] == [1, 1]


def test_when_all_was_shown_the_oldest_comes_again(shop: ScoredCatalogue, store: Store):
    visits = [recommend(store, shop, "ann", k=3) for _ in range(4)]
    assert [[one.product_id for one in shown] for shown in visits] == [
        ["c0", "c1", "c2"],
        ["b3", "b2", "b1"],
        ["b0", "x", "c0"],
        ["c1", "c2", "b3"],
    ]


def test_what_a_shopper_touched_comes_first(shop: ScoredCatalogue, store: Store):
    record(store, [Event(NOON, "view", "new", "x"), Event(NOON, "cart", "new", "c2")])
    shown = recommend(store, shop, "new", k=4)
    assert [(one.product_id, one.score, one.source) for one in shown] == [
        ("c2", 3.0, "queue"),
        ("x", 1.0, "queue"),
        ("c0", pytest.approx(0.2), "category_popular"),
        ("c1", pytest.approx(0.15), "category_popular"),
    ]
    assert strategy(shown) == "queue"


def test_a_longer_list_than_the_pool_refills_it(shop: ScoredCatalogue, store: Store):
    recommend(store, shop, "ann", k=2)
    store.add_purchases([("ann", "c1", NOON)])
    shown = recommend(store, shop, "ann", k=7)
    assert sorted(one.product_id for one in shown) == sorted({*ITEMS} - {"c1"})
    assert strategy(shown) == "queue"
    assert sources(shown).count("model") == 3


def test_who_has_bought_everything_gets_nothing(shop: ScoredCatalogue, store: Store):
    store.add_purchases(("ann", item, NOON) for item in ITEMS)
    assert recommend(store, shop, "ann", k=3) == []


def test_what_happens_while_the_model_scores_is_seen(shop: Any, store: Store):
    class Slow(type(shop)):
        def ranking_after(self, user_id, done):
            store.add_purchases([("ann", "c0", NOON)])
            record(store, [Event(NOON, "cart", "ann", "c1")])
            return super().ranking_after(user_id, done)

    shown = recommend(store, Slow(), "ann", k=3)
    assert [(one.product_id, one.source) for one in shown] == [
        ("c1", "queue"),
        ("c2", "model"),
        ("b3", "model"),
    ]


def test_two_visits_at_once_fill_the_queue_once(shop: Any, store: Store):
    class Slow(type(shop)):
        def ranking_after(self, user_id, done):
            other.submit(recommend, store, shop, "ann", k=2).result()
            return super().ranking_after(user_id, done)

    with ThreadPoolExecutor(1) as other:
        shown = recommend(store, Slow(), "ann", k=2)
    assert [one.product_id for one in shown] == ["c2", "b3"]
    assert len(store.queue("ann")) == store.settings.refill_to


def test_visits_in_several_threads_all_count(shop: ScoredCatalogue, store: Store):
    def visit(_: int) -> None:
        recommend(store, shop, "ann", k=2)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(visit, range(40)))
    assert sum(entry.counter for entry in store.queue("ann")) == 80


@pytest.mark.parametrize(
    ("rungs", "best"),
    [
        (["popular", "model"], "model"),
        (["popular", "category_popular"], "category_popular"),
        (["category_popular", "similar"], "similar"),
        (["model", "queue"], "queue"),
        (["popular"], "popular"),
        ([], "popular"),
    ],
)
def test_the_best_rung_names_the_strategy(rungs, best):
    assert strategy([Recommendation("p", 0.0, rung, 1) for rung in rungs]) == best


# Peeking and filtering


def test_a_peek_shows_what_comes_next_and_changes_nothing(
    shop: ScoredCatalogue, store: Store, shell: sqlite3.Connection
):
    record(store, [Event(NOON, "cart", "new", "x")])
    for _ in range(4):
        before = list(shell.iterdump())
        foretold = recommend(store, shop, "new", k=3, peek=True)
        assert list(shell.iterdump()) == before
        assert recommend(store, shop, "new", k=3) == foretold


def test_a_peek_does_not_wait_for_a_writer(
    shop: ScoredCatalogue, store: Store, shell: sqlite3.Connection
):
    shell.execute("BEGIN IMMEDIATE")
    assert len(recommend(store, shop, "ann", k=2, peek=True)) == 2


def test_only_what_is_allowed_is_shown_and_the_rest_stays(shop: ScoredCatalogue, store: Store):
    recommend(store, shop, "ann", k=1)
    before = store.queue("ann")
    shown = recommend(store, shop, "ann", k=2, allowed=lambda item: item.startswith("b"))
    assert [one.product_id for one in shown] == ["b3", "b2"]
    assert store.queue("ann") == (
        *(entry for entry in before if entry.product_id not in ("b3", "b2")),
        Entry("b3", 1, 0.0),
        Entry("b2", 1, 0.0),
    )


def test_a_filter_that_the_queue_cannot_fill_is_filled_by_the_catalogue(
    shop: ScoredCatalogue, store: Store
):
    recommend(store, shop, "ann", k=1)
    allowed = {"b0", "x", "b3"}.__contains__
    visits = [recommend(store, shop, "ann", k=2, allowed=allowed) for _ in range(2)]
    assert [[one.product_id for one in shown] for shown in visits] == [["b3", "b0"], ["x", "b3"]]
    assert recommend(store, shop, "ann", k=2, allowed=lambda item: False) == []


def test_what_is_allowed_and_bought_is_not_shown(shop: ScoredCatalogue, store: Store):
    store.add_purchases([("ann", "b3", NOON)])
    assert [one.product_id for one in recommend(store, shop, "ann", k=2, allowed="b3".__eq__)] == []
