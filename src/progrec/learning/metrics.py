"""What a ranking is worth: pure functions of where the targets stand, and of the lists shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float32]

HEAD = 0.8
"""Share of all purchases that the most popular items make; the others are the long tail."""


class Groups(NamedTuple):
    """Groups of equal scores that hold a target, by user, each user's best first.

    Attributes:
        user: (g,) user rows, ascending.
        above: (g,) how many items score higher.
        equal: (g,) how many items are in the group.
        wanted: (g,) how many of these are targets, at least 1.
    """

    user: Integers
    above: Integers
    equal: Integers
    wanted: Integers


@dataclass(frozen=True, eq=False)
class Places:
    """Where each target stands in the ranking of all items.

    Items with equal scores are in random order: a target takes each of the places from above + 1
    to above + equal with the same probability.

    Attributes:
        user: (m,) user rows, ascending.
        item: (m,) item rows.
        above: (m,) how many items score higher.
        equal: (m,) how many items score the same, itself among them; 0 if it is not ranked.
        n_users: how many users there are.
    """

    user: Integers
    item: Integers
    above: Integers
    equal: Integers
    n_users: int

    @classmethod
    def joined(cls, parts: Sequence[Places]) -> Places:
        """The places of all users, from those of successive batches."""
        starts = np.cumsum([0, *(part.n_users for part in parts)])
        return cls(
            np.concatenate([part.user + at for part, at in zip(parts, starts, strict=False)]),
            np.concatenate([part.item for part in parts]),
            np.concatenate([part.above for part in parts]),
            np.concatenate([part.equal for part in parts]),
            int(starts[-1]),
        )

    @property
    def n_targets(self) -> Integers:
        """(n_users,) targets of each user."""
        return np.bincount(self.user, minlength=self.n_users)

    @cached_property
    def groups(self) -> Groups:
        """The groups of equals that the ranked targets stand in."""
        ranked = self.equal > 0
        user, above = self.user[ranked], self.above[ranked]
        keys = user * (above.max(initial=0) + 1) + above
        _, first, wanted = np.unique(keys, return_index=True, return_counts=True)
        return Groups(user[first], above[first], self.equal[ranked][first], wanted)

    def among(self, items: Mask) -> Places:
        """The targets among some items, of those users who have any.

        The ranking stays that of all items.

        Args:
            items: (n_items,) which.
        """
        kept = items[self.item]
        users, user = np.unique(self.user[kept], return_inverse=True)
        return Places(user, self.item[kept], self.above[kept], self.equal[kept], len(users))


def places(scores: Scores, targets: csr_array) -> Places:
    """Where each target stands in its user's ranking.

    Args:
        scores: (b, n) scores; an item at minus infinity is not ranked.
        targets: (b, n) 0/1.

    Raises:
        ValueError: a score is NaN, and so neither better nor worse than another.
    """
    ordered = np.sort(scores, axis=1)
    _refuse_nan(ordered[:, -1:])  # where sorting puts it
    user = np.repeat(np.arange(len(scores)), np.diff(targets.indptr))
    item = targets.indices.astype(np.int64)
    own = scores[user, item]
    below, until = np.empty_like(item), np.empty_like(item)
    for line, start, stop in zip(ordered, targets.indptr, targets.indptr[1:], strict=False):
        below[start:stop] = np.searchsorted(line, own[start:stop], "left")
        until[start:stop] = np.searchsorted(line, own[start:stop], "right")
    equal = np.where(own > -np.inf, until - below, 0)
    return Places(user, item, scores.shape[1] - until, equal, len(scores))


def top(scores: Scores, k: int) -> Integers:
    """The k best items of each row.

    Args:
        scores: (b, n) scores; an item at minus infinity is not to be ranked.
        k: length of the lists.

    Returns:
        (b, min(k, n)) item rows, best first, ties by item row; -1 where a row has no more items.

    Raises:
        ValueError: a score is NaN, and so neither better nor worse than another.
    """
    _refuse_nan(scores)
    k = min(k, scores.shape[1])
    threshold = np.partition(scores, -k, axis=1)[:, -k]
    ranked = np.full((len(scores), k), -1)
    for row, (line, lowest) in enumerate(zip(scores, threshold, strict=True)):
        candidates = np.flatnonzero((line >= lowest) & (line > -np.inf))
        order = np.argsort(-line[candidates], kind="stable")[:k]
        ranked[row, : len(order)] = candidates[order]
    return ranked


def ndcg(places: Places, k: int) -> Floats:
    """Normalised discounted cumulative gain with binary gains (Jarvelin & Kekalainen 2002).

    Among equals, its expectation over their orders (McSherry & Najork 2008).

    Args:
        places: of at least one target a user.
        k: length of the lists.

    Returns:
        (n_users,) values in [0, 1]; 1 when targets take the first min(k, targets) places.
    """
    ideal = np.concatenate([[0], np.cumsum(1 / np.log2(np.arange(k) + 2))])
    until = np.minimum(places.above + places.equal, k)
    gains = ideal[until] - ideal[np.minimum(places.above, k)]
    return np.asarray(_sums(places, gains) / ideal[np.minimum(places.n_targets, k)])


def recall(places: Places, k: int) -> Floats:
    """Share of the targets that could have been in the list and are: (n_users,) in [0, 1].

    The denominator is min(k, targets), so that a full list can reach 1. Among equals, its
    expectation over their orders.
    """
    caught = np.clip(k - places.above, 0, places.equal)
    return np.asarray(_sums(places, caught) / np.minimum(places.n_targets, k))


def hit_rate(places: Places, k: int) -> Floats:
    """Whether the list holds any target: (n_users,) of 0 or 1.

    Among equals, the probability that it does. With p places of the list left for a group of e
    equals, m of them targets, none is in the list with the hypergeometric probability
    C(e - m, p) / C(e, p).
    """
    groups = places.groups
    place = np.arange(k)
    others = np.maximum((groups.equal - groups.wanted)[:, None] - place, 0)
    missed = np.cumprod(others / np.maximum(groups.equal[:, None] - place, 1), axis=1)
    missed = np.concatenate([np.ones((len(missed), 1)), missed], axis=1)
    left = np.clip(k - groups.above, 0, groups.equal)
    none = np.ones(places.n_users)
    np.multiply.at(none, groups.user, missed[np.arange(len(missed)), left])
    return np.asarray(1 - none)


def mrr(places: Places) -> Floats:
    """Reciprocal rank of the first target in the ranking of all items: (n_users,) in [0, 1].

    0 if no target is ranked. Among equals, its expectation over their orders. Its mean over users
    is the MRR (Voorhees 1999).
    """
    groups = places.groups
    users, first = np.unique(groups.user, return_index=True)
    above, equal, wanted = groups.above[first], groups.equal[first], groups.wanted[first]
    values = 1 / (above + 1)
    for row in np.flatnonzero(equal > 1):
        values[row] = _reciprocal_rank(int(above[row]), int(equal[row]), int(wanted[row]))
    ranks = np.zeros(places.n_users)
    ranks[users] = values
    return ranks


def coverage(ranked: Integers, n_items: int) -> float:
    """Share of the catalogue that stands in at least one list."""
    return len(np.unique(ranked[ranked >= 0])) / n_items


def gini(ranked: Integers, n_items: int) -> float:
    """How unequally the lists treat the catalogue (Shani & Gunawardana 2011).

    With p_j the j-th smallest share of the filled places that an item takes:
    sum_j (2j - n - 1) p_j / (n - 1).

    Args:
        ranked: (b, k) item rows, -1 for no item.
        n_items: length n of the catalogue.

    Returns:
        0 if each item is shown as often as any other (or none is), towards 1 the fewer of them
        take all places; 1 if a single one does.
    """
    shown = np.bincount(ranked[ranked >= 0], minlength=n_items)
    if n_items == 1 or not shown.any():
        return 0.0
    weights = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float(weights @ np.sort(shown) / shown.sum() / (n_items - 1))


def long_tail(purchases: Floats) -> Mask:
    """Which items are outside the most popular that together make `HEAD` of the purchases.

    Args:
        purchases: (n_items,) how often each was bought.

    Returns:
        (n_items,): whether the items that were bought more often make `HEAD` without it, so that
        items equally popular are on the same side.
    """
    values, inverse, counts = np.unique(purchases, return_inverse=True, return_counts=True)
    more = purchases.sum() - np.cumsum(values * counts)
    tail: Mask = (more >= HEAD * purchases.sum())[inverse]
    return tail


def long_tail_share(ranked: Integers, tail: Mask) -> float:
    """Share of the filled places that hold an item of the long tail; 0 if none is filled.

    Args:
        ranked: (b, k) item rows, -1 for no item.
        tail: (n_items,) which items are in the long tail.
    """
    shown = ranked[ranked >= 0]
    return float(tail[shown].mean()) if len(shown) else 0.0


def _sums(places: Places, values: npt.NDArray[np.float64 | np.int64]) -> Floats:
    """Sums over each user's targets of what a group's places are worth to one of its equals."""
    shares = values / np.maximum(places.equal, 1)
    sums = np.bincount(places.user, weights=shares, minlength=places.n_users)
    return np.asarray(sums, np.float64)


# A popular list has few groups of equals, some of them as long as the catalogue.
@lru_cache(maxsize=4096)
def _reciprocal_rank(above: int, equal: int, wanted: int) -> float:
    """Expected reciprocal rank of the first of some targets in a group of equals.

    The first stands j places into the group if the ones before miss and this one hits:
    its share of targets among the items that are left.
    """
    before = np.arange(equal - wanted + 1)
    share = wanted / (equal - before)
    missed = np.concatenate([[1], np.cumprod(1 - share[:-1])])
    return float(np.sum(missed * share / (above + before + 1)))


def _refuse_nan(scores: Scores) -> None:
    if np.isnan(scores).any():
        raise ValueError("a score is NaN: the network that gave it is broken")
