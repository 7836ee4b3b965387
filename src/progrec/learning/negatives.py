"""Items that a user has shown no interest in, drawn to be told apart from those of interest."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 4


def uniform(
    users: Tensor, n_items: int, n_negatives: int, known: Tensor, generator: torch.Generator
) -> Tensor:
    """Draws items uniformly, other than those that the user is known to like.

    A draw that hits a known pair is drawn again, up to `ROUNDS` times; the few that still hit stay
    (a user who likes nearly everything has no other negatives).

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
    for _ in range(ROUNDS):
        keys = users[:, None] * n_items + items
        places = torch.searchsorted(known, keys).clamp_(max=len(known) - 1)
        hits = known[places] == keys
        n_hits = int(hits.sum())
        if n_hits == 0:
            break
        items[hits] = torch.randint(n_items, (n_hits,), generator=generator)
    return items
