from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from progrec.learning.losses import bayesian_personalised_ranking, binary_cross_entropy


def test_a_hand_worked_loss() -> None:
    positive = torch.tensor([0.0, math.log(3)])  # probabilities 1/2 and 3/4
    negative = torch.tensor([[0.0, math.log(1 / 3)], [0.0, 0.0]])  # 1/2 and 1/4; 1/2 and 1/2
    weights = torch.tensor([1.0, 0.5])

    loss = binary_cross_entropy(positive, negative, weights)

    first = math.log(2) + math.log(2) + math.log(4 / 3)
    second = math.log(4 / 3) + math.log(2) + math.log(2)
    assert loss.item() == pytest.approx((1.0 * first + 0.5 * second) / (1.5 * 3))


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 4))
def test_with_equal_weights_it_is_torchs_own(seed: int, b: int, n: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    positive, negative = (torch.randn(s, generator=generator) for s in ((b,), (b, n)))
    logits = torch.cat([positive, negative.flatten()])
    labels = torch.cat([torch.ones(b), torch.zeros(b * n)])

    loss = binary_cross_entropy(positive, negative, torch.ones(b))

    torch.testing.assert_close(loss, functional.binary_cross_entropy_with_logits(logits, labels))


def test_only_the_proportions_of_the_weights_matter() -> None:
    positive, negative = torch.tensor([1.0, -2.0]), torch.tensor([[0.5], [3.0]])
    weights = torch.tensor([0.1, 1.0])

    torch.testing.assert_close(
        binary_cross_entropy(positive, negative, weights),
        binary_cross_entropy(positive, negative, 7 * weights),
    )


def test_certainty_costs_nothing_when_right_and_stays_finite_when_wrong() -> None:
    far, one = torch.tensor([200.0]), torch.ones(1)

    assert binary_cross_entropy(far, -far[:, None], one).item() == 0
    assert binary_cross_entropy(-far, far[:, None], one).item() == pytest.approx(200)


def test_a_hand_worked_loss_of_ranking() -> None:
    positive = torch.tensor([math.log(3), 1.0])
    negative = torch.tensor([[0.0, math.log(3)], [1.0, 1.0]])  # right with 3/4, 1/2; 1/2, 1/2
    weights = torch.tensor([1.0, 0.5])

    loss = bayesian_personalised_ranking(positive, negative, weights)

    first, second = math.log(4 / 3) + math.log(2), 2 * math.log(2)
    assert loss.item() == pytest.approx((1.0 * first + 0.5 * second) / (1.5 * 2))


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 4), st.floats(-5, 5))
def test_ranking_is_blind_to_what_a_user_gives_to_all_items(
    seed: int, b: int, n: int, shift: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    positive, negative = (torch.randn(s, generator=generator) for s in ((b,), (b, n)))
    weights = torch.rand(b, generator=generator) + 0.1

    loss = bayesian_personalised_ranking(positive, negative, weights)

    shifted = bayesian_personalised_ranking(positive + shift, negative + shift, 7 * weights)
    torch.testing.assert_close(loss, shifted)
    logits = positive[:, None] - negative
    twin = functional.binary_cross_entropy_with_logits(
        logits, torch.ones_like(logits), weights[:, None].expand_as(logits), reduction="sum"
    )
    torch.testing.assert_close(loss, twin / (n * weights.sum()))


def test_a_right_order_costs_nothing_and_a_wrong_one_stays_finite() -> None:
    far, one = torch.tensor([200.0]), torch.ones(1)

    assert bayesian_personalised_ranking(far, -far[:, None], one).item() == 0
    assert bayesian_personalised_ranking(-far, far[:, None], one).item() == pytest.approx(400)
