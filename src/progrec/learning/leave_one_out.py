"""The task of the NCF paper's benchmark: one held-out item a user, among 99 unseen ones.

The protocol and the files are those of He et al. 2017 (https://arxiv.org/abs/1708.05031, files at
https://github.com/hexiangnan/neural_collaborative_filtering).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array

from progrec.errors import InputError
from progrec.learning.negatives import Sampler
from progrec.learning.vocabulary import Rows

CUTOFF = 10
N_NEGATIVES = 99
DIGITS = 18  # of an id that fits into 64 bits

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


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
    owners, known = (torch.from_numpy(rows.astype(np.int64)) for rows in train.nonzero())
    sampler = Sampler(owners, known, torch.ones(train.shape[1], dtype=torch.int64))
    others = sampler.draw(torch.from_numpy(users), N_NEGATIVES, generator)
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
