"""Losses: pure functions of logits."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def binary_cross_entropy(positive: Tensor, negative: Tensor, weights: Tensor) -> Tensor:
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


def bayesian_personalised_ranking(positive: Tensor, negative: Tensor, weights: Tensor) -> Tensor:
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
