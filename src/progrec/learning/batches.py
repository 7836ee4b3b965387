"""Pairs -> whole batches of tensors, in a new order each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from progrec.learning import negatives
from progrec.learning.config import SamplerConfig
from progrec.learning.dataset import Pairs
from progrec.learning.negatives import Sampler


class Batch(NamedTuple):
    """b liked pairs, each with n negatives of the same user.

    Attributes:
        users: (b,) user rows.
        liked: (b,) item rows.
        others: (b, n) item rows.
        weights: (b,).
        log_rates: (b, n) logarithm of the probability with which each negative is drawn for its
            user; where only the hardest are kept, of the draw before that.
    """

    users: Tensor
    liked: Tensor
    others: Tensor
    weights: Tensor
    log_rates: Tensor

    def hardest(self, logits: Tensor, n: int) -> Batch:
        """This batch with n negatives a pair: those with the highest of the (b, m) logits."""
        kept = logits.topk(n, dim=1).indices
        return self._replace(
            others=self.others.gather(1, kept), log_rates=self.log_rates.gather(1, kept)
        )


class Batches(IterableDataset[Batch]):
    """An epoch of batches: every pair once, with negatives drawn afresh.

    Where the hardest negatives are to be kept the batches hold all that were drawn: which are the
    hardest only the network knows. A batch is cut out of whole arrays: fetching sample by sample
    would cost more than the training.
    """

    def __init__(
        self, pairs: Pairs, n_items: int, *, batch_size: int, sampler: SamplerConfig, seed: int
    ) -> None:
        """Takes pairs, how negatives are drawn, and the seed of the order and the negatives."""
        self.users = torch.from_numpy(pairs.users)
        self.items = torch.from_numpy(pairs.items)
        self.weights = torch.from_numpy(pairs.weights)
        likes = torch.bincount(self.items, minlength=n_items)
        tickets = negatives.tickets(likes, sampler.popularity_exponent)
        self.sampler = Sampler(self.users, self.items, tickets)
        self.batch_size = batch_size
        self.n_drawn = sampler.negatives * sampler.hardest_of
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return math.ceil(len(self.users) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = torch.randperm(len(self.users), generator=self.generator)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            users = self.users[rows]
            others = self.sampler.draw(users, self.n_drawn, self.generator)
            log_rates = self.sampler.log_rates(users, others)
            yield Batch(users, self.items[rows], others, self.weights[rows], log_rates)
