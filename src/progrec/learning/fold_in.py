"""Embeddings from likes, while the other side's stand still."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from scipy.sparse import csr_array
from torch import Tensor

from progrec.learning import ials
from progrec.learning.config import IALSConfig
from progrec.learning.embeddings import Embeddings, spaced
from progrec.learning.ncf import NCF
from progrec.learning.touches import Touches
from progrec.learning.vocabulary import Rows

MANY = 128
"""Users who touched an item, above which it is not solved anew."""


@dataclass(frozen=True, eq=False)
class FoldIn:
    """What is needed of a network to embed users that it has no row for.

    The GMF tower's part is the half step of alternating least squares, if that is how the tower
    started; all else is the mean of those that have rows.

    Attributes:
        own: the embeddings of the users that have rows.
        others: (n_items, factors) the GMF tower's part of the items' embeddings.
        start: how the GMF tower's start was fitted; None if it was noise.
    """

    own: Embeddings
    others: Tensor
    start: IALSConfig | None

    @classmethod
    @torch.no_grad()
    def of(cls, network: NCF, start: IALSConfig | None) -> FoldIn:
        """Takes a network, and how its GMF tower's start was fitted."""
        factors = network.gmf_width
        others = _whole(network.items)[:, :factors]
        return cls(network.users, others, start if factors else None)

    @torch.no_grad()
    def embeddings(self, likes: csr_array) -> Tensor:
        """(b, n_items) 0/1, who likes what -> (b, width)."""
        found = self._typical.repeat(likes.shape[0], 1)
        if self.start is not None:
            part = solutions(self.others, self._every, likes, self.start)
            found[:, : self.others.shape[1]] = part
        return found

    @cached_property
    def _every(self) -> Tensor:
        return gram(self.others)

    @cached_property
    def _typical(self) -> Tensor:
        """(width,) the mean embedding of those that have rows."""
        return _whole(self.own).mean(dim=0)


@torch.no_grad()
def gram(others: Tensor) -> Tensor:
    """(n, factors) -> (factors, factors): `ials.gram`; of very many, what comes close to it."""
    some = spaced(others)
    return ials.gram(some) * (len(others) / len(some))


@torch.no_grad()
def solutions(others: Tensor, every: Tensor, likes: csr_array, start: IALSConfig) -> Tensor:
    """What least squares make of likes: see `ials.solve`.

    Args:
        others: (n, factors) of the other side.
        every: (factors, factors) their `gram`.
        likes: (b, n) 0/1.
        start: how the tower was fitted.

    Returns:
        (b, factors).
    """
    solved = torch.empty(likes.shape[0], others.shape[1])
    ials.solve(solved, others, every, likes, start)
    return solved


@torch.no_grad()
def solve(
    network: NCF, touches: Touches, users: Rows, items: Rows, start: IALSConfig | None
) -> None:
    """Puts the GMF tower's part of some rows where least squares of all that was done has it.

    The items first, then the users: half steps of the alternation, for these rows only. An item
    that more than `MANY` users touched stays where it is: a day hardly moves it, and it would take
    long. If the tower started from noise, nothing is done.
    """
    if start is None or not network.gmf_width:
        return
    items = items[touches.touched_by(items) <= MANY]
    factors = slice(0, network.gmf_width)
    liked_by = touches.likers_of(items, network.users.num_embeddings)
    others = _whole(network.users)[:, factors]
    _put(network.items, items, solutions(others, gram(others), liked_by, start))
    likes = touches.likes_of(users, network.n_items)
    others = _whole(network.items)[:, factors]
    _put(network.users, users, solutions(others, gram(others), likes, start))


def _whole(table: Embeddings) -> Tensor:
    return table.block(slice(None))


def _put(table: Embeddings, rows: Rows, part: Tensor) -> None:
    """Replaces the first columns of some rows' embeddings."""
    places = torch.from_numpy(rows)
    embeddings = table(places)
    embeddings[:, : part.shape[1]] = part
    table.put(places, embeddings)
