"""Neural collaborative filtering (He et al. 2017, https://arxiv.org/abs/1708.05031)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from progrec.learning.config import ModelConfig
from progrec.learning.embeddings import INITIAL_DEVIATION, Embeddings
from progrec.learning.evidence import INPUTS

LIKE_SLOPE = 8.0  # log odds of 4 against -4 for a product of 1 and one of 0
BY_USER = ("users.weight", "users.side.inputs")  # a row a user
BY_ITEM = ("items.weight", "items.side.inputs")  # a row an item
PAIRS_AT_ONCE = 2**18  # bounds the memory that scoring the catalogue takes


class NCF(nn.Module):
    """User and item embeddings -> towers -> one fully connected layer -> logit of a purchase.

    The GMF tower is the product of the two embeddings; the MLP tower passes their concatenation
    through fully connected layers. Each side has one table that holds both towers' parts side by
    side, so that a step looks a row up once.
    """

    def __init__(
        self, n_users: int, n_items: int, config: ModelConfig, codes: Tensor | None = None
    ) -> None:
        """Takes (n_items, a) codes of the items' attributes, if the configuration has any."""
        super().__init__()
        self.config = config
        self.gmf_width = config.factors if "gmf" in config.towers else 0
        self.mlp_width = config.layers[0] if "mlp" in config.towers else 0
        width = self.gmf_width + self.mlp_width
        features = config.features
        self.users = Embeddings(n_users, width, len(features.users), None)
        self.items = Embeddings(n_items, width, len(features.items), codes)
        if self.mlp_width:
            # The first layer in two halves: an item's half is the same for every user.
            self.user_half = nn.Linear(config.layers[0], config.layers[1])
            self.item_half = nn.Linear(config.layers[0], config.layers[1], bias=False)
            self.hidden = _hidden(config.layers[1:])
        last = config.layers[-1] if self.mlp_width else 0
        self.output = nn.Linear(self.gmf_width + last, 1)
        self.fusion = Fusion(config.fusion) if config.fusion else None
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=INITIAL_DEVIATION)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return self.items.num_embeddings

    @property
    def tables(self) -> list[Tensor]:
        """What is looked up row by row and has sparse gradients."""
        return [*self.users.tables, *self.items.tables]

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Logits of pairs.

        Args:
            users: user rows, of any shape.
            items: item rows; the two shapes broadcast.

        Returns:
            Logits, of the shape that the two broadcast to.
        """
        return self._towers(self.users(users), self.items(items))

    @torch.no_grad()
    def start_from(self, users: Tensor, items: Tensor) -> None:
        """Takes the GMF tower's embeddings, whose products are near 1 for a like and 0 else.

        The MLP tower adds nothing at first.

        Args:
            users: (n_users, factors).
            items: (n_items, factors).
        """
        self.users.weight[:, : self.gmf_width] = users
        self.items.weight[:, : self.gmf_width] = items
        self.output.weight.zero_()
        self.output.weight[:, : self.gmf_width] = LIKE_SLOPE
        self.output.bias.fill_(-LIKE_SLOPE / 2)

    @torch.inference_mode()
    def catalogue(self, users: Tensor) -> Tensor:
        """The towers' logit of every item.

        Args:
            users: (b,) user rows.

        Returns:
            (b, n_items) logits.
        """
        return self.catalogue_for(self.users(users))

    @torch.inference_mode()
    def catalogue_for(self, embeddings: Tensor) -> Tensor:
        """The same for (b, width) embeddings of users, who need no row."""
        step = max(1, PAIRS_AT_ONCE // max(1, len(embeddings)))
        starts = range(0, self.n_items, step)
        blocks = (self.items.block(slice(start, start + step)) for start in starts)
        user = embeddings[:, None]
        return torch.cat([self._towers(user, item[None]) for item in blocks], 1)

    @torch.inference_mode()
    def probabilities(self, users: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Purchase probability of every item.

        Args:
            users: (b,) user rows.
            evidence: (b, n_items, e) what is known of the pairs, if the network has a fusion; left
                out, the towers alone decide.

        Returns:
            (b, n_items) probabilities.
        """
        return self.probabilities_for(self.users(users), evidence)

    @torch.inference_mode()
    def probabilities_for(self, embeddings: Tensor, evidence: Tensor | None = None) -> Tensor:
        """The same for (b, width) embeddings of users, who need no row."""
        logits = self.catalogue_for(embeddings)
        if self.fusion is None or evidence is None:
            return torch.sigmoid(logits)
        return self.fusion.probabilities(torch.cat([logits[..., None], evidence], dim=2))

    def grown(self, n_users: int, n_items: int, codes: Tensor | None = None) -> NCF:
        """This network with rows for more users and items after its own.

        What is new is 0, but for new codes of attributes, which start as code 0, the unknown word.

        Args:
            n_users: number of users then, at least as many as now.
            n_items: number of items then, at least as many as now.
            codes: (n_items, a) codes of the items' attributes, if the configuration has any.
        """
        with torch.device("meta"):
            shape = NCF(n_users, n_items, self.config, codes).state_dict()
        state = {
            name: _extended(value, len(shape[name]), ".words." in name)
            for name, value in self.state_dict().items()
        }
        return NCF.of(state, n_users, n_items, self.config, codes)

    def part(self, users: Tensor, items: Tensor | None = None) -> NCF:
        """This network with some rows only; it shares no weight.

        Args:
            users: (b,) rows of the users.
            items: (m,) rows of the items; all if they are left out.
        """
        kept = torch.arange(self.n_items) if items is None else items
        rows = dict.fromkeys(BY_USER, users) | dict.fromkeys(BY_ITEM, kept)
        codes = None
        if self.items.side is not None:
            codes, words = self.items.side.words_of(kept)
            rows |= {f"items.side.words.{place}.weight": each for place, each in enumerate(words)}
        state = {
            name: value[rows[name]] if name in rows else value.clone()
            for name, value in self.state_dict().items()
        }
        return NCF.of(state, len(users), len(kept), self.config, codes)

    @torch.no_grad()
    def take(self, part: NCF, users: Tensor) -> None:
        """Takes the weights that its part with these users has come to."""
        learned = part.state_dict()
        for name, value in self.state_dict().items():
            if name in BY_USER:
                value[users] = learned[name]
            else:
                value.copy_(learned[name])

    @classmethod
    def of(
        cls,
        state: Mapping[str, Tensor],
        n_users: int,
        n_items: int,
        config: ModelConfig,
        codes: Tensor | None = None,
    ) -> NCF:
        """The network of these weights and buffers, in evaluation mode.

        Raises:
            RuntimeError: they are not those of such a network.
        """
        # On no device: drawing weights that are replaced at once takes seconds at full size.
        with torch.device("meta"):
            network = cls(n_users, n_items, config, codes)
        network.load_state_dict(state, assign=True)
        return network.eval()

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


def _extended(value: Tensor, length: int, by_first: bool) -> Tensor:
    """A copy with rows after its own: copies of the first, or zeros."""
    if value.ndim == 0 or len(value) == length:
        return value.clone()
    first = value[:1] if by_first else torch.zeros_like(value[:1])
    return torch.cat([value, first.expand(length - len(value), *value.shape[1:])])


def _hidden(widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class Fusion(nn.Module):
    """The towers' logit and what is known of a pair -> logit of a purchase.

    A weighted sum, beside fully connected layers that see how the inputs go together (as in Cheng
    et al. 2016, "Wide & deep learning for recommender systems"). The weights depend on how much is
    known of the user, which is the last input.

    Attributes:
        centre: (f,) of the inputs in training.
        scale: (f,) their deviation there.
        calibration: slope and intercept from logit to log odds.
    """

    centre: Tensor
    scale: Tensor
    calibration: Tensor

    def __init__(self, widths: tuple[int, ...]) -> None:
        """Takes the widths of the fully connected layers."""
        super().__init__()
        n_inputs = 1 + len(INPUTS)
        self.register_buffer("centre", torch.zeros(n_inputs))
        self.register_buffer("scale", torch.ones(n_inputs))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))
        self.weights = nn.Linear(1, n_inputs)
        self.hidden = _hidden((n_inputs, *widths))
        self.last = nn.Linear(widths[-1], 1, bias=False)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        nn.init.zeros_(self.last.weight)
        with torch.no_grad():
            self.weights.bias[:2] = 1  # without any training, the towers and the neighbours decide

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., f) -> (...) logits, whose order counts: they are not calibrated."""
        standard = (inputs - self.centre) / self.scale
        weights = self.weights(standard[..., -1:])
        wide = (standard * weights).sum(dim=-1)
        deep: Tensor = self.last(self.hidden(standard)).squeeze(-1)
        logits: Tensor = wide + deep
        return logits

    def probabilities(self, inputs: Tensor) -> Tensor:
        """(..., f) -> (...) purchase probabilities."""
        slope, intercept = self.calibration
        return torch.sigmoid(slope * self.forward(inputs) + intercept)
