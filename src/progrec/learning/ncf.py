"""Neural collaborative filtering (He et al. 2017, https://arxiv.org/abs/1708.05031)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from progrec.learning.config import ModelConfig

INITIAL_DEVIATION = 0.01  # as in the paper's implementation
PAIRS_AT_ONCE = 2**18  # bounds the memory that scoring the catalogue takes


class NCF(nn.Module):
    """User and item embeddings -> towers -> one fully connected layer -> logit of a purchase.

    The GMF tower is the product of the two embeddings; the MLP tower passes their concatenation
    through fully connected layers. Each side has one table that holds both towers' parts side by
    side, so that a step looks a row up once.
    """

    def __init__(self, n_users: int, n_items: int, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.gmf_width = config.factors if "gmf" in config.towers else 0
        self.mlp_width = config.layers[0] if "mlp" in config.towers else 0
        width = self.gmf_width + self.mlp_width
        self.users = nn.Embedding(n_users, width, sparse=True)
        self.items = nn.Embedding(n_items, width, sparse=True)
        if self.mlp_width:
            # The first layer in two halves: an item's half is the same for every user.
            self.user_half = nn.Linear(config.layers[0], config.layers[1])
            self.item_half = nn.Linear(config.layers[0], config.layers[1], bias=False)
            self.hidden = _hidden(config.layers[1:])
        last = config.layers[-1] if self.mlp_width else 0
        self.output = nn.Linear(self.gmf_width + last, 1)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=INITIAL_DEVIATION)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return self.items.num_embeddings

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Logits of pairs.

        Args:
            users: user rows, of any shape.
            items: item rows; the two shapes broadcast.

        Returns:
            Logits, of the shape that the two broadcast to.
        """
        return self._towers(self.users(users), self.items(items))

    @torch.inference_mode()
    def probabilities(self, users: Tensor) -> Tensor:
        """Purchase probability of every item.

        Args:
            users: (b,) user rows.

        Returns:
            (b, n_items) probabilities.
        """
        user = self.users(users)[:, None]
        step = max(1, PAIRS_AT_ONCE // max(1, len(users)))
        blocks = (self.items.weight[start : start + step] for start in range(0, self.n_items, step))
        return torch.cat([torch.sigmoid(self._towers(user, item[None])) for item in blocks], 1)

    def grown(self, n_users: int, n_items: int, deviation: float) -> NCF:
        """This network with rows for more users and items after its own.

        A new row is the mean of the old ones, and some noise to set it apart.

        Args:
            n_users: number of users then, at least as many as now.
            n_items: number of items then, at least as many as now.
            deviation: standard deviation of the noise.
        """
        grown = NCF(n_users, n_items, self.config)
        state = self.state_dict()
        for side, n_rows in (("users", n_users), ("items", n_items)):
            old = state[f"{side}.weight"]
            noise = torch.randn(n_rows - len(old), old.shape[1]) * deviation
            state[f"{side}.weight"] = torch.cat([old, old.mean(dim=0) + noise])
        grown.load_state_dict(state)
        return grown

    def _towers(self, user: Tensor, item: Tensor) -> Tensor:
        """Logits of embeddings (..., width) that broadcast."""
        gmf = slice(0, self.gmf_width)
        mlp = slice(self.gmf_width, None)
        parts = []
        if self.gmf_width:
            parts.append(user[..., gmf] * item[..., gmf])
        if self.mlp_width:
            first = self.user_half(user[..., mlp]) + self.item_half(item[..., mlp])
            parts.append(self.hidden(torch.relu(first)))
        logits: Tensor = self.output(torch.cat(parts, dim=-1)).squeeze(-1)
        return logits


def _hidden(widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers)
