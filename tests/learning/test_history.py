from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from progrec.learning.history import History

EVENTS = [
    ("2020-01-01", "ann", "p00", "purchase"),
    ("2020-01-02", "ann", "p00", "purchase"),
    ("2020-01-02", "ann", "p01", "purchase"),
    ("2020-01-02", "bob", "p01", "view"),
    ("2020-01-03", "bob", "p02", "cart"),
    ("2020-01-04", "bob", "p02", "purchase"),
    ("2020-01-04", "cem", "p00", "purchase"),
    ("2020-01-05", "ann", "p03", "purchase"),
]


@pytest.fixture
def history(tables: Callable[..., Path]) -> History:
    return History.read(tables(EVENTS))


def test_it_is_read_with_the_rows_of_its_ids(history: History) -> None:
    assert list(history.users.ids) == ["ann", "bob", "cem"]
    assert list(history.items.ids) == ["p00", "p01", "p02", "p03"]
    assert history.bought.toarray().tolist() == [[1, 1, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0]]


def test_lengths_count_different_items(history: History) -> None:
    assert history.lengths.tolist() == [3, 1, 1]
    assert history.before(date(2020, 1, 4)).lengths.tolist() == [2, 0]


def test_before_a_day_nothing_of_it_is_known(history: History) -> None:
    past = history.before(date(2020, 1, 3))

    assert list(past.users.ids) == ["ann", "bob"]
    assert list(past.items.ids) == ["p00", "p01"]
    assert past.item_features["item_id"].tolist() == ["p00", "p01"]
    assert past.interactions["date"].max() == date(2020, 1, 2)


@pytest.mark.parametrize(
    ("day", "first_seen"),
    [
        (date(2020, 1, 1), [True, True, True, True]),
        (date(2020, 1, 2), [False, True, True, True]),
        (date(2020, 1, 3), [False, False, True, True]),
        (date(2020, 1, 6), [False, False, False, False]),
    ],
)
def test_items_first_seen_since_a_day(history: History, day: date, first_seen: list[bool]) -> None:
    assert history.first_seen_since(day).tolist() == first_seen


def test_an_item_nobody_had_to_do_with_is_first_seen_since_any_day(history: History) -> None:
    unseen = history.item_features.tail(1).assign(item_id="p07")
    longer = History.of(history.interactions, pd.concat([history.item_features, unseen]))

    assert longer.first_seen_since(date(2020, 1, 6)).tolist() == [False] * 4 + [True]


def test_bought_later_is_of_the_users_and_items_known_then(history: History) -> None:
    past = history.before(date(2020, 1, 4))

    # Nobody knew p03 or cem then.
    assert past.bought_later(history).toarray().tolist() == [[1, 1, 0], [0, 0, 1]]
    assert past.bought_later(past).toarray().tolist() == past.bought.toarray().tolist()


@pytest.mark.parametrize("day", [date(2020, 1, 2), date(2020, 1, 4)])
def test_the_evidence_of_a_moment_sees_nothing_later(
    history: History, tables: Callable[..., Path], day: date
) -> None:
    end = date.fromordinal(day.toordinal() + 1)
    without = History.read(tables([e for e in EVENTS if e[0] <= str(day)], "without"))

    seen = history.before(end).evidence(day)

    expected = without.evidence(day)
    everyone = np.arange(len(without.users))
    assert seen.shape == expected.shape
    assert seen.touches.table()["last"].max() <= pd.Timestamp(day)
    assert torch.equal(seen.inputs(everyone), expected.inputs(everyone))
