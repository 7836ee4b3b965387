from __future__ import annotations

import itertools
import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from progrec.learning.losses import (
    LOSSES,
    LossName,
    bayesian_personalised_ranking,
    binary_cross_entropy,
    sampled_softmax,
)

UNREAD = torch.empty(0)
"""The log rates where only the softmax reads them."""


def test_a_hand_worked_loss() -> None:
    positive = torch.tensor([0.0, math.log(3)])  # probabilities 1/2 and 3/4
    negative = torch.tensor([[0.0, math.log(1 / 3)], [0.0, 0.0]])  # 1/2 and 1/4; 1/2 and 1/2
    weights = torch.tensor([1.0, 0.5])

    loss = binary_cross_entropy(positive, negative, weights, UNREAD)

    first = math.log(2) + math.log(2) + math.log(4 / 3)
    second = math.log(4 / 3) + math.log(2) + math.log(2)
    assert loss.item() == pytest.approx((1.0 * first + 0.5 * second) / (1.5 * 3))


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 4))
def test_with_equal_weights_it_is_torchs_own(seed: int, b: int, n: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    positive, negative = (torch.randn(s, generator=generator) for s in ((b,), (b, n)))
    logits = torch.cat([positive, negative.flatten()])
    labels = torch.cat([torch.ones(b), torch.zeros(b * n)])

    loss = binary_cross_entropy(positive, negative, torch.ones(b), UNREAD)

    torch.testing.assert_close(loss, functional.binary_cross_entropy_with_logits(logits, labels))


def test_only_the_proportions_of_the_weights_matter() -> None:
    positive, negative = torch.tensor([1.0, -2.0]), torch.tensor([[0.5], [3.0]])
    weights = torch.tensor([0.1, 1.0])

    torch.testing.assert_close(
        binary_cross_entropy(positive, negative, weights, UNREAD),
        binary_cross_entropy(positive, negative, 7 * weights, UNREAD),
    )


def test_certainty_costs_nothing_when_right_and_stays_finite_when_wrong() -> None:
    far, one = torch.tensor([200.0]), torch.ones(1)

    assert binary_cross_entropy(far, -far[:, None], one, UNREAD).item() == 0
    assert binary_cross_entropy(-far, far[:, None], one, UNREAD).item() == pytest.approx(200)


def test_a_hand_worked_loss_of_ranking() -> None:
    positive = torch.tensor([math.log(3), 1.0])
    negative = torch.tensor([[0.0, math.log(3)], [1.0, 1.0]])  # right with 3/4, 1/2; 1/2, 1/2
    weights = torch.tensor([1.0, 0.5])

    loss = bayesian_personalised_ranking(positive, negative, weights, UNREAD)

    first, second = math.log(4 / 3) + math.log(2), 2 * math.log(2)
    assert loss.item() == pytest.approx((1.0 * first + 0.5 * second) / (1.5 * 2))


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 4), st.floats(-5, 5))
def test_ranking_is_blind_to_what_a_user_gives_to_all_items(
    seed: int, b: int, n: int, shift: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    positive, negative = (torch.randn(s, generator=generator) for s in ((b,), (b, n)))
    weights = torch.rand(b, generator=generator) + 0.1

    loss = bayesian_personalised_ranking(positive, negative, weights, UNREAD)

    shifted = bayesian_personalised_ranking(positive + shift, negative + shift, 7 * weights, UNREAD)
    torch.testing.assert_close(loss, shifted)
    logits = positive[:, None] - negative
    twin = functional.binary_cross_entropy_with_logits(
        logits, torch.ones_like(logits), weights[:, None].expand_as(logits), reduction="sum"
    )
    torch.testing.assert_close(loss, twin / (n * weights.sum()))


def test_a_right_order_costs_nothing_and_a_wrong_one_stays_finite() -> None:
    far, one = torch.tensor([200.0]), torch.ones(1)

    assert bayesian_personalised_ranking(far, -far[:, None], one, UNREAD).item() == 0
    assert bayesian_personalised_ranking(-far, far[:, None], one, UNREAD).item() == pytest.approx(
        400
    )


def test_a_hand_worked_softmax() -> None:
    positive = torch.tensor([math.log(2), 0.0])
    negative = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    rates = torch.tensor([[1 / 2, 1 / 4], [1 / 8, 1 / 2]])
    weights = torch.tensor([1.0, 0.5])

    loss = sampled_softmax(positive, negative, weights, rates.log())

    # The negatives stand for 1 / (2 q) items each: 1 and 2; 4 and 1.
    first, second = math.log((2 + 1 * 1 + 2 * 3) / 2), math.log(1 + 4 + 1)
    assert loss.item() == pytest.approx((1.0 * first + 0.5 * second) / 1.5)


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 6))
def test_with_every_item_drawn_once_the_softmax_is_the_full_one(seed: int, b: int, n: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    positive, negative = (torch.randn(s, generator=generator) for s in ((b,), (b, n)))

    loss = sampled_softmax(positive, negative, torch.ones(b), torch.full((b, n), math.log(1 / n)))

    full = torch.cat([positive[:, None], negative], dim=1)
    expected = functional.cross_entropy(full, torch.zeros(b, dtype=torch.int64))
    torch.testing.assert_close(loss, expected)


def test_items_drawn_as_often_as_their_rates_say_make_the_full_softmax() -> None:
    logits, rates = torch.tensor([0.3, -1.0, 2.0]), torch.tensor([1 / 2, 1 / 4, 1 / 4])
    drawn = torch.tensor([[0, 0, 1, 2]])
    positive, one = torch.tensor([0.7]), torch.ones(1)

    loss = sampled_softmax(positive, logits[drawn], one, rates[drawn].log())

    full = torch.cat([positive, logits])[None]
    torch.testing.assert_close(loss, functional.cross_entropy(full, torch.tensor([0])))


@given(st.integers(0, 10_000), st.integers(1, 3))
def test_the_mean_over_all_draws_is_the_full_softmaxs_denominator(seed: int, n: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    positive, logits = (torch.randn(s, generator=generator).double() for s in ((1,), (4,)))
    rates = torch.softmax(torch.randn(4, generator=generator).double(), dim=0)

    mean = 0.0
    for drawn in itertools.product(range(4), repeat=n):
        items = torch.tensor([drawn])
        loss = sampled_softmax(positive, logits[items], torch.ones(1), rates[items].log())
        mean += float(rates[items].prod() * (loss + positive).exp())

    assert mean == pytest.approx(float(positive.exp() + logits.exp().sum()))


def test_the_softmax_is_blind_to_what_a_user_gives_to_all_items_and_to_the_weights_scale() -> None:
    positive, negative = torch.tensor([1.0, -2.0]), torch.tensor([[0.5], [3.0]])
    weights, rates = torch.tensor([0.1, 1.0]), torch.tensor([[-1.0], [-2.0]])

    torch.testing.assert_close(
        sampled_softmax(positive, negative, weights, rates),
        sampled_softmax(positive + 5, negative + 5, 7 * weights, rates),
    )


def test_a_certain_softmax_costs_nothing_when_right_and_stays_finite_when_wrong() -> None:
    far, one, certain = torch.tensor([200.0]), torch.ones(1), torch.zeros(1, 1)

    assert sampled_softmax(far, -far[:, None], one, certain).item() == 0
    assert sampled_softmax(-far, far[:, None], one, certain).item() == pytest.approx(400)


def test_every_name_has_its_loss() -> None:
    assert tuple(LOSSES) == get_args(LossName)
    assert len({*LOSSES.values()}) == len(LOSSES)
