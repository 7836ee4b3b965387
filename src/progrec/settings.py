"""params.yaml -> validated settings. The only reader of that file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from progrec.errors import InputError

G = TypeVar("G", bound="Group")

EventType = Literal["view", "click", "cart", "remove_from_cart", "purchase"]
"""What a shopper can do with a product."""

Fraction = Annotated[float, Field(ge=0, le=1)]


class SettingsError(InputError):
    """A configuration file that cannot be used; the message names file, key and remedy."""


class Group(BaseModel):
    """A group of settings: immutable, and without room for a key it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class IngestSettings(Group):
    """How raw files are read and when they are refused."""

    column_aliases: dict[str, str]
    event_type_aliases: dict[str, EventType]
    drop_duplicates: bool
    max_bad_fraction: Fraction
    earliest: date
    latest: date
    late: Literal["next_day", "set_aside"]


class EnrichSettings(Group):
    """How the stream of events is enriched."""

    chunk_events: Annotated[int, Field(ge=1)]


class SessionSettings(Group):
    """When a session ends: after a longer pause than the gap."""

    gap_minutes: Annotated[int, Field(ge=1)]


class InteractionSettings(Group):
    """How much an event of each type speaks for an item."""

    weights: dict[EventType, float]

    @model_validator(mode="after")
    def _weighs_every_type(self) -> InteractionSettings:
        missing = [name for name in get_args(EventType) if name not in self.weights]
        if missing:
            raise ValueError(f"weights lack {', '.join(missing)}; give each event type a number")
        return self


class SplitSettings(Group):
    """Where history ends, and the windows on either side of that moment."""

    cutoff: date
    validation_days: Annotated[int, Field(ge=1)]
    horizon_days: Annotated[int, Field(ge=1)]

    @property
    def cutoff_time(self) -> datetime:
        """The first moment (UTC) that is not history."""
        return datetime.combine(self.cutoff, time(), UTC)


class StageSettings(Group):
    """The Hydra overrides that a stage's command carries."""

    overrides: str


class EvaluateSettings(Group):
    """What is measured."""

    k: Annotated[int, Field(ge=1)]


class ToleranceSettings(Group):
    """How much of the champion's NDCG a challenger may lose."""

    frozen: Fraction
    recent: Fraction


class GateSettings(Group):
    """When a challenger may become the champion."""

    recent_days: Annotated[int, Field(ge=1)]
    max_users: Annotated[int, Field(ge=1)]
    tolerance: ToleranceSettings
    max_probability_shift: Annotated[float, Field(ge=1)]
    min_coverage: Fraction
    min_foretold: Fraction


class QueueSettings(Group):
    """The business rules of a shopper's queue."""

    weights: dict[Literal["view", "click", "cart", "remove_from_cart"], float]
    refund: tuple[Annotated[str, Field(min_length=1)], ...]
    min_pool: Annotated[int, Field(ge=1)]
    refill_to: Annotated[int, Field(ge=1)]
    max_pool: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _leaves_other_events_alone(self) -> QueueSettings:
        taken = sorted({*self.refund} & {*get_args(EventType)})
        if taken:
            raise ValueError(f"refund names {', '.join(taken)}, which is no refund; name another")
        return self

    @model_validator(mode="after")
    def _has_room_for_a_refill(self) -> QueueSettings:
        if self.max_pool < max(self.min_pool, self.refill_to):
            raise ValueError("max_pool is smaller than min_pool or refill_to; raise it")
        return self


class ServingSettings(Group):
    """The service's database, its limits and what it follows."""

    database: Path
    catalogue: Path | None
    poll_seconds: Annotated[float, Field(gt=0)]
    api_key_variable: Annotated[str, Field(min_length=1)] | None
    max_k: Annotated[int, Field(ge=1)]
    max_events: Annotated[int, Field(ge=1)]
    max_batch: Annotated[int, Field(ge=1)]
    max_body: Annotated[int, Field(ge=1)]


class RegistrySettings(Group):
    """Where runs and versions are kept."""

    tracking_uri: str
    model: str


class Settings(Group):
    """params.yaml, whole."""

    ingest: IngestSettings
    split: SplitSettings
    enrich: EnrichSettings
    sessions: SessionSettings
    interactions: InteractionSettings
    train: StageSettings
    update: StageSettings
    evaluate: EvaluateSettings
    gate: GateSettings
    queue: QueueSettings
    serving: ServingSettings
    registry: RegistrySettings


def load(path: Path = Path("params.yaml")) -> Settings:
    """Reads and validates the settings.

    Raises:
        SettingsError: the file is missing, is not YAML, or holds an unknown, missing or unusable
            key; the message names each key, and for an unknown one the nearest known key.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"{path} does not exist; run the command in the project's top folder"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8; save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path} holds no settings; it has lines such as `key: value`")
    return validate(Settings, content, source=str(path))


def validate(group: type[G], content: object, source: str) -> G:
    """Makes a group of settings from plain data.

    Args:
        group: the group's class.
        content: nested dictionaries as YAML gives them.
        source: what to call the data in an error.

    Raises:
        SettingsError: naming every key that is unknown, missing or unusable.
    """
    try:
        return group.model_validate(content)
    except ValidationError as error:
        problems = "\n".join(f"  {line}" for line in _problems(group, error))
        raise SettingsError(f"{source} cannot be used:\n{problems}") from None


def _problems(group: type[BaseModel], error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        # So pydantic marks a dictionary's key that is itself the problem.
        is_key = problem["loc"][-1:] == ("[key]",)
        location = problem["loc"][:-1] if is_key else problem["loc"]
        key = ".".join(map(str, location)) or "as a whole"
        if problem["type"] == "extra_forbidden" or is_key:
            yield f"{key}: unknown key{_nearest(group, location)}"
        elif problem["type"] == "missing":
            yield f"{key}: missing"
        else:
            yield f"{key}: {problem['msg']} (it is {problem['input']!r})"


def _nearest(group: type[BaseModel], location: Sequence[int | str]) -> str:
    """The hint for an unknown key: the likeliest of the keys that may stand in its place."""
    *parents, key = location
    known: object = group
    for parent in parents:
        field = getattr(known, "model_fields", {}).get(parent)
        known = field.annotation if field else None
    near = difflib.get_close_matches(str(key), _keys(known), n=1, cutoff=0)
    return f"; did you mean {near[0]}?" if near else ""


def _keys(annotation: object) -> list[str]:
    """The keys of a group, or of a dictionary that takes only certain ones."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return list(annotation.model_fields)
    key, *_ = get_args(annotation) or (None,)
    return list(get_args(key))
