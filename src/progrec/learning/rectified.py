"""Rectified layers as they are evaluated for one user with all items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

ITEMS_AT_ONCE = 3072  # their numbers stay in a core's cache from layer to layer

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Layers:
    """Rectified layers that end in one number; in the first one's sums, each item has a part.

    Attributes:
        items: the (w, n_items) parts in single precision, cut into blocks of columns.
        hidden: weights and biases of the layers after the first.
        last: weights of the number.
    """

    items: Sequence[Tensor]
    hidden: Sequence[tuple[Doubles, Doubles]]
    last: Doubles

    @classmethod
    def of(cls, items: Doubles, hidden: Iterable[nn.Module], last: Doubles) -> Layers:
        """Takes (n_items, w) parts, the layers after the first, and the weights of the number."""
        starts = range(0, max(1, len(items)), ITEMS_AT_ONCE)
        linear = [layer for layer in hidden if isinstance(layer, nn.Linear)]
        return cls(
            [single(items[start : start + ITEMS_AT_ONCE].T) for start in starts],
            [(doubles(layer.weight), doubles(layer.bias)) for layer in linear],
            last,
        )

    @cached_property
    def n_items(self) -> int:
        """Number of items."""
        return sum(block.shape[1] for block in self.items)

    @cached_property
    def limit(self) -> Doubles:
        """(w,) the largest size of an item's part."""
        return np.asarray(np.max([largest(block) for block in self.items], axis=0))

    def exact(self, sums: Doubles) -> Doubles:
        """(m, w) the first layer's sums, whole -> (m,), each by itself."""
        numbers = np.maximum(sums, 0)
        for weight, bias in self.hidden:
            numbers = np.maximum(by_row(numbers, weight) + bias, 0)
        return by_row(numbers, self.last[None])[:, 0]

    @property
    def roundings(self) -> int:
        """How often a number is rounded on its way from the first sums, at most."""
        return sum(len(weight.T) + 2 for weight, _ in self.hidden) + len(self.last) + 4


class LayersOfUser:
    """Layers with the part that a user has in the first one's sums.

    The rectifier of `x + b` is `max(x, -b) + b`, and the `b` outside can go into the next layer's
    bias: so a layer passes over its numbers once, whatever the user adds to them.
    """

    def __init__(self, layers: Layers, part: Doubles) -> None:
        """Takes the (w,) part of the user, biases and all."""
        self.layers = layers
        self.part = part
        shift, least = part, [-part]
        for weight, bias in layers.hidden:
            shift = weight @ shift + bias
            least.append(-shift)
        self._least = [single(each)[:, None] for each in least]
        self._weights = [single(weight) for weight, _ in layers.hidden]
        self._last = single(layers.last)
        self._rest = float(layers.last @ shift)

    def quick(self, numbers: Tensor | None = None, slope: Tensor | None = None) -> Tensor:
        """What comes out for all items, in single precision.

        Args:
            numbers: (n_items,) of which each has a part in its item's first sums, too.
            slope: (w,) the part of the number 1.

        Returns:
            (n_items,).
        """
        found = torch.empty(self.layers.n_items)
        # Written over from block to block: fresh memory were not in the cache.
        scratch = [torch.empty(len(least), ITEMS_AT_ONCE) for least in self._least]
        sizes = [block.shape[1] for block in self.layers.items]
        parts = torch.split_with_sizes(found if numbers is None else numbers, sizes)
        there = torch.split_with_sizes(found, sizes)
        for items, part, block in zip(self.layers.items, parts, there, strict=True):
            m = items.shape[1]
            room = scratch if m == ITEMS_AT_ONCE else [each[:, :m] for each in scratch]
            sums = items if slope is None else torch.addr(items, slope, part, out=room[0])
            self._through(sums, room, block)
        return found.add_(self._rest)

    def quick_of(self, sums: Tensor) -> Tensor:
        """(w, m) the first layer's sums without the user's part -> (m,), in single precision."""
        m = sums.shape[1]
        room = [torch.empty(len(least), m) for least in self._least]
        return self._through(sums, room, torch.empty(m)).add_(self._rest)

    def _through(self, sums: Tensor, room: Sequence[Tensor], found: Tensor) -> Tensor:
        """(w, m) the first layer's sums -> (m,) what comes out, but for the rest.

        Args:
            sums: without the user's part.
            room: for the numbers of each layer.
            found: for what comes out.
        """
        numbers = torch.maximum(sums, self._least[0], out=room[0])
        for weight, least, after in zip(self._weights, self._least[1:], room[1:], strict=True):
            torch.mm(weight, numbers, out=after)
            numbers = torch.maximum(after, least, out=after)
        return torch.mv(numbers.T, self._last, out=found)

    def size(self, sums: Doubles) -> float:
        """(w,) largest sizes of the sums without the user's part -> that of all that adds up."""
        sizes = sums + np.abs(self.part)
        for weight, bias in self.layers.hidden:
            sizes = np.abs(weight) @ sizes + np.abs(bias)
        return float(np.abs(self.layers.last) @ sizes)


def by_row(numbers: Doubles, weight: Doubles) -> Doubles:
    """(m, i), (o, i) -> (m, o): `numbers @ weight.T`, where equal rows always give equal rows.

    What a matrix product makes of a row depends on where the row stands.
    """
    return np.asarray(np.einsum("mi,oi->mo", numbers, weight))


def single(numbers: Doubles) -> Tensor:
    """Doubles, in single precision and in the order of their axes."""
    return torch.from_numpy(np.ascontiguousarray(numbers, np.float32))


def doubles(numbers: Tensor) -> Doubles:
    """A tensor's numbers in double precision."""
    return np.asarray(numbers.detach().double().numpy())


def largest(numbers: Tensor) -> Doubles:
    """(w, n) -> (w,) the largest size in each row; 0 where there is none."""
    if numbers.shape[1] == 0:
        return np.zeros(len(numbers))
    return doubles(torch.maximum(numbers.amax(dim=1), -numbers.amin(dim=1)))
