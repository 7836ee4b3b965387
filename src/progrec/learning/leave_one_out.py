"""The NCF paper's leave-one-out benchmark: one held-out item a user, among 99 unseen ones.

The protocol and the files are those of He et al. 2017 (https://arxiv.org/abs/1708.05031, files at
https://github.com/hexiangnan/neural_collaborative_filtering). Whatever is chosen is chosen on
items held out of the training file; the test files are only read to be ranked.
"""

from __future__ import annotations

import gzip
import time
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array

from progrec import progress
from progrec.errors import InputError
from progrec.learning import ials, negatives, neighbours
from progrec.learning.config import IALSConfig, ModelConfig
from progrec.learning.ncf import NCF
from progrec.learning.vocabulary import Rows

CUTOFF = 10
N_NEGATIVES = 99
USERS_AT_ONCE = 256
DIGITS = 18  # of an id that fits into 64 bits

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


# What is ranked


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """What is known of users, and of each an item to be found among others.

    Attributes:
        train: (n_users, n_items) 0/1.
        users: (n,) rows of the users who have an item to be found.
        held_out: (n,) rows of these items.
        negatives: (n, c - 1) rows of the items among which each is to be found.
    """

    train: csr_array
    users: Rows
    held_out: Rows
    negatives: Rows

    @cached_property
    def candidates(self) -> Rows:
        """(n, c): the held-out item, then the negatives."""
        return np.concatenate([self.held_out[:, None], self.negatives], axis=1)

    def figures(self, scores: Floats) -> Figures:
        """How well (n, c) scores of the candidates rank the held-out items."""
        return Figures.of(self.ranks(scores))

    def ranks(self, scores: Floats) -> Floats:
        """(n, c) scores of the candidates -> (n,) how many negatives rank before the item.

        A negative with an equal score is half before it, and so is one that is the held-out item
        itself, as 156 of the paper's are.
        """
        wanted, others = scores[:, :1], scores[:, 1:]
        ranks: Floats = ((others > wanted) + 0.5 * (others == wanted)).sum(axis=1)
        return ranks


class Figures(NamedTuple):
    """Hit rate and NDCG of the first ten, means over users."""

    hit_rate: float
    ndcg: float

    @classmethod
    def of(cls, ranks: Floats) -> Figures:
        """(n,) ranks, the first is 0: a hit is worth 1, and 1 / log2(rank + 2) for NDCG."""
        hits = ranks < CUTOFF
        return cls(float(hits.mean()), float((hits / np.log2(ranks + 2)).mean()))


def held_out_of(train: csr_array, seed: int) -> LeaveOneOut:
    """One item at random of each user with at least two, and negatives unseen in train.

    Args:
        train: (n_users, n_items) 0/1.
        seed: of the items and the negatives.

    Returns:
        Train without these items, and the lists to rank.
    """
    generator = torch.Generator().manual_seed(seed)
    counts = np.diff(train.indptr)
    users = np.flatnonzero(counts >= 2)
    drawn = torch.rand(len(users), generator=generator, dtype=torch.float64).numpy()
    places = train.indptr[users] + (drawn * counts[users]).astype(np.int64)
    held_out = train.indices[places].astype(np.int64)
    rest = train.copy()
    rest.data[places] = 0
    rest.eliminate_zeros()
    pairs = train.tocoo()
    n_items = train.shape[1]
    known = np.sort(pairs.row.astype(np.int64) * n_items + pairs.col)
    others = negatives.uniform(
        torch.from_numpy(users), n_items, N_NEGATIVES, torch.from_numpy(known), generator
    )
    return LeaveOneOut(rest, users, held_out, others.numpy())


# The files


def read(folder: Path) -> LeaveOneOut:
    """The paper's three files, gzipped or not.

    Args:
        folder: holds `*.train.rating` (user, item, rating and time a line, tab-separated),
            `*.test.rating` (the same, a line a user) and `*.test.negative` (a line a line of the
            test file: `(user,item)`, then 99 items).

    Raises:
        InputError: a file is missing, damaged or empty, or a line is not what it should be.
    """
    train = _pairs(_file(folder, "train.rating"))
    tested = _file(folder, "test.rating")
    test = _pairs(tested)
    _refuse_what_is_known(tested, train, test)
    others = _negatives(_file(folder, "test.negative"), tested, test)
    users = np.unique(np.concatenate([train[:, 0], test[:, 0]]))
    items = np.unique(np.concatenate([train[:, 1], test[:, 1], others.ravel()]))
    rows = np.searchsorted(users, train[:, 0]), np.searchsorted(items, train[:, 1])
    likes = csr_array((np.ones(len(train), np.float32), rows), shape=(len(users), len(items)))
    likes.sum_duplicates()
    likes.data[:] = 1
    return LeaveOneOut(
        likes,
        np.searchsorted(users, test[:, 0]),
        np.searchsorted(items, test[:, 1]),
        np.searchsorted(items, others),
    )


def _file(folder: Path, kind: str) -> Path:
    found = sorted(folder.glob(f"*.{kind}")) + sorted(folder.glob(f"*.{kind}.gz"))
    if not found:
        raise InputError(
            f"{folder} holds no *.{kind}.gz; put the NCF paper's three files of a data set there: "
            "https://github.com/hexiangnan/neural_collaborative_filtering/tree/master/Data"
        )
    if len(found) > 1:
        names = " and ".join(file.name for file in found)
        raise InputError(f"{folder} holds {names}; keep one *.{kind} file")
    return found[0]


def _lines(file: Path, n_fields: int) -> Iterator[tuple[int, list[str]]]:
    """The number of each line, from 1, and its fields."""
    number = 0
    try:
        with (
            gzip.open(file, "rt", encoding="utf-8")
            if file.suffix == ".gz"
            else file.open(encoding="utf-8") as text
        ):
            for number, line in enumerate(text, 1):
                fields = line.rstrip("\n").split("\t")
                if len(fields) != n_fields:
                    raise InputError(
                        f"{file}, line {number}: {len(fields)} fields where {n_fields} are "
                        "expected, separated by tabs; mend the line or fetch the file again"
                    )
                yield number, fields
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(
            f"{file} cannot be read after line {number} ({error}); fetch it again"
        ) from None
    if not number:
        raise InputError(f"{file} is empty; fetch it again")


def _id(text: str, file: Path, line: int, field: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS):
        raise InputError(
            f"{file}, line {line}: {field} is {text!r}, not a whole number of at most {DIGITS} "
            "digits; mend the line or fetch the file again"
        )
    return int(text)


def _pairs(file: Path) -> Rows:
    """(m, 2) ids of user and item."""
    ids = (
        (_id(user, file, line, "user"), _id(item, file, line, "item"))
        for line, (user, item, _, _) in _lines(file, 4)
    )
    return np.fromiter(ids, np.dtype((np.int64, 2)))


def _negatives(file: Path, tested: Path, test: Rows) -> Rows:
    """(n, 99) ids of items, a row a line of the test file."""
    others = []
    for line, (pair, *items) in _lines(file, 1 + N_NEGATIVES):
        expected = "({},{})".format(*test[line - 1]) if line <= len(test) else "the end"
        if pair != expected:
            raise InputError(
                f"{file}, line {line}: pair is {pair!r} where {tested} has {expected}; "
                "fetch the two files of the same data set"
            )
        others.append([_id(item, file, line, f"negative {n}") for n, item in enumerate(items, 1)])
    if len(others) < len(test):
        raise InputError(
            f"{file}, line {len(others) + 1}: missing, for {tested} has {len(test)} lines; "
            "fetch the two files of the same data set"
        )
    return np.array(others, np.int64)


def _refuse_what_is_known(tested: Path, train: Rows, test: Rows) -> None:
    """Each user is tested once, with an item that train does not tell of."""
    seen = set()
    known = set(map(tuple, train[np.isin(train[:, 0], test[:, 0])].tolist()))
    for line, (user, item) in enumerate(test.tolist(), 1):
        if user in seen:
            raise InputError(
                f"{tested}, line {line}: user {user} has a line already; keep one line a user"
            )
        if (user, item) in known:
            raise InputError(
                f"{tested}, line {line}: item {item} is also in the training file for user "
                f"{user}; remove it from one of the two"
            )
        seen.add(user)


# The model

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
    data = read(folder)
    validation = held_out_of(data.train, settings.seed)
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
