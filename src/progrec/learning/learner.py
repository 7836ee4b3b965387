"""The training loop's body: network, loss and optimizers, as Lightning runs them."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.loggers import Logger
from torch import Tensor
from torch.utils.data import DataLoader

from progrec import progress
from progrec.errors import InputError
from progrec.learning import evaluation
from progrec.learning.batches import Batch, Batches
from progrec.learning.bundle import probabilities
from progrec.learning.config import LearningConfig, TrainerConfig
from progrec.learning.evaluation import Task
from progrec.learning.losses import LOSSES
from progrec.learning.ncf import NCF
from progrec.learning.vocabulary import Rows
from progrec.runs import loggable

# Lightning's advice that does not apply here.
NOT_APPLICABLE = (
    "Your `IterableDataset` has `__len__` defined",  # one process makes the batches,
    "The 'train_dataloader' does not have many workers",  # which come whole
    "GPU available but not used",  # the device is a setting
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # between Lightning and PyTorch
)

Curve = list[dict[str, float]]
"""One row an epoch: `epoch` (from 1), `loss`, and the validation's metrics if it has a task."""


@dataclass(frozen=True)
class NetworkScorer:
    """A network as evaluation knows it."""

    network: NCF

    def scores(self, users: Rows) -> npt.NDArray[np.float32]:
        """(b,) user rows -> (b, n_items) purchase probabilities."""
        return probabilities(self.network, users)


class Learner(pl.LightningModule):
    """Trains a network and, after each epoch, measures it on a ranking task.

    Attributes:
        curve: the figures of the epochs so far.
    """

    def __init__(
        self, network: NCF, config: LearningConfig, validation: Task | None = None, k: int = 20
    ) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.validation = validation
        self.k = k
        self.curve: Curve = []
        self._losses: list[Tensor] = []
        # Two optimizers, stepped by hand: only the tables' gradients are sparse.
        self.automatic_optimization = False

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Sparse Adam for the tables: a step costs what its rows cost. Adam for the layers."""
        tables = self.network.tables
        names = {id(table) for table in tables}
        layers = [weight for weight in self.network.parameters() if id(weight) not in names]
        return [
            torch.optim.SparseAdam(tables, lr=self.config.optimizer.table_rate),
            torch.optim.Adam(layers, lr=self.config.optimizer.layer_rate),
        ]

    def training_step(self, batch: Batch, _index: int) -> None:
        """One step on a batch."""
        if self.config.sampler.hardest_of > 1:
            batch = self._hardest(batch)
        liked = self.network(batch.users, batch.liked)
        others = self.network(batch.users[:, None], batch.others)
        loss = LOSSES[self.config.loss.name](liked, others, batch.weights, batch.log_rates)
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in optimizers:
            optimizer.step()
        self._losses.append(loss.detach())

    def on_train_epoch_end(self) -> None:
        """Writes the epoch's row of the curve, and gives it to logger and callbacks."""
        epoch = len(self.curve) + 1
        figures = {"loss": float(torch.stack(self._losses).mean())}
        self._losses.clear()
        if not math.isfinite(figures["loss"]):
            raise InputError(
                f"the training diverged in epoch {epoch}: lower optimizer.table_rate or "
                "optimizer.layer_rate"
            )
        if self.validation is not None:
            self.network.eval()
            figures |= evaluation.evaluate(NetworkScorer(self.network), self.validation, self.k)
            self.network.train()
        # `step` is where Lightning's loggers put the figures; they would count batches else.
        self.log_dict(logged(figures) | {"step": float(epoch)})
        self.curve.append({"epoch": epoch, **figures})

    @torch.no_grad()
    def _hardest(self, batch: Batch) -> Batch:
        """A batch with those of its negatives that the network takes most for likes."""
        logits = self.network(batch.users[:, None], batch.others)
        return batch.hardest(logits, self.config.sampler.negatives)


class Bar(Callback):
    """Shows how far each epoch is, as everything else that takes long is shown."""

    def __init__(self) -> None:
        self._batches: Iterator[int] = iter(())

    def on_train_epoch_start(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Begins an epoch's bar."""
        n_batches = int(trainer.num_training_batches)
        what = f"training, epoch {trainer.current_epoch + 1} of at most {trainer.max_epochs}"
        self._batches = progress.steps(range(n_batches), what)
        next(self._batches, None)

    def on_train_batch_end(self, *_: object) -> None:
        """Moves the bar; the last batch ends it."""
        next(self._batches, None)


def fit(
    learner: Learner,
    batches: Batches,
    trainer: TrainerConfig,
    epochs: int,
    *,
    callbacks: Sequence[Callback] = (),
    logger: Logger | None = None,
    quiet: bool = False,
) -> None:
    """Runs a learner over batches for at most so many epochs.

    Args:
        learner: what learns; its network is left on the CPU, in evaluation mode.
        batches: one epoch's.
        trainer: device and threads.
        epochs: the most passes.
        callbacks: may stop sooner.
        logger: gets each epoch's figures.
        quiet: whether to show no progress bar: the caller has one.
    """
    _quieten_lightning()
    loop = pl.Trainer(
        accelerator=trainer.accelerator,
        devices=1,
        max_epochs=epochs,
        callbacks=list(callbacks) if quiet else [*callbacks, Bar()],
        logger=logger or False,
        deterministic=True,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        log_every_n_steps=1,
    )
    with _threads(trainer.threads):
        loop.fit(learner, DataLoader(batches, batch_size=None))
    learner.network.eval().cpu()


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """So many threads of PyTorch, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def logged(figures: Mapping[str, float]) -> dict[str, float]:
    """An epoch's figures under the names that a run has them by."""
    return {f"towers/{loggable(name)}": value for name, value in figures.items()}


def early_stopping(metric: str, patience: int) -> EarlyStopping:
    """Stops when a metric has not risen for so many epochs."""
    (name,) = logged({metric: 0})
    return EarlyStopping(name, mode="max", patience=patience, check_on_train_epoch_end=True)


def best_epoch(curve: Curve, metric: str) -> int:
    """The epoch with the highest figure, the first of equals."""
    best = int(np.argmax([row[metric] for row in curve]))
    return int(curve[best]["epoch"])


def _quieten_lightning() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in NOT_APPLICABLE:
        warnings.filterwarnings("ignore", message)
