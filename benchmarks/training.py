"""How fast the network is trained: against loops without the project around them.

The machine should do nothing else: with more work than cores, PyTorch's threads wait for each
other, and that is measured.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import hydra
import numpy as np
import pytorch_lightning as pl
import torch
import typer
from pytorch_lightning.callbacks import Callback

from benchmarks import textbook
from benchmarks.textbook import Examples, TextbookNCF
from progrec.learning import config as configs
from progrec.learning import learner, losses
from progrec.learning.batches import Batches
from progrec.learning.config import TrainConfig
from progrec.learning.dataset import Pairs
from progrec.learning.learner import Learner
from progrec.learning.ncf import NCF

PROJECT = Path(__file__).resolve().parents[1]
SMALLER = 100  # times as many users has the large shop as the small one
WARM_UP = 2  # steps: the first ones make the optimizers' moments
TEXTBOOK_SHARE = 10  # times as many steps are ours as the textbook's, which take longer

Report = dict[str, float]


@dataclass(frozen=True, eq=False)
class Case:
    """What there is to be trained.

    Attributes:
        network: as conf/ describes it.
        batches: an epoch of its training.
        config: how it is trained.
    """

    network: NCF
    batches: Batches
    config: TrainConfig

    @classmethod
    def of(cls, n_users: int, n_items: int, n_pairs: int, config: TrainConfig) -> Case:
        """A shop of random pairs."""
        batches = Batches(
            random_pairs(n_users, n_items, n_pairs, config.seed),
            n_items,
            batch_size=config.optimizer.batch_size,
            sampler=config.sampler,
            seed=config.seed,
        )
        return cls(NCF(n_users, n_items, config.model), batches, config)

    @property
    def samples(self) -> int:
        """Samples a step: each liked pair with its n negatives is 1 + n of them."""
        return self.config.optimizer.batch_size * (1 + self.config.sampler.negatives)


@dataclass(frozen=True)
class Round:
    """Seconds a step of each loop, measured one right after the other.

    Attributes:
        ours: of the project's training on the large shop.
        bare: of a loop over the same without Lightning.
        small: of the project's training on the small shop.
        textbook: of a tutorial's NCF on the large shop.
    """

    ours: float
    bare: float
    small: float
    textbook: float


def benchmark(
    n_users: int, n_items: int, n_each: int, steps: int, rounds: int, threads: int
) -> Report:
    """Measures steps of the same number of samples in four loops, by turns.

    Args:
        n_users: of the large shop; the small one has a hundredth.
        n_items: of either shop.
        n_each: liked pairs a user, of either shop: a negative is as likely to be a known pair.
        steps: how many are measured each time, after those of the warm-up.
        rounds: how often each loop is measured.
        threads: of PyTorch.

    Returns:
        Medians: `ratio_to_bare_loop` and `ratio_to_textbook` of our samples a second to the other
        loop's, `table_size_ratio` of a step's time on the large shop to one on the small shop, and
        `samples_per_s` on the large shop. A liked pair with n negatives is 1 + n samples.

    Raises:
        SettingsError: conf/ cannot be used.
        ValueError: an epoch has fewer whole batches than steps, with the warm-up's.
    """
    config = training_config(threads)
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.trainer.threads)
    large, small = (
        Case.of(users, n_items, users * n_each, config) for users in (n_users, n_users // SMALLER)
    )
    whole = len(small.batches.users) // config.optimizer.batch_size
    if whole < WARM_UP + steps:
        raise ValueError(f"the small shop has {whole} whole batches, not {WARM_UP + steps}")
    simple = TextbookNCF(n_users, n_items, config.model)
    measured = []
    for number in range(rounds):
        typer.echo(f"round {number + 1} of {rounds}", err=True)
        measured.append(_round(large, small, simple, steps))
    return summary(measured, large.samples)


def summary(rounds: Sequence[Round], samples: int) -> Report:
    """The report on rounds of steps with so many samples each.

    A ratio is the median of the rounds': what disturbs the machine disturbs a round's both sides.
    """
    return {
        "ratio_to_bare_loop": statistics.median(one.bare / one.ours for one in rounds),
        "table_size_ratio": statistics.median(one.ours / one.small for one in rounds),
        "ratio_to_textbook": statistics.median(one.textbook / one.ours for one in rounds),
        "samples_per_s": samples / statistics.median(one.ours for one in rounds),
    }


def random_pairs(n_users: int, n_items: int, n_pairs: int, seed: int) -> Pairs:
    """At most so many distinct pairs, fewer by those that were drawn twice, of weight 1."""
    draw = np.random.default_rng(seed)
    keys = np.unique(draw.integers(n_users * n_items, size=n_pairs))
    return Pairs(keys // n_items, keys % n_items, np.ones(len(keys), np.float32))


def training_config(threads: int) -> TrainConfig:
    """The train stage's, of conf/: NeuMF on so many threads of the CPU."""
    overrides = ["model=neumf", "trainer=cpu", f"trainer.threads={threads}"]
    with hydra.initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return configs.train_config(hydra.compose("train", overrides))


def _round(large: Case, small: Case, simple: TextbookNCF, steps: int) -> Round:
    return Round(
        ours(large, steps),
        bare(large, steps),
        ours(small, steps),
        tutorial(large, simple, max(1, steps // TEXTBOOK_SHARE)),
    )


class _Stopwatch(Callback):
    """Notes when each step ends; ends the training after so many."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.moments: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.moments.append(time.perf_counter())
        trainer.should_stop = len(self.moments) == self.steps


def ours(case: Case, steps: int) -> float:
    """Seconds a step of the project's training."""
    stopwatch = _Stopwatch(WARM_UP + steps)
    case.network.train()
    student = Learner(case.network, case.config)
    learner.fit(student, case.batches, case.config.trainer, 1, callbacks=[stopwatch], quiet=True)
    return _seconds_a_step(stopwatch.moments, steps)


def bare(case: Case, steps: int) -> float:
    """Seconds a step of a plain loop over the same."""
    return _seconds_a_step(_moments(_loop(case), steps), steps)


def tutorial(case: Case, network: TextbookNCF, steps: int) -> float:
    """Seconds a step of as many samples in a tutorial's loop."""
    examples = Examples(islice(case.batches, WARM_UP + steps))
    loop = textbook.train(network, examples, case.samples, case.config.optimizer.layer_rate)
    return _seconds_a_step(_moments(loop, steps), steps)


def _loop(case: Case) -> Iterator[None]:
    """Trains for an epoch; yields after each step."""
    network = case.network
    optimizers = Learner(network, case.config).configure_optimizers()
    for batch in case.batches:
        for optimizer in optimizers:
            optimizer.zero_grad()
        liked = network(batch.users, batch.liked)
        others = network(batch.users[:, None], batch.others)
        loss = losses.binary_cross_entropy(liked, others, batch.weights, batch.log_rates)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
        yield


def _moments(loop: Iterable[None], steps: int) -> list[float]:
    # Lightning's training leaves it switched on; nobody else's loop has it.
    torch.use_deterministic_algorithms(False)
    return [time.perf_counter() for _ in islice(loop, WARM_UP + steps)]


def _seconds_a_step(moments: Sequence[float], steps: int) -> float:
    """Mean time of the steps after the warm-up, of the moments at which all of them ended."""
    return (moments[-1] - moments[WARM_UP - 1]) / steps


def main(
    users: Annotated[int, typer.Option(min=SMALLER)] = 1_600_000,
    items: Annotated[int, typer.Option(min=1)] = 54_000,
    pairs_each: Annotated[int, typer.Option(min=1)] = 6,
    steps: Annotated[int, typer.Option(min=1)] = 20,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Prints, as JSON, how fast the network is trained."""
    try:
        report = benchmark(users, items, pairs_each, steps, rounds, threads)
    except ValueError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
