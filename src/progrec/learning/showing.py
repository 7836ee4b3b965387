"""What a bundle would show, and whether that can be right at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from progrec.learning import metrics
from progrec.learning.bundle import Bundle
from progrec.learning.evaluation import BATCH


@dataclass(frozen=True)
class Showing:
    """What some users would be shown: the likeliest products that they have not bought.

    Attributes:
        users: how many.
        unusable: how many of them have a probability that is none: outside of [0, 1], or NaN. They
            are left out of what follows.
        undecided: how many have the same probability of every product.
        probability: mean of the products shown; 0 if there are none.
        products: how many different products are shown.
    """

    users: int
    unusable: int
    undecided: int
    probability: float
    products: int

    @classmethod
    def of(cls, bundle: Bundle, user_ids: Sequence[str], k: int) -> Showing:
        """What a bundle shows.

        Args:
            bundle: what recommends.
            user_ids: users whom it knows.
            k: products a user.
        """
        rows = bundle.users.rows(user_ids)
        unusable = undecided = 0
        shown, items = [np.empty(0, np.float32)], [np.empty(0, np.int64)]
        for start in range(0, len(rows), BATCH):
            users = rows[start : start + BATCH]
            chances = bundle.probabilities(users)
            usable = ((chances >= 0) & (chances <= 1)).all(axis=1)
            users, chances = users[usable], chances[usable]
            unusable += int((~usable).sum())
            if len(bundle.items) > 1:
                undecided += int((chances.max(axis=1) == chances.min(axis=1)).sum())
            is_new = bundle.bought[users].toarray() == 0
            best = metrics.top(np.where(is_new, chances, -np.inf).astype(np.float32), k)
            places = np.nonzero(best >= 0)[0], best[best >= 0]
            shown.append(chances[places])
            items.append(places[1])
        every = np.concatenate(shown)
        return cls(
            len(rows),
            unusable,
            undecided,
            float(every.mean(dtype=np.float64)) if len(every) else 0.0,
            len(np.unique(np.concatenate(items))),
        )


def broken_weights(bundle: Bundle) -> list[str]:
    """Names of the network's tables, layers and constants that hold a value that is not finite."""
    return [
        name
        for name, value in bundle.network.state_dict().items()
        if not bool(torch.isfinite(value).all())
    ]
