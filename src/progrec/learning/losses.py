"""Losses: pure functions of logits, all with the same arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

LossName = Literal["bce", "bpr", "softmax"]


def binary_cross_entropy(
    positive: Tensor, negative: Tensor, weights: Tensor, _log_rates: Tensor
) -> Tensor:
    """Weighted log loss of liked pairs against sampled ones (He et al. 2017, eq. 7).

    Args:
        positive: (b,) logits of the liked pairs.
        negative: (b, n) logits of each pair's negatives.
        weights: (b,) weight of each liked pair and of its negatives together.

    Returns:
        The mean over all b (1 + n) terms, weighted by their pairs' weights.
    """
    likes = functional.softplus(-positive)
    dislikes = functional.softplus(negative).sum(dim=1)
    return ((likes + dislikes) * weights).sum() / (weights.sum() * (1 + negative.shape[1]))


def bayesian_personalised_ranking(
    positive: Tensor, negative: Tensor, weights: Tensor, _log_rates: Tensor
) -> Tensor:
    """Weighted log loss of ranking a liked pair above a sampled one (Rendle et al. 2009, BPR-Opt).

    Args:
        positive: (b,) logits of the liked pairs.
        negative: (b, n) logits of each pair's negatives.
        weights: (b,) weight of each liked pair and of its negatives together.

    Returns:
        The mean over all b n comparisons, weighted by their pairs' weights.
    """
    inversions = functional.softplus(negative - positive[:, None]).sum(dim=1)
    return (inversions * weights).sum() / (weights.sum() * negative.shape[1])


def sampled_softmax(
    positive: Tensor, negative: Tensor, weights: Tensor, log_rates: Tensor
) -> Tensor:
    """Weighted cross entropy of the liked item against all that could have been drawn beside it.

    The exponentials of the latter are summed up by importance sampling: a negative that is drawn
    with probability q stands for 1 / (n q) items (Bengio & Senecal 2008), so that what is popular
    is not punished for being drawn often (Yi et al. 2019). The sum's mean over draws is the sum
    over all of them.

    Args:
        positive: (b,) logits of the liked pairs.
        negative: (b, n) logits of each pair's negatives.
        weights: (b,) weight of each liked pair.
        log_rates: (b, n) logarithm of the probability with which each negative is drawn.

    Returns:
        The mean over all b pairs, by their weights.
    """
    others = negative - log_rates - math.log(negative.shape[1])
    logits = torch.cat([positive[:, None], others], dim=1)
    surprises = -functional.log_softmax(logits, dim=1)[:, 0]
    return (surprises * weights).sum() / weights.sum()


LOSSES: dict[LossName, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "bce": binary_cross_entropy,
    "bpr": bayesian_personalised_ranking,
    "softmax": sampled_softmax,
}
"""Name in conf/loss -> a loss of positive and negative logits, weights and log rates."""
