"""NCF as tutorials write it: fetched sample by sample, learned by dense Adam."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from progrec.learning.batches import Batch
from progrec.learning.config import ModelConfig

Example = tuple[int, int, float]
"""User row, item row, and 1 if the user liked the item, else 0."""


class TextbookNCF(nn.Module):
    """GMF and MLP side by side, each with tables of its own, whose gradients are dense."""

    def __init__(self, n_users: int, n_items: int, config: ModelConfig) -> None:
        super().__init__()
        first, *rest = config.layers
        self.gmf_users = nn.Embedding(n_users, config.factors)
        self.gmf_items = nn.Embedding(n_items, config.factors)
        self.mlp_users = nn.Embedding(n_users, first)
        self.mlp_items = nn.Embedding(n_items, first)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((2 * first, *rest)):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.mlp = nn.Sequential(*layers)
        self.output = nn.Linear(config.factors + config.layers[-1], 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Logits (b,) of b user rows and as many item rows."""
        gmf = self.gmf_users(users) * self.gmf_items(items)
        mlp = self.mlp(torch.cat([self.mlp_users(users), self.mlp_items(items)], dim=-1))
        logits: Tensor = self.output(torch.cat([gmf, mlp], dim=-1)).squeeze(-1)
        return logits


class Examples(Dataset[Example]):
    """Liked pairs and their negatives, which were drawn in advance, one by one."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.examples = [example for batch in batches for example in _examples(batch)]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]


def train(network: TextbookNCF, examples: Examples, batch_size: int, rate: float) -> Iterator[None]:
    """Learns every example once, in random order; yields after each step.

    Args:
        network: what learns.
        examples: the samples.
        batch_size: examples a step.
        rate: the learning rate of all parameters.
    """
    loader = DataLoader(examples, batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    criterion = nn.BCEWithLogitsLoss()
    for users, items, labels in loader:
        optimizer.zero_grad()
        loss = criterion(network(users, items), labels.float())
        loss.backward()
        optimizer.step()
        yield


def _examples(batch: Batch) -> Iterator[Example]:
    rows = zip(batch.users.tolist(), batch.liked.tolist(), batch.others.tolist(), strict=True)
    for user, liked, others in rows:
        yield user, liked, 1.0
        yield from ((user, other, 0.0) for other in others)
