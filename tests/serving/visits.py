"""Visits, from outside of any event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from progrec.serving import recommender
from progrec.serving.recommender import Recommendation, ScoredCatalogue
from progrec.serving.store import Store


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
    visit = recommender.recommend(store, catalogue, user_id, k=k, allowed=allowed, peek=peek)
    return asyncio.run(visit)
