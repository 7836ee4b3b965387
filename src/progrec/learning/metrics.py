"""What a ranking is worth: pure functions of ranked lists."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Floats = npt.NDArray[np.float64]
Hits = npt.NDArray[np.bool_]


def top(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """The k best items of each row.

    Args:
        scores: (b, n) scores; an item at minus infinity is not to be ranked.
        k: length of the lists.

    Returns:
        (b, min(k, n)) item rows, best first, ties by item row; -1 where a row has no more items.

    Raises:
        ValueError: a score is NaN, and so neither better nor worse than another.
    """
    if np.isnan(scores).any():
        raise ValueError("a score is NaN: the network that gave it is broken")
    k = min(k, scores.shape[1])
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    threshold = np.take_along_axis(scores, best, axis=1).min(axis=1, keepdims=True)
    ranked = np.full((len(scores), k), -1)
    for row, (line, lowest) in enumerate(zip(scores, threshold[:, 0], strict=True)):
        candidates = np.flatnonzero((line >= lowest) & (line > -np.inf))
        order = np.argsort(-line[candidates], kind="stable")[:k]
        ranked[row, : len(order)] = candidates[order]
    return ranked


def hits(ranked: npt.NDArray[np.int64], targets: csr_array) -> Hits:
    """Whether each place of each list holds a target.

    Args:
        ranked: (b, k) item rows, -1 for no item.
        targets: (b, n) 0/1.

    Returns:
        (b, k).
    """
    users, items = targets.nonzero()
    wanted = users * targets.shape[1] + items
    keys = np.arange(len(ranked))[:, None] * targets.shape[1] + ranked
    hit: Hits = np.isin(keys, wanted) & (ranked >= 0)
    return hit


def ndcg(hit: Hits, n_targets: npt.NDArray[np.int64]) -> Floats:
    """Normalised discounted cumulative gain with binary gains (Jarvelin & Kekalainen 2002).

    Args:
        hit: (b, k) whether each place holds a target.
        n_targets: (b,) number of targets, at least 1.

    Returns:
        (b,) values in [0, 1]; 1 when the first min(k, targets) places are all hits.
    """
    discounts = 1 / np.log2(np.arange(hit.shape[1]) + 2)
    ideal = np.concatenate([[0], np.cumsum(discounts)])
    gains: Floats = hit @ discounts / ideal[np.minimum(n_targets, hit.shape[1])]
    return gains


def recall(hit: Hits, n_targets: npt.NDArray[np.int64]) -> Floats:
    """Share of the targets that could have been in the list and are: (b,) in [0, 1].

    The denominator is min(k, targets), so that a full list can reach 1.
    """
    return np.asarray(hit.sum(axis=1) / np.minimum(n_targets, hit.shape[1]))


def hit_rate(hit: Hits) -> Floats:
    """Whether the list holds any target: (b,) of 0 or 1."""
    return np.asarray(hit.any(axis=1), np.float64)


def coverage(ranked: npt.NDArray[np.int64], n_items: int) -> float:
    """Share of the catalogue that stands in at least one list."""
    return len(np.unique(ranked[ranked >= 0])) / n_items
