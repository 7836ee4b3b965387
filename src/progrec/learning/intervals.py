"""How sure a mean over users is: the bootstrap (Efron & Tibshirani 1993)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 2_000
LEVEL = 0.95
CHUNK = 2_000_000
"""Draws that are held at once."""


class Interval(NamedTuple):
    """Means and their bootstrap percentile intervals, each (m,).

    Attributes:
        mean: of the sample.
        low: lower bounds.
        high: upper bounds.
    """

    mean: Floats
    low: Floats
    high: Floats


class Difference(NamedTuple):
    """Differences of paired means, each (m,).

    Attributes:
        mean: of the sample.
        low: lower bounds of the percentile intervals.
        high: upper bounds.
        p: two-sided p-values of no difference, in (0, 1].
    """

    mean: Floats
    low: Floats
    high: Floats
    p: Floats


def interval(values: Floats, seed: int) -> Interval:
    """95 % percentile intervals of means (Efron & Tibshirani 1993, chapter 13).

    Args:
        values: (n, m) of n users, who are drawn together with all their m figures.
        seed: of the resampling.

    Raises:
        ValueError: there is no user, or a value is NaN.
    """
    return _interval(values, _means(values, seed))


def difference(values: Floats, others: Floats, seed: int) -> Difference:
    """How much larger the means of the same users are in one measurement than in another.

    The p-value is the share of resamples of the differences, moved to a mean of 0, whose mean is
    as far from 0 as the sample's (Efron & Tibshirani 1993, chapter 16), the sample itself counted
    as one of them, so that it is never 0 (Davison & Hinkley 1997, section 4.2).

    Args:
        values: (n, m) of n users.
        others: (n, m) of the same users.
        seed: of the resampling.

    Raises:
        ValueError: there is no user, a value is NaN, or the shapes differ.
    """
    if values.shape != others.shape:
        raise ValueError(f"{values.shape} values cannot be paired with {others.shape}")
    differences = values - others
    means = _means(differences, seed)
    found = _interval(differences, means)
    as_far = np.abs(means - found.mean) >= np.abs(found.mean)
    return Difference(*found, (1 + as_far.sum(axis=0)) / (1 + RESAMPLES))


def _interval(values: Floats, means: Floats) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return Interval(values.mean(axis=0), low, high)


def _means(values: Floats, seed: int) -> Floats:
    """(RESAMPLES, m) means of as many users as there are, drawn with replacement."""
    if len(values) == 0:
        raise ValueError("no user: there is nothing to draw from")
    if np.isnan(values).any():
        raise ValueError("a value is NaN")
    return np.concatenate([drawn @ values for drawn in _draws(len(values), seed)]) / len(values)


def _draws(n: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """How often each of n is drawn in each resample, in chunks of (some, n)."""
    random = np.random.default_rng(seed)
    size = max(1, CHUNK // n)
    for start in range(0, RESAMPLES, size):
        count = min(size, RESAMPLES - start)
        drawn = random.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)
