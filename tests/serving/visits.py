"""Visits, from outside of any event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from progrec.learning.catalogue import Mask
from progrec.serving import recommender
from progrec.serving.recommender import Recommendation, ScoredCatalogue
from progrec.serving.scorers import Scorers
from progrec.serving.store import Store


@dataclass(frozen=True)
class Chosen:
    """A `Selection`, by what it says of one product."""

    allows: Callable[[str], bool]

    def __call__(self, product_id: str) -> bool:
        return self.allows(product_id)

    def among(self, catalogue: ScoredCatalogue) -> Mask:
        return np.array([self(item) for item in catalogue.item_ids], dtype=bool)


def recommend(
    store: Store,
    catalogue: ScoredCatalogue,
    user_id: str,
    *,
    k: int,
    allowed: Callable[[str], bool] | None = None,
    peek: bool = False,
) -> list[Recommendation]:
    """What the shopper is shown."""
    selection = None if allowed is None else Chosen(allowed)
    scorers = Scorers()
    visit = recommender.recommend(
        store, catalogue, scorers, user_id, k=k, allowed=selection, peek=peek
    )
    try:
        return asyncio.run(visit)
    finally:
        scorers.close()
