"""Items that a user has shown no interest in, drawn to be told apart from those of interest."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

ROUNDS = 4
FINENESS = 1000  # tickets of an item that one user likes, before they are reduced


def tickets(likes: Tensor, exponent: float) -> Tensor:
    """How many tickets each item holds: in the proportions of likes ** exponent.

    An item without any like counts as liked once, so that it can be drawn, too. The numbers have no
    common divisor: with exponent 0 each item holds one.

    Args:
        likes: (n_items,) how many users like each item.
        exponent: from 0, all alike, to 1, in proportion to the likes.

    Returns:
        (n_items,) whole numbers above 0, right to half a thousandth.
    """
    shares = (FINENESS * likes.clamp(min=1).double() ** exponent).round().long()
    return shares // int(np.gcd.reduce(shares.numpy()))


class Sampler:
    """Draws items other than those that a user is known to like.

    A draw is one of the tickets that the items hold. Tickets are whole numbers, whose sums are
    exact, so that every probability is, too.
    """

    def __init__(self, users: Tensor, items: Tensor, tickets: Tensor) -> None:
        """Takes the known pairs, (m,) user and item rows, and the items' tickets, (n_items,)."""
        self.tickets = tickets
        self.n_items = len(tickets)
        self.ends = tickets.cumsum(0)
        self.n_tickets = int(tickets.sum())
        self.known = torch.sort(users * self.n_items + items).values
        users, items = self.known // self.n_items, self.known % self.n_items
        held = tickets[items]
        self.n_unknown = self.n_tickets - torch.bincount(users, held).long()  # tickets, by user
        # How many tickets the known pairs before each of them hold, and all of them.
        self.known_before = torch.cat([held.new_zeros(1), held.cumsum(0)])
        starts = self.ends - tickets
        self.ranks = users * self.n_tickets + starts[items] - self.known_before[:-1]

    def draw(self, users: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draws items, with probabilities in proportion to their tickets.

        A draw that hits a known pair is drawn again, up to `ROUNDS` times; for the few that still
        hit the user's other items are counted out. Only a user who likes everything gets known
        items.

        Args:
            users: (b,) user rows.
            n: negatives a user row.
            generator: the source of randomness.

        Returns:
            (b, n) item rows.
        """
        items = self._drawn((len(users), n), generator)
        if len(self.known) == 0:
            return items
        owners = users[:, None].expand_as(items)
        for _ in range(ROUNDS):
            hits = self._are_known(owners, items)
            n_hits = int(hits.sum())
            if n_hits == 0:
                return items
            items[hits] = self._drawn((n_hits,), generator)
        hits = self._are_known(owners, items)
        items[hits] = self._counted_out(owners[hits], items[hits], generator)
        return items

    def log_rates(self, users: Tensor, items: Tensor) -> Tensor:
        """Logarithms of the probabilities with which `draw` draws items: exact, not estimated.

        Args:
            users: (b,) rows of users who are known to like something.
            items: (b, n) item rows, as drawn for these users.

        Returns:
            (b, n).
        """
        n_unknown = self.n_unknown[users]
        drawn_from = torch.where(n_unknown > 0, n_unknown, self.n_tickets)
        return self.tickets[items].log() - drawn_from.log()[:, None]

    def _drawn(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return self._items_of(torch.randint(self.n_tickets, shape, generator=generator))

    def _items_of(self, tickets: Tensor) -> Tensor:
        return torch.searchsorted(self.ends, tickets, right=True)

    def _are_known(self, users: Tensor, items: Tensor) -> Tensor:
        keys = users * self.n_items + items
        places = torch.searchsorted(self.known, keys).clamp_(max=len(self.known) - 1)
        return self.known[places] == keys

    def _counted_out(self, users: Tensor, items: Tensor, generator: torch.Generator) -> Tensor:
        """(m,) users -> (m,) items drawn among those that each does not know.

        The ticket of rank r among a user's unknown ones is r + t, where known items with t tickets
        lie before it: those whose first ticket less the known ones before it is at most r.
        """
        n_unknown = self.n_unknown[users]
        first = self.known_before[torch.searchsorted(self.known, users * self.n_items)]
        drawn = torch.rand(len(users), generator=generator, dtype=torch.float64)
        rank = (drawn * n_unknown).long()
        places = torch.searchsorted(self.ranks, users * self.n_tickets - first + rank, right=True)
        found = self._items_of(rank + self.known_before[places] - first)
        return torch.where(n_unknown > 0, found, items)
