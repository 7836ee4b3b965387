from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
import torch

from benchmarks import frozen_window
from learning.shop import (
    Checkerboard,
    cold_model,
    day_of,
    days_after,
    interactions_of,
    item_features_of,
)
from progrec.learning import growth
from progrec.learning.bundle import Bundle
from progrec.learning.history import History

FIRST = date(2020, 1, 25)


@pytest.fixture
def history() -> History:
    events = Checkerboard().events
    return History.of(interactions_of(events), item_features_of(events))


@pytest.fixture
def cold() -> Bundle:
    return cold_model()


def test_a_model_that_has_not_changed_keeps_all(cold: Bundle, history: History) -> None:
    assert frozen_window.ratio(cold, cold, history, FIRST, 3) == 1


def test_new_shoppers_and_products_change_nothing_of_the_past(
    cold: Bundle, history: History
) -> None:
    grown = growth.grown(cold, day_of(days_after(1)))

    assert len(grown.items) > len(cold.items)
    assert frozen_window.ratio(cold, grown, history, FIRST, 3) == pytest.approx(1)


def test_a_model_that_says_the_opposite_keeps_less(cold: Bundle, history: History) -> None:
    opposite = cold.network.grown(len(cold.users), len(cold.items))
    assert opposite.fusion is not None
    with torch.no_grad():
        opposite.fusion.weights.bias.neg_()

    updated = replace(cold, network=opposite)

    assert frozen_window.ratio(cold, updated, history, FIRST, 3) < 0.9
