"""What Hydra composes from conf/ -> validated settings of training and update."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from omegaconf import DictConfig, OmegaConf
from pydantic import Field, model_validator

from progrec import settings
from progrec.learning.dataset import EventWithWeight
from progrec.settings import Group

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class ModelConfig(Group):
    """The network.

    Attributes:
        towers: the towers whose outputs are concatenated.
        factors: width of the GMF embeddings.
        layers: width of the MLP embeddings, then of each layer.
    """

    towers: tuple[Literal["gmf", "mlp"], ...]
    factors: Count
    layers: tuple[Count, ...]

    @model_validator(mode="after")
    def _has_something_to_compute(self) -> ModelConfig:
        if not self.towers:
            raise ValueError("towers must name at least one of gmf, mlp")
        if "mlp" in self.towers and len(self.layers) < 2:
            raise ValueError(
                "layers must have at least two widths: the embedding's, then a layer's"
            )
        return self


class LossConfig(Group):
    """What is learned: event type -> weight of a pair in which it happened."""

    event_weights: dict[EventWithWeight, Annotated[float, Field(ge=0)]]


class SamplerConfig(Group):
    """Negatives a positive."""

    negatives: Count


class OptimizerConfig(Group):
    """Adam: sparse for the embedding tables, dense for the layers.

    Attributes:
        table_rate: learning rate of the tables.
        layer_rate: learning rate of the layers.
        batch_size: positives a step.
    """

    table_rate: Positive
    layer_rate: Positive
    batch_size: Count


class TrainerConfig(Group):
    """The loop.

    Attributes:
        accelerator: Lightning's name of the device.
        threads: of PyTorch; the same number gives the same sums.
        max_epochs: the most passes over the data.
        patience: epochs without a better validation figure before training stops.
    """

    accelerator: Literal["cpu", "gpu"]
    threads: Count
    max_epochs: Count
    patience: Count


class TrainConfig(Group):
    """The train stage, whole.

    Attributes:
        data: folder of history's feature tables.
        out: where the bundle goes.
        curve: where the figures of each epoch go.
    """

    data: Path
    out: Path
    curve: Path
    seed: int
    model: ModelConfig
    loss: LossConfig
    sampler: SamplerConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig


class FineTuneConfig(Group):
    """How a day is learned.

    Attributes:
        epochs: passes over the day.
        new_row_deviation: of the noise that sets new rows apart from the mean row.
    """

    epochs: Count
    new_row_deviation: Annotated[float, Field(ge=0)]


class UpdateConfig(Group):
    """The update stage, whole.

    Attributes:
        data: folder of the deltas' feature tables.
        parent: the bundle to start from.
        out: where the updated bundle goes.
    """

    data: Path
    parent: Path
    out: Path
    seed: int
    update: FineTuneConfig
    loss: LossConfig
    sampler: SamplerConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig


def train_config(composed: DictConfig) -> TrainConfig:
    """Validates what Hydra composed for the train stage.

    Raises:
        SettingsError: naming every key that is unknown, missing or unusable.
    """
    return settings.validate(TrainConfig, _plain(composed), source="conf/ (train.yaml)")


def update_config(composed: DictConfig) -> UpdateConfig:
    """Validates what Hydra composed for the update stage.

    Raises:
        SettingsError: naming every key that is unknown, missing or unusable.
    """
    return settings.validate(UpdateConfig, _plain(composed), source="conf/ (update.yaml)")


def digest(config: TrainConfig | UpdateConfig) -> str:
    """Hash of what decides how a model is trained: all settings but the paths."""
    content = config.model_dump(mode="json", exclude={"data", "parent", "out", "curve"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _plain(composed: DictConfig) -> object:
    return OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
