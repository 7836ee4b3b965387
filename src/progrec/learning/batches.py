"""Pairs -> whole batches of tensors, in a new order each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from progrec.learning import negatives
from progrec.learning.dataset import Pairs


class Batch(NamedTuple):
    """b liked pairs, each with n negatives of the same user.

    Attributes:
        users: (b,) user rows.
        liked: (b,) item rows.
        others: (b, n) item rows.
        weights: (b,).
    """

    users: Tensor
    liked: Tensor
    others: Tensor
    weights: Tensor


class Batches(IterableDataset[Batch]):
    """An epoch of batches: every pair once, with negatives drawn afresh.

    A batch is cut out of whole arrays: fetching sample by sample would cost more than the training.
    """

    def __init__(
        self, pairs: Pairs, n_items: int, *, batch_size: int, n_negatives: int, seed: int
    ) -> None:
        """Takes pairs, and the seed of the order and the negatives."""
        self.users = torch.from_numpy(pairs.users)
        self.items = torch.from_numpy(pairs.items)
        self.weights = torch.from_numpy(pairs.weights)
        self.known = torch.sort(self.users * n_items + self.items).values
        self.n_items = n_items
        self.batch_size = batch_size
        self.n_negatives = n_negatives
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return math.ceil(len(self.users) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = torch.randperm(len(self.users), generator=self.generator)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            users = self.users[rows]
            others = negatives.uniform(
                users, self.n_items, self.n_negatives, self.known, self.generator
            )
            yield Batch(users, self.items[rows], others, self.weights[rows])
