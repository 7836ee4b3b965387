from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from progrec.learning.losses import binary_cross_entropy


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
