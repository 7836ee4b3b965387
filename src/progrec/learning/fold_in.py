"""Embeddings of who or what has none, from likes, while the other side stands still."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from scipy.sparse import csr_array
from torch import Tensor

from progrec.learning import ials
from progrec.learning.config import IALSConfig
from progrec.learning.embeddings import Embeddings
from progrec.learning.ncf import NCF
from progrec.learning.touches import Touches
from progrec.learning.vocabulary import Rows

MANY = 250
"""Users who touched an item, above which it is not solved anew."""


@dataclass(frozen=True, eq=False)
class FoldIn:
    """What is needed of a network to embed users, or items, that it has no row for.

    The GMF tower's part is the half step of alternating least squares, if that is how the tower
    started; all else is the mean of those that have rows.

    Attributes:
        own: the embeddings of those that have rows.
        others: (n, factors) the GMF tower's part of the other side's embeddings.
        start: how the GMF tower's start was fitted; None if it was noise.
    """

    own: Embeddings
    others: Tensor
    start: IALSConfig | None

    @classmethod
    def of_users(cls, network: NCF, start: IALSConfig | None) -> FoldIn:
        """Embeds users."""
        return cls._of(network.users, network.items, network.gmf_width, start)

    @classmethod
    def of_items(cls, network: NCF, start: IALSConfig | None) -> FoldIn:
        """Embeds items."""
        return cls._of(network.items, network.users, network.gmf_width, start)

    @torch.no_grad()
    def embeddings(self, likes: csr_array) -> Tensor:
        """(b, n) 0/1, who likes which of the other side -> (b, width)."""
        found = self._typical.repeat(likes.shape[0], 1)
        if self.start is not None:
            found[:, : self.others.shape[1]] = self.solutions(likes, self.start)
        return found

    @torch.no_grad()
    def solutions(self, likes: csr_array, start: IALSConfig) -> Tensor:
        """(b, n) 0/1 -> (b, factors): the GMF tower's part by least squares."""
        solved = torch.empty(likes.shape[0], self.others.shape[1])
        ials.solve(solved, self.others, likes, start)
        return solved

    @cached_property
    def _typical(self) -> Tensor:
        """(width,) the mean embedding of those that have rows."""
        return self.own.block(slice(None)).mean(dim=0)

    @classmethod
    @torch.no_grad()
    def _of(
        cls, own: Embeddings, others: Embeddings, factors: int, start: IALSConfig | None
    ) -> FoldIn:
        return cls(own, others.block(slice(None))[:, :factors], start if factors else None)


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
    liked_by = touches.likers_of(items, network.users.num_embeddings)
    _put(network.items, items, FoldIn.of_items(network, start).solutions(liked_by, start))
    likes = touches.likes_of(users, network.n_items)
    _put(network.users, users, FoldIn.of_users(network, start).solutions(likes, start))


def _put(table: Embeddings, rows: Rows, part: Tensor) -> None:
    """Replaces the first columns of some rows' embeddings."""
    places = torch.from_numpy(rows)
    embeddings = table(places)
    embeddings[:, : part.shape[1]] = part
    table.put(places, embeddings)
