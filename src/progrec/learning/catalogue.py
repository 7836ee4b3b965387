"""The catalogue as the scoring of one user needs it, and what that user would buy of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from progrec.learning import rectified
from progrec.learning.evidence import OF_ITEM, OF_PAIR, Known
from progrec.learning.ncf import NCF, Fusion
from progrec.learning.rectified import Doubles, Layers, LayersOfUser
from progrec.learning.touches import Floats
from progrec.learning.vocabulary import Rows

Mask = npt.NDArray[np.bool_]

ROUNDING = 2.0**-23  # relative; twice that of single precision, to be on the safe side


class Catalogue:
    """All items of a network, as the scoring of one user needs them.

    What the first layers make of an item alone is computed once, when the catalogue is made.
    """

    def __init__(self, network: NCF, demand: Floats) -> None:
        """Takes a network on the CPU, and (n_items, d) what its fusion is told of items alone."""
        with torch.inference_mode():
            self._towers = _Towers(network)
            self._fusion = _Fusion(network.fusion, demand) if network.fusion else None

    @torch.inference_mode()
    def ranking(self, embedding: Tensor, known: Known | None = None) -> Ranking:
        """The items with one user.

        Args:
            embedding: (width,) of the user, who needs no row.
            known: what is known of the user with items; left out, the towers alone decide.
        """
        towers = _TowersOfUser(self._towers, embedding)
        if known is None or self._fusion is None:
            return Ranking(towers)
        return Ranking(_FusionOfUser(self._fusion, towers, known))


class Ranking:
    """All items with one user: the probabilities of the network's own pass over all pairs.

    It takes a fraction of the time. Items come in blocks that a core's cache holds, and only the
    few items of which something is known with the user take the inputs of a pair.

    That pass is in single precision, and only finds out which items could be among the best, by a
    bound of its rounding errors. These are computed in double precision, each by itself: so the
    best are in the order of their exact numbers, and those of equal items are equal.
    """

    def __init__(self, user: _TowersOfUser | _FusionOfUser) -> None:
        """Takes what has the logits."""
        self._user = user

    @torch.inference_mode()
    def probabilities(self, rows: Rows) -> Doubles:
        """(m,) item rows -> (m,) purchase probabilities."""
        return torch.from_numpy(self._user.log_odds(self._user.exact(rows))).sigmoid_().numpy()

    @torch.inference_mode()
    def best(self, n: int, free: Mask) -> tuple[Rows, Doubles]:
        """The items of the highest probability.

        Args:
            n: how many, at most.
            free: (n_items,) which items count.

        Returns:
            Their rows, the highest probability first and equal ones in the order of rows, and their
            probabilities; fewer than `n` when no more are free.
        """
        quick = np.where(free, self._user.quick().numpy(), -np.inf)
        rows = contenders(quick, n, self._user.size * self._user.roundings * ROUNDING)
        probabilities = self.probabilities(rows)
        order = np.argsort(-probabilities, kind="stable")[:n]
        return rows[order], probabilities[order]


def contenders(numbers: npt.NDArray[np.floating], n: int, error: float = 0.0) -> Rows:
    """The rows of what may be among the n highest, in order, if each is wrong by the error at most.

    Never the row of one that is -inf.
    """
    n = min(n, int(np.count_nonzero(numbers > -np.inf)))
    if n == 0:
        return np.empty(0, np.intp)
    # Not argpartition: which of equal numbers it lets in is not determined.
    least = np.partition(numbers, -n)[-n]
    return np.flatnonzero(numbers >= least - 2 * error)


class _Towers:
    """A network's towers, with what they make of the items alone."""

    def __init__(self, network: NCF) -> None:
        self.items = network.items.block(slice(None)).detach()
        self.width = network.gmf_width
        self.gmf = self.items[:, : self.width].T.contiguous()
        self.gmf_limit = rectified.largest(self.gmf)
        output = rectified.doubles(network.output.weight)[0]
        self.gmf_weights = output[: self.width]
        self.bias = float(network.output.bias)
        self.layers: Layers | None = None
        # After pre-training alone the MLP tower's weights are 0: what adds nothing costs nothing.
        if output[self.width :].any():
            self.user_half = rectified.doubles(network.user_half.weight)
            self.user_bias = rectified.doubles(network.user_half.bias)
            self.item_half = rectified.doubles(network.item_half.weight)
            sums = rectified.doubles(self.items[:, self.width :]) @ self.item_half.T
            self.layers = Layers.of(sums, network.hidden, output[self.width :])


class _TowersOfUser:
    """The towers with one user."""

    def __init__(self, towers: _Towers, embedding: Tensor) -> None:
        self.towers = towers
        user = rectified.doubles(embedding)
        self._gmf = user[: towers.width] * towers.gmf_weights
        self._gmf_quick = rectified.single(self._gmf)
        self._mlp: LayersOfUser | None = None
        if towers.layers is not None:
            part = towers.user_half @ user[towers.width :] + towers.user_bias
            self._mlp = LayersOfUser(towers.layers, part)

    def quick(self) -> Tensor:
        """(n_items,) the logits, in single precision."""
        logits = torch.mv(self.towers.gmf.T, self._gmf_quick).add_(self.towers.bias)
        return logits if self._mlp is None else logits.add_(self._mlp.quick())

    def exact(self, rows: Rows) -> Doubles:
        """The logits of some items, each by itself."""
        items = rectified.doubles(self.towers.items[torch.from_numpy(rows)])
        gmf, mlp = np.split(items, [self.towers.width], axis=1)
        logits = rectified.by_row(gmf, self._gmf[None])[:, 0] + self.towers.bias
        if self._mlp is not None:
            sums = rectified.by_row(mlp, self.towers.item_half) + self._mlp.part
            logits += self._mlp.layers.exact(sums)
        return logits

    @property
    def size(self) -> float:
        """The largest size that what adds up to a logit may have."""
        size = float(np.abs(self._gmf) @ self.towers.gmf_limit) + abs(self.towers.bias)
        return size if self._mlp is None else size + self._mlp.size(self._mlp.layers.limit)

    @property
    def roundings(self) -> int:
        """How often a number is rounded on its way to a logit, at most."""
        return self.towers.width + 4 + (0 if self._mlp is None else self._mlp.layers.roundings)

    def log_odds(self, logits: Doubles) -> Doubles:
        """Calibrated logits."""
        return logits


class _Fusion:
    """A network's fusion, with what it makes of the items alone."""

    def __init__(self, fusion: Fusion, demand: Floats) -> None:
        self.demand = demand
        self.centre, self.scale = rectified.doubles(fusion.centre), rectified.doubles(fusion.scale)
        self.slopes = rectified.doubles(fusion.weights.weight)[:, 0]
        self.intercepts = rectified.doubles(fusion.weights.bias)
        weight, bias, *_ = fusion.hidden.parameters()
        self.weight, self.bias = rectified.doubles(weight), rectified.doubles(bias)
        standard = (demand - self.centre[OF_ITEM]) / self.scale[OF_ITEM]
        self.items = rectified.single(standard.T)
        self.items_limit = rectified.largest(self.items)
        self.items_deep = rectified.single(self.weight[:, OF_ITEM])
        sums = standard @ self.weight[:, OF_ITEM].T
        last = rectified.doubles(fusion.last.weight)[0]
        self.layers = Layers.of(sums, list(fusion.hidden)[1:], last)
        slope, intercept = rectified.doubles(fusion.calibration)
        self.calibration = float(slope), float(intercept)


class _FusionOfUser:
    """The fusion with one user."""

    def __init__(self, fusion: _Fusion, towers: _TowersOfUser, known: Known) -> None:
        self._fusion = fusion
        self._towers = towers
        self._known = known
        experience = (known.experience - fusion.centre[-1]) / fusion.scale[-1]
        self._wide = fusion.slopes * experience + fusion.intercepts
        # What the user makes of the sums, and a pair of which nothing is known.
        rest = -fusion.centre / fusion.scale
        rest[OF_ITEM] = 0
        rest[-1] = experience
        self._rest = float(rest @ self._wide)
        self._deep = LayersOfUser(fusion.layers, fusion.weight @ rest + fusion.bias)
        # What the towers' logit makes of them, and what is known of pairs.
        self._logit_wide = float(self._wide[0] / fusion.scale[0])
        self._logit_deep = rectified.single(fusion.weight[:, 0] / fusion.scale[0])
        pairs = known.inputs / fusion.scale[OF_PAIR]
        self._pairs_wide = rectified.single(pairs @ self._wide[OF_PAIR])
        self._pairs_deep = rectified.single(fusion.weight[:, OF_PAIR] @ pairs.T)
        self._items_wide = rectified.single(self._wide[OF_ITEM])

    def quick(self) -> Tensor:
        """(n_items,) the logits, in single precision."""
        fusion, towers = self._fusion, self._towers.quick()
        logits = self._deep.quick(towers, self._logit_deep)
        rows = torch.from_numpy(self._known.items)
        sums = (fusion.items_deep @ fusion.items[:, rows]).addr_(self._logit_deep, towers[rows])
        logits[rows] = self._deep.quick_of(sums + self._pairs_deep) + self._pairs_wide
        logits.add_(towers, alpha=self._logit_wide).add_(self._rest)
        return logits.addmv_(fusion.items.T, self._items_wide)

    def exact(self, rows: Rows) -> Doubles:
        """The logits of some items, each by itself."""
        fusion = self._fusion
        inputs = np.empty((len(rows), len(fusion.centre)))
        inputs[:, 0] = self._towers.exact(rows)
        inputs[:, OF_PAIR] = self._known.of(rows)
        inputs[:, OF_ITEM] = fusion.demand[rows]
        inputs[:, -1] = self._known.experience
        standard = (inputs - fusion.centre) / fusion.scale
        sums = rectified.by_row(standard, fusion.weight) + fusion.bias
        return rectified.by_row(standard, self._wide[None])[:, 0] + fusion.layers.exact(sums)

    @property
    def size(self) -> float:
        """The largest size that what adds up to a logit may have."""
        fusion, towers = self._fusion, self._towers.size
        wide = float(
            abs(self._logit_wide) * towers
            + np.abs(self._wide[OF_ITEM]) @ fusion.items_limit
            + rectified.largest(self._pairs_wide[None])[0]
            + abs(self._rest)
        )
        logit = np.abs(rectified.doubles(self._logit_deep)) * towers
        pairs = rectified.largest(self._pairs_deep)
        return wide + self._deep.size(fusion.layers.limit + logit + pairs)

    @property
    def roundings(self) -> int:
        """How often a number is rounded on its way to a logit, at most."""
        return self._towers.roundings + len(self._fusion.centre) + self._fusion.layers.roundings

    def log_odds(self, logits: Doubles) -> Doubles:
        """Calibrated logits."""
        slope, intercept = self._fusion.calibration
        return slope * logits + intercept
