"""The last layers: what the towers say and what shoppers have done -> whom to show what."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import astuple, dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional

from progrec import progress
from progrec.learning import calibration, evaluation
from progrec.learning.config import ChoicesConfig, FusionConfig
from progrec.learning.evaluation import Task
from progrec.learning.evidence import Evidence
from progrec.learning.ncf import NCF, Fusion
from progrec.learning.vocabulary import Rows

USERS_AT_ONCE = 64
LEAST_SLOPE = 0.01  # of the calibration, which shall not turn the order around

Curve = list[dict[str, float]]


@dataclass(frozen=True, eq=False)
class Moment:
    """A moment of the past: what could be known then, and what was bought next.

    Attributes:
        network: its towers, trained on what went before.
        evidence: of what went before.
        bought: (n_users, n_items) 0/1: who had bought what.
        bought_next: (n_users, n_items) 0/1: who bought what in the days after it.
    """

    network: NCF
    evidence: Evidence
    bought: csr_array
    bought_next: csr_array

    @cached_property
    def task(self) -> Task:
        """The users who bought something new in the days after it."""
        return Task.of(self.bought, self.bought_next)

    def inputs(self, users: Rows, items: Rows | None = None) -> Tensor:
        """What the fusion's layers get of users with items: see `inputs`."""
        return inputs(self.network, self.evidence, users, items)


Inputs = Callable[[Rows, Rows | None], Tensor]
"""(b,) user rows and (m,) item rows, or None for all -> (b, m, f)."""


@torch.inference_mode()
def inputs(network: NCF, evidence: Evidence, users: Rows, items: Rows | None = None) -> Tensor:
    """The towers' logit, then what is known of each pair.

    Args:
        network: the towers.
        evidence: what is known.
        users: (b,) user rows.
        items: (m,) item rows, each once; all if they are left out.

    Returns:
        (b, m, f).
    """
    rows = torch.from_numpy(users).to(network.items.weight.device)
    if items is None:
        logits = network.catalogue(rows)
    else:
        logits = network(rows[:, None], torch.from_numpy(items).to(rows.device)[None])
    return torch.cat([logits.cpu()[..., None], evidence.inputs(users, items)], dim=2)


@dataclass(frozen=True)
class MomentScorer:
    """A moment's users as evaluation knows them, ranked by a fusion."""

    fusion: Fusion
    moment: Moment

    @torch.inference_mode()
    def scores(self, users: Rows) -> npt.NDArray[np.float32]:
        """(b,) user rows -> (b, n_items) logits."""
        return np.asarray(self.fusion(self.moment.inputs(users)).numpy())


@dataclass(frozen=True, eq=False)
class Examples:
    """Users of a moment, each with some items to choose from.

    Attributes:
        inputs: (m, c, f).
        shares: (m, c) each target's share of the user's targets; 0 for the others.
        offered: (m, c) whether the user could have bought the item for the first time.
        stand_for: (m, c) logarithm of how many items of the catalogue each stands for.
    """

    inputs: Tensor
    shares: Tensor
    offered: Tensor
    stand_for: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    @classmethod
    def of(
        cls,
        inputs: Inputs,
        task: Task,
        config: ChoicesConfig,
        generator: np.random.Generator,
    ) -> Examples:
        """At most `config.max_users` users, some at a time, who choose among the same items.

        These are the targets of all of them, and others at random: `config.candidates` in all, or
        more if they have more targets. The others stand for all that are left out.

        Args:
            inputs: of users and items.
            task: the users, of whom there is at least one, and what each bought.
            config: how many.
            generator: draws.
        """
        n = min(len(task), config.max_users)
        chosen = np.sort(generator.choice(len(task), n, replace=False))
        blocks = [chosen[start : start + USERS_AT_ONCE] for start in range(0, n, USERS_AT_ONCE)]
        wanted = [np.unique(task.targets[rows].indices) for rows in blocks]
        n_items = task.targets.shape[1]
        n_candidates = min(n_items, max(config.candidates, *map(len, wanted)))
        parts = []
        for rows, targets in zip(blocks, wanted, strict=True):
            others = np.setdiff1d(np.arange(n_items), targets, assume_unique=True)
            drawn = generator.choice(others, n_candidates - len(targets), replace=False)
            items = np.concatenate([targets, np.sort(drawn)])
            stand_for = torch.zeros(len(rows), n_candidates)
            stand_for[:, len(targets) :] = math.log(len(others) / max(len(drawn), 1) or 1)
            bought = torch.from_numpy(task.targets[rows][:, items].toarray() > 0).float()
            offered = torch.from_numpy(task.bought[rows][:, items].toarray() == 0)
            shares = bought / bought.sum(dim=1, keepdim=True)
            parts.append(cls(inputs(task.users[rows], items), shares, offered, stand_for))
        return cls(*(torch.cat(blocks) for blocks in zip(*map(astuple, parts), strict=True)))


def fit(
    start: Fusion, moments: Sequence[Moment], config: FusionConfig, k: int, seed: int
) -> tuple[Fusion, Curve, float | None]:
    """Trains a fusion to tell what users buy next from what else they could have bought.

    Each user is one choice among the items: the loss is the cross entropy between the softmax over
    them and the user's targets. The last moment decides for how many passes, and calibrates the
    probability; then all moments are learned for so many. A single moment can do neither: then all
    passes are made.

    Args:
        start: not changed.
        moments: in order of time, each with users; at least one.
        config: how it is trained.
        k: length of the lists that the last moment measures.
        seed: of the order and of the items to choose from.

    Returns:
        The fusion; a row for each pass of the search: `epoch`, and the last moment's `loss`; and
        the last moment's NDCG@k of a fusion that had learned only those before.
    """
    generator = np.random.default_rng(seed)
    examples = [Examples.of(each.inputs, each.task, config, generator) for each in moments]
    curve: Curve = []
    passes, odds, figure = config.max_epochs, start.calibration, None
    if len(moments) > 1:
        student, curve = _search(start, examples, config, seed)
        passes = _lowest(curve)
        scorer = MomentScorer(student, moments[-1])
        figure = evaluation.evaluate(scorer, moments[-1].task, k)[f"ndcg@{k}"]
        odds = torch.tensor(_calibration(student, moments[-1], config.max_users, generator))
    final = _scaled(start, examples)
    deque(_passes(final, examples, config, _shown(passes), seed), maxlen=0)
    final.calibration.copy_(odds)
    return final.eval(), curve, figure


def refine(
    fusion: Fusion, examples: Examples, config: ChoicesConfig, epochs: int, seed: int
) -> tuple[Fusion, float]:
    """A fusion that has also learned some examples, in a few passes; its inputs' scale stays.

    Returns:
        The fusion, and what its loss on the examples was before.
    """
    student = deepcopy(fusion)
    loss = _loss_of(student, examples)
    deque(_passes(student, [examples], config, range(epochs), seed), maxlen=0)
    return student.eval(), loss


def _shown(epochs: int) -> Iterable[int]:
    return progress.steps(range(1, epochs + 1), "training the fusion")


def _search(
    start: Fusion, examples: Sequence[Examples], config: FusionConfig, seed: int
) -> tuple[Fusion, Curve]:
    """The fusion that foretells the last examples best after training on those before; its way."""
    student = _scaled(start, examples[:-1])
    best = student
    curve: Curve = []
    for epoch in _passes(student, examples[:-1], config, _shown(config.max_epochs), seed):
        curve.append({"epoch": epoch, "loss": _loss_of(student, examples[-1])})
        lowest = _lowest(curve)
        if lowest == epoch:
            best = deepcopy(student)
        if epoch >= lowest + config.patience:
            break
    return best, curve


def _lowest(curve: Curve) -> int:
    """The pass with the lowest loss, the first of equals."""
    return int(np.argmin([row["loss"] for row in curve])) + 1


def _scaled(start: Fusion, examples: Sequence[Examples]) -> Fusion:
    """A fusion whose inputs have mean 0 and deviation 1 over examples."""
    fusion = deepcopy(start)
    flat = torch.cat([each.inputs.flatten(0, 1) for each in examples])
    deviation = flat.std(dim=0)
    fusion.centre.copy_(flat.mean(dim=0))
    # An input that is the same everywhere has none to be divided by.
    fusion.scale.copy_(torch.where(deviation > 0, deviation, 1))
    return fusion


def _passes(
    fusion: Fusion,
    examples: Sequence[Examples],
    config: ChoicesConfig,
    epochs: Iterable[int],
    seed: int,
) -> Iterator[int]:
    """Trains; yields the number of each pass when it is done."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(
        fusion.parameters(), lr=config.rate, weight_decay=config.weight_decay
    )
    for epoch in epochs:
        for part, rows in _batches(examples, config.batch_size, generator):
            optimizer.zero_grad()
            _loss(fusion, part, rows).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        yield epoch


def _batches(
    examples: Sequence[Examples], size: int, generator: torch.Generator
) -> list[tuple[Examples, Tensor]]:
    """Rows of examples in a new order; a batch is of one moment, whose catalogue it shares."""
    batches = [
        (part, rows)
        for part in examples
        for rows in torch.split(torch.randperm(len(part), generator=generator), size)
    ]
    return [batches[place] for place in torch.randperm(len(batches), generator=generator)]


def _loss(fusion: Fusion, examples: Examples, rows: Tensor) -> Tensor:
    logits = fusion(examples.inputs[rows]) + examples.stand_for[rows]
    logits = logits.masked_fill(~examples.offered[rows], -torch.inf)
    chances = functional.log_softmax(logits, dim=1).masked_fill(~examples.offered[rows], 0)
    return -(examples.shares[rows] * chances).sum(dim=1).mean()


@torch.inference_mode()
def _loss_of(fusion: Fusion, examples: Examples) -> float:
    blocks = torch.split(torch.arange(len(examples)), USERS_AT_ONCE)
    return sum(float(_loss(fusion, examples, rows)) * len(rows) for rows in blocks) / len(examples)


def _calibration(
    fusion: Fusion, moment: Moment, max_users: int, generator: np.random.Generator
) -> tuple[float, float]:
    """Slope and intercept of the log odds that anybody known then buys what is new to them.

    No pair is sampled: users are, whether they bought or not, and each with all that is new to
    them. If few of them bought anything, the likeliest slope may not be above 0, with which
    everything would be as probable as anything else; then it is the least one.
    """
    n_users = moment.evidence.n_users
    users = np.sort(generator.choice(n_users, min(n_users, max_users), replace=False))
    blocks, outcomes = [], []
    for start in range(0, len(users), USERS_AT_ONCE):
        rows = users[start : start + USERS_AT_ONCE]
        offered = moment.bought[rows].toarray() == 0
        blocks.append(MomentScorer(fusion, moment).scores(rows)[offered])
        outcomes.append(moment.bought_next[rows].toarray()[offered] > 0)
    logits = np.concatenate(blocks)
    slope, intercept = calibration.platt(logits, np.concatenate(outcomes))
    kept = max(slope, LEAST_SLOPE)
    return kept, intercept + (slope - kept) * float(logits.mean(dtype=np.float64))
