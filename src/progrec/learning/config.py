"""What Hydra composes from conf/ -> validated settings of training and update."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, ValidationInfo, field_validator, model_validator

from progrec import settings
from progrec.learning.dataset import EventWithWeight
from progrec.learning.losses import LossName
from progrec.learning.side import Attribute, ItemNumber, UserNumber
from progrec.settings import Fraction, Group, SettingsError

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class FeaturesConfig(Group):
    """What the network is told of users and items besides their rows; nothing if all are empty.

    Attributes:
        users: numbers, as in the table of user features.
        items: numbers, as in the table of item features.
        attributes: words, as in the table of item features.
    """

    users: tuple[UserNumber, ...] = ()
    items: tuple[ItemNumber, ...] = ()
    attributes: tuple[Attribute, ...] = ()


class ModelConfig(Group):
    """The network.

    Attributes:
        towers: the towers whose outputs are concatenated.
        factors: width of the GMF embeddings.
        layers: width of the MLP embeddings, then of each layer.
        fusion: widths of the layers that join the towers' logit with what shoppers have done; none
            if the towers decide alone.
        features: its side inputs.
    """

    towers: tuple[Literal["gmf", "mlp"], ...]
    factors: Count
    layers: tuple[Count, ...]
    fusion: tuple[Count, ...] = ()
    features: FeaturesConfig = FeaturesConfig()

    @model_validator(mode="after")
    def _has_something_to_compute(self) -> ModelConfig:
        if not self.towers:
            raise ValueError("towers must name at least one of gmf, mlp")
        if "mlp" in self.towers and len(self.layers) < 2:
            raise ValueError(
                "layers must have at least two widths: the embedding's, then a layer's"
            )
        return self


class IALSConfig(Group):
    """How embeddings are fitted by alternating least squares.

    Attributes:
        regularization: of the squared embeddings, for each like.
        unobserved_weight: of the pairs that are no like.
        iterations: passes over both sides.
        deviation: of the start, for the length of an embedding.
    """

    regularization: Positive
    unobserved_weight: Positive
    iterations: Count
    deviation: Positive


class NeighboursConfig(Group):
    """How items come to speak for others.

    Attributes:
        regularizations: of which the end of history chooses one.
        max_items: how many items take part, the most liked ones: the time grows with its cube.
        kept: of each item, how many of its strongest weights.
    """

    regularizations: Annotated[tuple[Positive, ...], Field(min_length=1)]
    max_items: Count
    kept: Count

    @property
    def each(self) -> list[NeighboursConfig]:
        """One for each regularization."""
        return [self.model_copy(update={"regularizations": (one,)}) for one in self.regularizations]


class Recipe(Group):
    """How towers were trained, and neighbours found.

    Attributes:
        start: how the GMF tower's start was fitted; None if it was noise.
        epochs: passes over the pairs after that.
        neighbours: how items' neighbours were found, with the one regularization that was chosen;
            None if there are none.
    """

    start: IALSConfig | None
    epochs: Annotated[int, Field(ge=0)]
    neighbours: NeighboursConfig | None = None


class ChoicesConfig(Group):
    """How the fusion learns from what users bought, out of all that they could have.

    Attributes:
        max_users: users a moment.
        candidates: items a user: the targets, and others at random.
        batch_size: users a step.
        rate: Adam's learning rate.
        weight_decay: Adam's.
    """

    max_users: Count
    candidates: Count
    batch_size: Count
    rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]


class FusionConfig(ChoicesConfig):
    """How the fusion is trained: on moments of the past, and what was bought after each.

    Attributes:
        moments: how many, each a validation window before the next; the last decides for how long.
        max_epochs: the most passes.
        patience: passes without a better loss before the search ends.
        neighbours: the items that speak for others.
    """

    moments: Count
    max_epochs: Count
    patience: Count
    neighbours: NeighboursConfig


class LossConfig(Group):
    """What is learned, and what a mistake costs.

    Attributes:
        name: the loss.
        event_weights: event type -> weight of a pair in which it happened.
        half_life_days: after how many days an event weighs half as much; none if it never does.
    """

    name: LossName
    event_weights: dict[EventWithWeight, Annotated[float, Field(ge=0)]]
    half_life_days: Positive | None = None


class SamplerConfig(Group):
    """What liked items are told apart from.

    Attributes:
        negatives: how many a positive.
        popularity_exponent: they are drawn in the proportions of likes ** exponent: 0 is uniformly
            (Mikolov et al. 2013 take 0.75).
        hardest_of: so many times as many are drawn, of which those of the highest logits are kept
            (dynamic negative sampling, Zhang et al. 2013); 1 keeps all.
    """

    negatives: Count
    popularity_exponent: Fraction = 0
    hardest_of: Count = 1


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


class LearningConfig(Group):
    """How a network learns from pairs, in training as in an update.

    Attributes:
        seed: of whatever is drawn.
    """

    seed: Seed
    loss: LossConfig
    sampler: SamplerConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @field_validator("sampler")
    @classmethod
    def _goes_with_the_loss(cls, sampler: SamplerConfig, info: ValidationInfo) -> SamplerConfig:
        loss = info.data.get("loss")
        if loss and loss.name == "softmax" and sampler.hardest_of > 1:
            raise ValueError(
                "hardest_of must be 1 with loss=softmax, which has to know with what probability "
                "each negative is there; take sampler=uniform, sampler=popularity or another loss"
            )
        return sampler


class TrainConfig(LearningConfig):
    """The train stage, whole.

    Attributes:
        data: folder of history's feature tables.
        out: where the bundle goes.
        curve: where the figures of each epoch go.
        pretraining: how the GMF tower's start is fitted, of which the end of history chooses one;
            none if the towers start from noise.
        fusion: how the fusion is trained, if the model has one.
    """

    data: Path
    out: Path
    curve: Path
    model: ModelConfig
    pretraining: tuple[IALSConfig, ...]
    fusion: FusionConfig


class DayConfig(Group):
    """How a day is learned.

    Attributes:
        window_days: how many days are learned at once, as if they were one.
        epochs: passes of the fusion over what was bought, and over what was liked of towers that
            were trained by gradient steps.
        replay: likes of other days that such towers learn again, for each of the day.
        pull: how much of their way from the cold model the layers go back each day.
        min_events: events so far with which a new user or item gets a row; who buys, or is bought,
            gets one at once.
        expire_days: days after which who or what was not seen, and neither bought nor was bought,
            loses the row; None if it never does.
        choices: how the fusion learns.
    """

    window_days: Count
    epochs: Count
    replay: Annotated[float, Field(ge=0)]
    pull: Fraction
    min_events: Count
    expire_days: Count | None
    choices: ChoicesConfig


class UpdateConfig(LearningConfig):
    """The update stage, whole.

    Attributes:
        data: folder of the deltas' feature tables.
        parent: the cold model, from which the chain starts.
        out: where the chain's last bundle goes, and where an earlier part of it lies.
        report: where each day's figures go.
    """

    data: Path
    parent: Path
    out: Path
    report: Path
    update: DayConfig


Stage = TypeVar("Stage", TrainConfig, UpdateConfig)
OUTPUTS = ("out", "curve", "report")


def train_config(composed: DictConfig) -> TrainConfig:
    """Validates what Hydra composed for the train stage.

    Raises:
        SettingsError: naming every key that is unknown, missing or unusable.
    """
    return _validated(TrainConfig, composed, "conf/ (train.yaml)")


def update_config(composed: DictConfig) -> UpdateConfig:
    """Validates what Hydra composed for the update stage.

    Raises:
        SettingsError: naming every key that is unknown, missing or unusable.
    """
    return _validated(UpdateConfig, composed, "conf/ (update.yaml)")


def decisive(config: TrainConfig | UpdateConfig) -> dict[str, Any]:
    """What decides how a model is trained: all settings but the paths, as plain data."""
    return config.model_dump(mode="json", exclude={"data", "parent", *OUTPUTS})


def digest(config: TrainConfig | UpdateConfig) -> str:
    """Hash of what decides how a model is trained."""
    content = decisive(config)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _validated(stage: type[Stage], composed: DictConfig, source: str) -> Stage:
    try:
        content = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        problem = str(error).splitlines()[0]
        raise SettingsError(f"{source} cannot be used:\n  {error.full_key}: {problem}") from None
    return settings.validate(stage, content, source)
