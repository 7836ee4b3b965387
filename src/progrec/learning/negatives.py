"""Items that a user has shown no interest in, drawn to be told apart from those of interest."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 4


def uniform(
    users: Tensor, n_items: int, n_negatives: int, known: Tensor, generator: torch.Generator
) -> Tensor:
    """Draws items uniformly, other than those that the user is known to like.

    A draw that hits a known pair is drawn again, up to `ROUNDS` times; for the few that still hit
    the user's other items are counted out. Only a user who likes everything gets known items.

    Args:
        users: (b,) user rows.
        n_items: number of items.
        n_negatives: negatives a user row.
        known: sorted keys `user * n_items + item` of the pairs to stay clear of.
        generator: the source of randomness.

    Returns:
        (b, n_negatives) item rows.
    """
    items = torch.randint(n_items, (len(users), n_negatives), generator=generator)
    if len(known) == 0:
        return items
    owners = users[:, None].expand_as(items)
    for _ in range(ROUNDS):
        hits = _are_known(owners, items, n_items, known)
        n_hits = int(hits.sum())
        if n_hits == 0:
            return items
        items[hits] = torch.randint(n_items, (n_hits,), generator=generator)
    hits = _are_known(owners, items, n_items, known)
    items[hits] = _counted_out(owners[hits], items[hits], n_items, known, generator)
    return items


def _are_known(users: Tensor, items: Tensor, n_items: int, known: Tensor) -> Tensor:
    keys = users * n_items + items
    places = torch.searchsorted(known, keys).clamp_(max=len(known) - 1)
    return known[places] == keys


def _counted_out(
    users: Tensor, items: Tensor, n_items: int, known: Tensor, generator: torch.Generator
) -> Tensor:
    """(m,) users -> (m,) items drawn among those that each does not know.

    The item of rank r among a user's unknown ones is r + j, where j of the known ones lie before
    it: those whose row less the number of known ones before them is at most r.
    """
    first = torch.searchsorted(known, users * n_items)
    n_known = torch.searchsorted(known, (users + 1) * n_items) - first
    n_unknown = n_items - n_known
    drawn = torch.rand(len(users), generator=generator, dtype=torch.float64)
    rank = (drawn * n_unknown).long()
    before = known - torch.arange(len(known))
    j = torch.searchsorted(before, users * n_items - first + rank, right=True) - first
    return torch.where(n_unknown > 0, rank + j, items)
