from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from progrec.learning import baselines, dataset, evaluation, neighbours
from progrec.learning.baselines import CANDIDATES, Past, Popularity
from progrec.learning.dataset import EventWithWeight
from progrec.learning.evaluation import Task
from progrec.learning.vocabulary import Vocabulary

Interactions = Callable[[Sequence[tuple[str, str, str, str]]], pd.DataFrame]
Settings = dict[str, Any]

EVENT_WEIGHTS: dict[EventWithWeight, float] = {"view": 0.1, "click": 0, "cart": 0.5, "purchase": 1}
QUEUE_WEIGHTS = {"view": 1, "click": 1, "cart": 3, "remove_from_cart": -1}
USERS = Vocabulary.of(["ann", "bob", "cem"])
ITEMS = Vocabulary.of(["p0", "p1", "p2", "p3"])
EVENTS = [
    ("2020-01-01", "ann", "p0", "purchase"),
    ("2020-01-01", "ann", "p0", "purchase"),
    ("2020-01-09", "bob", "p1", "purchase"),
    ("2020-01-10", "ann", "p1", "view"),
    ("2020-01-10", "ann", "p1", "view"),
    ("2020-01-10", "ann", "p1", "cart"),
    ("2020-01-11", "ann", "p1", "remove_from_cart"),
    ("2020-01-11", "bob", "p2", "click"),
    ("2020-01-11", "cem", "p3", "view"),
    ("2020-01-11", "cem", "p3", "remove_from_cart"),
    ("2020-01-11", "dan", "p3", "view"),
    ("2020-01-11", "ann", "p9", "purchase"),
]
ALL = np.arange(3)
SMALL: dict[str, Settings] = {
    "popularity": {},
    "decayed_popularity": {"half_life": 4},
    "queue_rules": {},
    "item_knn": {"source": "likes", "n_neighbours": 5},
    "ease": {"source": "likes", "regularization": 3},
    "ials": {
        "source": "likes",
        "factors": 4,
        "regularization": 0.01,
        "unobserved_weight": 0.1,
        "iterations": 8,
    },
    "bpr": {
        "source": "likes",
        "factors": 4,
        "rate": 0.1,
        "regularization": 0.01,
        "epochs": 30,
        "batch_size": 128,
    },
}


def past_of(frame: pd.DataFrame, users: Vocabulary = USERS, items: Vocabulary = ITEMS) -> Past:
    return Past.of(frame, users, items, EVENT_WEIGHTS, QUEUE_WEIGHTS, date(2020, 1, 13))


@pytest.fixture
def past(interactions: Interactions) -> Past:
    return past_of(interactions(EVENTS))


@pytest.fixture
def kinds() -> tuple[Past, Task]:
    """Ten users and ten items of two kinds; each user likes but one item of their kind yet."""
    whole = np.kron(np.eye(2), np.ones((5, 5)))
    missing = np.eye(10)
    likes = csr_array((whole - missing).astype(np.float32))
    nothing = csr_array(likes.shape, dtype=np.float32)
    past = Past(likes, likes, nothing, pd.DataFrame(), date(2020, 1, 1))
    return past, Task.of(likes, csr_array(missing.astype(np.float32)))


def test_popularity_says_the_same_to_everyone() -> None:
    popularity = Popularity(np.array([3, 0, 7], np.float32))

    assert popularity.scores(np.array([4, 4, 1])).tolist() == [[3, 0, 7]] * 3
    assert popularity.scores(np.array([], np.int64)).shape == (0, 3)


def test_a_past_knows_what_was_liked_bought_and_queued(past: Past) -> None:
    # A click has no weight here, and dan and p9 are unknown.
    assert past.likes.toarray().tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert past.bought.toarray().tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert past.queued.toarray().tolist() == [[0, 4, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert past.queued.nnz > 0
    assert past.interactions["user"].min() == past.interactions["item"].min() == 0


def test_purchases_count_each(past: Past) -> None:
    scorer = baselines.fit("popularity", {}, past, 0)

    assert scorer.scores(ALL).tolist() == [[2, 1, 0, 0]] * 3


def test_purchases_fade(past: Past) -> None:
    # Twelve and four days lie between the purchases and the first day after the past.
    scorer = baselines.fit("decayed_popularity", {"half_life": 4}, past, 0)

    np.testing.assert_allclose(scorer.scores(ALL), [[2 / 8, 1 / 2, 0, 0]] * 3)


def test_the_queues_rules_speak_of_what_a_user_touched_alone(past: Past) -> None:
    scorer = baselines.fit("queue_rules", {}, past, 0)

    # ann: two views, a cart, a removal; cem: a view and a removal.
    assert scorer.scores(ALL[::-1]).tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 4, 0, 0]]
    assert scorer.scores(ALL).dtype == np.float32


def test_neighbours_of_all_that_a_user_likes_add_up(past: Past) -> None:
    # The items 0 and 1 share one of their one and two users.
    cosine = 0.5**0.5
    scorer = baselines.fit("item_knn", {"source": "likes", "n_neighbours": 3}, past, 0)

    expected = [[cosine, cosine, 0, 0], [cosine, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(scorer.scores(ALL), expected, rtol=1e-6)
    bought = baselines.fit("item_knn", {"source": "bought", "n_neighbours": 3}, past, 0)
    assert not bought.scores(ALL).any()


def test_ridge_regression_of_the_most_liked_items(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"source": "likes", "regularization": 2.0}
    likes = past.likes.toarray()

    full = baselines.fit("ease", settings, past, 0).scores(ALL)
    monkeypatch.setattr(baselines, "ITEMS_AT_MOST", 2)
    restricted = baselines.fit("ease", settings, past, 0).scores(ALL)

    np.testing.assert_allclose(full, likes @ neighbours.ease(past.likes, 2.0), rtol=1e-6)
    # x'x = 1, y'y = 2, x'y = 1: x from y by 1 / (2 + 2), y from x by 1 / (1 + 2).
    assert restricted.shape == (3, 4)
    expected = [[1 / 4, 1 / 3, 0, 0], [1 / 4, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(restricted, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["item_knn", "ease", "ials", "bpr"])
def test_who_likes_the_one_kind_gets_the_rest_of_it(name: str, kinds: tuple[Past, Task]) -> None:
    past, task = kinds

    scorer = baselines.fit(name, SMALL[name], past, 0)

    assert evaluation.evaluate(scorer, task, 1)["ndcg@1"] == 1
    assert scorer.scores(ALL).dtype == np.float32
    assert scorer.scores(ALL).shape == (3, 10)


@pytest.mark.parametrize("name", ["ials", "bpr"])
def test_the_seed_decides(name: str, kinds: tuple[Past, Task]) -> None:
    one, same, other = (
        baselines.fit(name, SMALL[name], kinds[0], seed).scores(ALL) for seed in (1, 1, 2)
    )

    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_candidates_are_all_combinations(past: Past, kinds: tuple[Past, Task]) -> None:
    assert baselines.candidates("popularity", past) == [{}]
    assert len(baselines.candidates("ease", past)) == 8
    # All likes are purchases: the same matrix is not tried twice.
    tried = baselines.candidates("ease", kinds[0])
    assert [settings["source"] for settings in tried] == ["likes"] * 4
    assert len({settings["regularization"] for settings in tried}) == 4


def test_the_candidate_that_ranks_best_in_the_window_is_chosen(
    past: Past, interactions: Interactions
) -> None:
    # Lately p1 was bought once, long ago p0 twice: the shorter the memory, the higher p1 stands.
    def next_purchase(item: str) -> Task:
        frame = interactions([("2020-01-14", "cem", item, "purchase")])
        return Task.of(past.bought, dataset.bought(frame, USERS, ITEMS))

    name, grid = "decayed_popularity", {"half_life": (4, 100)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CANDIDATES, name, (baselines.popularity, grid))
        assert baselines.choose(name, past, next_purchase("p1"), 2, 0) == {"half_life": 4}
        assert baselines.choose(name, past, next_purchase("p0"), 2, 0) == {"half_life": 100}
        # Nobody buys p3, whatever the memory: the first of equals.
        assert baselines.choose(name, past, next_purchase("p3"), 2, 0) == {"half_life": 4}


def one_candidate_each(patch: pytest.MonkeyPatch) -> None:
    for name, (baseline, _) in list(CANDIDATES.items()):
        only = {key: (value, value) for key, value in SMALL[name].items() if key == "source"}
        rest = {key: (value,) for key, value in SMALL[name].items() if key != "source"}
        patch.setitem(CANDIDATES, name, (baseline, only | rest))


def test_all_are_fitted_with_the_first_candidate_where_nothing_validates(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_candidate_each(monkeypatch)

    fitted = baselines.fit_all(past, (past, Task.of(past.bought, past.bought)), 2, 0)

    assert {name: settings for name, (settings, _) in fitted.items()} == SMALL
    for name, (settings, scorer) in fitted.items():
        alone = baselines.fit(name, settings, past, 0)
        assert np.array_equal(scorer.scores(ALL), alone.scores(ALL))


def test_the_queues_rules_are_left_out_where_there_are_only_purchases(
    interactions: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_candidate_each(monkeypatch)
    past = past_of(interactions([event for event in EVENTS if event[3] == "purchase"]))
    window = interactions([("2020-01-14", "cem", "p1", "purchase")])
    task = Task.of(past.bought, dataset.bought(window, USERS, ITEMS))

    fitted = baselines.fit_all(past, (past, task), 2, 0)

    assert list(fitted) == [name for name in CANDIDATES if name != "queue_rules"]


def test_the_methods_find_the_checkerboards_missing_square(
    checkerboard: Any, interactions: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_candidate_each(monkeypatch)
    users, items = Vocabulary.of(checkerboard.users), Vocabulary.of(checkerboard.items)
    frame = interactions(checkerboard.events)
    before = frame[frame["date"] < date(2020, 1, 18)]
    sixth = [("2020-02-01", user, checkerboard.own(user)[5], "purchase") for user in users.ids]
    earlier, past = past_of(before, users, items), past_of(frame, users, items)
    validation = Task.of(earlier.bought, past.bought)
    test = Task.of(past.bought, dataset.bought(interactions(sixth), users, items))

    fitted = baselines.fit_all(past, (earlier, validation), 1, 0)

    for name in ("item_knn", "ease", "ials", "bpr"):
        assert evaluation.evaluate(fitted[name][1], test, 1)["ndcg@1"] > 0.9, name
