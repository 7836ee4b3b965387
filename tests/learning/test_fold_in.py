from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import Tensor

from progrec.learning import ials
from progrec.learning.config import FeaturesConfig, IALSConfig, ModelConfig
from progrec.learning.fold_in import FoldIn, gram, solutions
from progrec.learning.ncf import NCF

START = IALSConfig(regularization=0.05, unobserved_weight=0.2, iterations=3, deviation=0.5)
LIKES = csr_array((np.random.default_rng(3).random((12, 7)) < 0.4).astype(np.float32))


def network(*towers: str, features: FeaturesConfig | None = None) -> NCF:
    torch.manual_seed(5)
    config = ModelConfig(
        towers=towers, factors=4, layers=(3, 2), features=features or FeaturesConfig()
    )
    made = NCF(
        12,
        7,
        config,
        torch.tensor([[0], [1], [1], [0], [2], [2], [1]])[:, : len(config.features.attributes)],
    )
    if made.gmf_width:
        made.start_from(*ials.fit(LIKES, 4, START, 0, quiet=True))
    return made.eval()


def ridge(others: Tensor, likes: np.ndarray) -> np.ndarray:
    """The least of sum_liked (1 - u.v)^2 + w sum_all (u.v)^2 + r |u|^2, as one regression."""
    v = others.double().detach().numpy()
    w = START.unobserved_weight
    penalty = START.regularization * (likes.sum() + w * len(v))
    rows = np.concatenate([v[likes > 0], np.sqrt(w) * v, np.sqrt(penalty) * np.eye(v.shape[1])])
    wanted = np.concatenate([np.ones(int(likes.sum())), np.zeros(len(v) + v.shape[1])])
    return np.linalg.lstsq(rows, wanted, rcond=None)[0]


def test_the_gmf_towers_part_is_the_regression_on_the_items_and_the_rest_the_mean() -> None:
    made = network("gmf", "mlp")
    likes = np.array([[1, 0, 1, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0, 1]], np.float32)

    found = FoldIn.of(made, START).embeddings(csr_array(likes)).numpy()

    typical = made.users.weight[:, 4:].mean(dim=0).detach().numpy()
    for embedding, liked in zip(found, likes, strict=True):
        np.testing.assert_allclose(embedding[:4], ridge(made.items.weight[:, :4], liked), atol=1e-5)
        np.testing.assert_allclose(embedding[4:], typical, rtol=1e-5)


def test_solutions_are_regressions_on_either_side() -> None:
    users = network("gmf").users.weight.detach()
    liked_by = np.array([[1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0], [0] * 12], np.float32)

    found = solutions(users, gram(users), csr_array(liked_by), START).numpy()

    np.testing.assert_allclose(found[0], ridge(users, liked_by[0]), atol=1e-5)
    assert not found[1].any()


def test_users_of_the_training_get_their_own_rows_again() -> None:
    made = network("gmf")

    found = FoldIn.of(made, START).embeddings(LIKES)

    torch.testing.assert_close(found, made.users.weight.detach(), rtol=1e-4, atol=1e-5)


def test_side_inputs_of_the_other_side_count() -> None:
    made = network("gmf", features=FeaturesConfig(attributes=("category",)))
    torch.nn.init.normal_(made.items.side.words[0].weight)

    found = FoldIn.of(made, START).embeddings(LIKES[:1]).numpy()

    whole = made.items(torch.arange(7))
    np.testing.assert_allclose(found[0], ridge(whole, LIKES[:1].toarray()[0]), atol=1e-5)


@pytest.mark.parametrize("towers", [("mlp",), ("gmf", "mlp")])
def test_towers_from_noise_take_who_is_new_for_the_mean_of_the_known(
    towers: tuple[str, ...],
) -> None:
    made = network(*towers)

    found = FoldIn.of(made, START if towers == ("mlp",) else None).embeddings(LIKES[:3])

    expected = made.users.weight.mean(dim=0).detach()
    assert all(torch.equal(embedding, expected) for embedding in found)


def test_nobody_is_nobody() -> None:
    assert FoldIn.of(network("gmf"), START).embeddings(LIKES[:0]).shape == (0, 4)
