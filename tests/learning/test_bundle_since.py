"""Shoppers who have done something that a bundle has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from progrec.learning.bundle import Bundle
from progrec.learning.config import IALSConfig, Recipe
from progrec.learning.fold_in import FoldIn
from progrec.learning.touches import Done


def all_of(bundle: Bundle, user_id: str, done: list[Done]) -> np.ndarray:
    """(n_items,) probabilities."""
    ranking = bundle.ranking_after(user_id, done)
    assert ranking is not None
    return ranking.probabilities(np.arange(len(bundle.items)))


def test_a_known_shoppers_new_events_count_as_after_the_days_update(
    bundle_with_fusion: Bundle, interactions: Callable[..., pd.DataFrame]
) -> None:
    known = bundle_with_fusion.evidence
    assert known is not None
    today = [Done("p01", "view", 2, known.day), Done("p03", "cart", 1, known.day)]
    events = [
        (str(known.day), "bob", "p01", "view"),
        (str(known.day), "bob", "p01", "view"),
        (str(known.day), "bob", "p03", "cart"),
    ]

    found = all_of(bundle_with_fusion, "bob", today)

    day = interactions(events)
    later = known.after(day, bundle_with_fusion.users, bundle_with_fusion.vocabulary, known.day)
    # What sells is not what one shopper did since.
    expected = replace(bundle_with_fusion, evidence=replace(later, demand=known.demand))
    np.testing.assert_allclose(found, expected.scores(["bob"])[0], rtol=1e-6)
    assert not np.allclose(found, bundle_with_fusion.scores(["bob"])[0])


def test_a_known_shopper_who_has_done_nothing_since_gets_the_models_own_scores(
    bundle: Bundle, bundle_with_fusion: Bundle
) -> None:
    for model in (bundle, bundle_with_fusion):
        np.testing.assert_allclose(all_of(model, "ann", []), model.scores(["ann"])[0], rtol=1e-6)


def test_a_stranger_is_embedded_by_what_they_like(
    bundle_with_fusion: Bundle, interactions: Callable[..., pd.DataFrame]
) -> None:
    start = IALSConfig(regularization=0.1, unobserved_weight=0.3, iterations=1, deviation=0.1)
    model = replace(bundle_with_fusion, recipe=Recipe(start=start, epochs=0))
    assert model.evidence is not None
    done = [Done("p02", "view", 1, model.watermark), Done("no such", "cart", 1, model.watermark)]

    found = all_of(model, "zoe", done)

    likes = csr_array(np.array([[0, 0, 1, 0]], np.float32))
    embedding = FoldIn.of(model.network, start).embeddings(likes)
    day = interactions([(str(model.watermark), "zoe", "p02", "view")])
    users = model.users.grown(["zoe"])
    later = model.evidence.after(day, users, model.vocabulary, model.watermark)
    known = replace(later, demand=model.evidence.demand).inputs(users.rows(["zoe"]))
    expected = model.network.probabilities_for(embedding, known)
    np.testing.assert_allclose(found, expected[0].numpy(), rtol=1e-6)


def test_a_stranger_of_whom_nothing_is_known_has_no_ranking(bundle: Bundle) -> None:
    assert bundle.ranking_after("zoe", []) is None
    assert bundle.ranking_after("zoe", [Done("no such", "view", 1, bundle.watermark)]) is None
