"""Embeddings of who or what has none, from likes, while the other side stands still."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.sparse import csr_array
from torch import Tensor

from progrec.learning import ials
from progrec.learning.config import IALSConfig
from progrec.learning.embeddings import Embeddings
from progrec.learning.ncf import NCF
from progrec.learning.touches import Touches
from progrec.learning.vocabulary import Rows

MANY = 2000
"""Users who touched an item, above which it is not solved anew."""


@dataclass(frozen=True, eq=False)
class FoldIn:
    """What is needed of a network to embed users, or items, that it has no row for.

    The GMF tower's part is the half step of alternating least squares, if that is how the tower
    started; all else is the mean of those that have rows.

    Attributes:
        typical: (width,) the mean embedding of those that have rows.
        others: (n, factors) the GMF tower's part of the other side's embeddings.
        start: how the GMF tower's start was fitted; None if it was noise.
    """

    typical: Tensor
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

    def embeddings(self, likes: csr_array) -> Tensor:
        """(b, n) 0/1, who likes which of the other side -> (b, width)."""
        found = self.typical.repeat(likes.shape[0], 1)
        if self.start is not None:
            factors = self.others.shape[1]
            solved = found[:, :factors].contiguous()
            ials.solve(solved, self.others, likes, self.start)
            found[:, :factors] = solved
        return found

    @classmethod
    @torch.no_grad()
    def _of(
        cls, own: Embeddings, others: Embeddings, factors: int, start: IALSConfig | None
    ) -> FoldIn:
        everyone = slice(None)
        return cls(
            own.block(everyone).mean(dim=0),
            others.block(everyone)[:, :factors],
            start if factors else None,
        )


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
    solved = FoldIn.of_items(network, start).embeddings(liked_by)
    _put(network.items, items, solved[:, : network.gmf_width])
    likes = touches.likes_of(users, network.n_items)
    solved = FoldIn.of_users(network, start).embeddings(likes)
    _put(network.users, users, solved[:, : network.gmf_width])


def _put(table: Embeddings, rows: Rows, part: Tensor) -> None:
    """Replaces the first columns of some rows' embeddings."""
    places = torch.from_numpy(rows)
    embeddings = table(places)
    embeddings[:, : part.shape[1]] = part
    table.put(places, embeddings)
