"""The NCF paper's benchmark: what our towers and neighbours make of its task.

Whatever is chosen is chosen on items held out of the training file; the test files are only read
to be ranked.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_array

from progrec import progress
from progrec.errors import InputError
from progrec.learning import ials, leave_one_out, neighbours
from progrec.learning.config import IALSConfig, ModelConfig
from progrec.learning.leave_one_out import Floats, LeaveOneOut
from progrec.learning.ncf import NCF

USERS_AT_ONCE = 256

EMBEDDINGS = IALSConfig(regularization=0.007, unobserved_weight=0.3, iterations=14, deviation=0.1)


@dataclass(frozen=True)
class Settings:
    """What is tried.

    Attributes:
        factors: width of the embeddings that one fit gives the GMF tower.
        embeddings: how they are fitted, but for the number of iterations, which is the most.
        fewest: the fewest iterations.
        seeds: of the fits that the tower holds side by side.
        regularizations: of the neighbours.
        shares: of the neighbours, beside 1 of the tower.
        seed: of the items held out for the choice.
    """

    factors: int = 192
    embeddings: IALSConfig = EMBEDDINGS
    fewest: int = 4
    seeds: tuple[int, ...] = (0, 1)
    regularizations: tuple[float, ...] = (200, 500, 1000, 2000)
    shares: tuple[float, ...] = (0, 0.1, 0.2, 0.3, 0.5, 0.7, 1)
    seed: int = 0


@dataclass(frozen=True)
class Choices:
    """What the held-out items of train speak for.

    Attributes:
        epochs: iterations of the embeddings.
        regularization: of the neighbours.
        share: of what the neighbours say, beside 1 of the tower, each in its deviations.
    """

    epochs: int
    regularization: float
    share: float


def benchmark(folder: Path, settings: Settings | None = None) -> dict[str, float]:
    """Chooses, learns and ranks.

    Args:
        folder: of the paper's three files.
        settings: what is tried.

    Returns:
        `hr@10` and `ndcg@10` of the test lists, the `seconds` that all of it took, the `factors`
        of an embedding and the `epochs` chosen.

    Raises:
        InputError: the files cannot be used.
    """
    settings = settings or Settings()
    start = time.monotonic()
    data = leave_one_out.read(folder)
    validation = leave_one_out.held_out_of(data.train, settings.seed)
    if len(validation.users) == 0:
        raise InputError(
            f"{folder}: no user has two items in the training file, so that nothing can be held "
            "out for a choice; take a larger data set"
        )
    choices = choose(validation, settings)
    figures = data.figures(scores(data, validation, choices, settings))
    return {
        "hr@10": figures.hit_rate,
        "ndcg@10": figures.ndcg,
        "seconds": round(time.monotonic() - start, 1),
        "factors": settings.factors,
        "epochs": choices.epochs,
    }


def choose(validation: LeaveOneOut, settings: Settings) -> Choices:
    """The choices that rank items held out of train best, by NDCG.

    Args:
        validation: from train alone.
        settings: what is tried.
    """
    epochs, tower = _best_epoch(validation, settings)
    figures = {}
    for regularization in progress.steps(settings.regularizations, "choosing the neighbours"):
        said = _said(
            validation, validation.train, neighbours.ease(validation.train, regularization)
        )
        for share in settings.shares:
            found = tower / _deviation(tower) + share * said / _deviation(said)
            figures[regularization, share] = validation.figures(found).ndcg
    return Choices(epochs, *max(figures, key=lambda tried: figures[tried]))


def scores(
    data: LeaveOneOut, validation: LeaveOneOut, choices: Choices, settings: Settings
) -> Floats:
    """(n, c) scores of the candidates, by what all of train teaches.

    Tower and neighbours are divided by their deviations over the negatives of validation, as they
    were when the share was chosen: the test lists have no say in how they are scored.
    """
    networks = _networks(data.train, settings, choices.epochs, "learning from all of train")
    network = deque(networks, maxlen=1).pop()
    weights = neighbours.ease(data.train, choices.regularization)
    tower = _tower(network, data) / _deviation(_tower(network, validation))
    said = _said(data, data.train, weights) / _deviation(_said(validation, data.train, weights))
    return np.asarray(tower + choices.share * said)


def _best_epoch(validation: LeaveOneOut, settings: Settings) -> tuple[int, Floats]:
    """The number of iterations with the highest NDCG, and the tower's scores then."""
    most = settings.embeddings.iterations
    networks = _networks(validation.train, settings, most, "choosing the number of iterations")
    found = {
        epoch: _tower(network, validation)
        for epoch, network in enumerate(networks, 1)
        if epoch >= min(settings.fewest, most)
    }
    best = max(found, key=lambda epoch: validation.figures(found[epoch]).ndcg)
    return best, found[best]


def _networks(train: csr_array, settings: Settings, epochs: int, what: str) -> Iterator[NCF]:
    """The network after each iteration; its tower holds the seeds' embeddings side by side."""
    config = settings.embeddings.model_copy(update={"iterations": epochs})
    fits = [ials.iterations(train, settings.factors, config, seed) for seed in settings.seeds]
    model = ModelConfig(towers=("gmf",), factors=settings.factors * len(settings.seeds), layers=())
    for parts in progress.steps(zip(*fits, strict=True), what, total=epochs):
        network = NCF(train.shape[0], train.shape[1], model)
        users, items = zip(*parts, strict=True)
        network.start_from(torch.cat(users, dim=1), torch.cat(items, dim=1))
        yield network


@torch.inference_mode()
def _tower(network: NCF, lists: LeaveOneOut) -> Floats:
    """(n, c) logits of the candidates."""
    users, items = torch.from_numpy(lists.users), torch.from_numpy(lists.candidates)
    blocks = [
        network(some[:, None], their)
        for some, their in zip(
            torch.split(users, USERS_AT_ONCE), torch.split(items, USERS_AT_ONCE), strict=True
        )
    ]
    return torch.cat(blocks).double().numpy()


def _said(lists: LeaveOneOut, train: csr_array, weights: neighbours.Weights) -> Floats:
    """(n, c) how much what the users like in train speaks for the candidates."""
    said = np.take_along_axis(train[lists.users] @ weights, lists.candidates, axis=1)
    return said.astype(np.float64)


def _deviation(scores: Floats) -> float:
    """Of (n, c) scores, over the negatives; 1 for scores that are the same everywhere."""
    return float(scores[:, 1:].std()) or 1.0
