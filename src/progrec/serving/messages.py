"""What goes over the wire: requests and answers."""

# BentoML's classes reach mypy as Any.
# mypy: allow-subclassing-any

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import bentoml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from progrec.serving.recommender import Recommendation, Source
from progrec.serving.store import Event
from progrec.settings import EventType

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

# Under BentoML's name, because `bentoml serve` shows nobody else's information.


def _as_id(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise PydanticCustomError("id", "an id is text or a whole number")
    if not value or UNPRINTABLE.search(value):
        raise PydanticCustomError("id", "an id is not empty and has no control characters")
    return value


def _as_time(value: object) -> datetime:
    if isinstance(value, str):
        with suppress(ValueError, OverflowError):
            time = datetime.fromisoformat(value.removesuffix(" UTC"))
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    raise PydanticCustomError("time", "a time is text such as 2020-02-01T12:00:00Z")


Id = Annotated[str, BeforeValidator(_as_id)]
"""An opaque id; a JSON number is accepted and becomes its text."""

Time = Annotated[datetime, BeforeValidator(_as_time)]
"""ISO 8601 or as in a REES46 log; UTC where no offset says otherwise."""


class RecommendRequest(bentoml.IODescriptor):
    """Who is to see how many products."""

    model_config = ConfigDict(extra="forbid")

    user_id: Id
    k: Annotated[int, Field(ge=1, strict=True)] = 20


class Model(BaseModel):
    """The bundle that answered."""

    digest: str


class Recommendations(bentoml.IODescriptor):
    """The products to show, in order, and the best rung of the ladder that supplied one."""

    user_id: str
    strategy: Source
    model: Model
    items: list[Recommendation]


class EventsRequest(bentoml.IODescriptor):
    """What shoppers did, in order."""

    model_config = ConfigDict(extra="forbid")

    # Each is validated by itself, so that a bad one does not take the others with it.
    events: list[Any]


class PostedEvent(BaseModel):
    """What one shopper did with one product: the canonical event."""

    model_config = ConfigDict(extra="forbid")

    event_time: Time
    event_type: EventType
    user_id: Id
    product_id: Id
    user_session: Id | None = None
    price: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    category_id: Id | None = None
    category_code: Id | None = None
    brand: Id | None = None
    event_id: Id | None = None


class Rejection(BaseModel):
    """An event that was not kept: its place in the request, and what is wrong with which field."""

    index: int
    field: str
    reason: str


class EventsReport(bentoml.IODescriptor):
    """How many events were kept, how many were known already, and which were refused."""

    accepted: int
    duplicates: int
    rejected: list[Rejection]


class QueueRequest(bentoml.IODescriptor):
    """Whose queue."""

    model_config = ConfigDict(extra="forbid")

    user_id: Id


class Queue(bentoml.IODescriptor):
    """A shopper's queue: product, counter and score of each entry, in order."""

    user_id: str
    pool: list[list[str | int | float]]


def validated(posted: Sequence[object]) -> tuple[list[Event], list[Rejection]]:
    """The usable events, and what is wrong with the others."""
    events, rejected = [], []
    for index, content in enumerate(posted):
        try:
            event = PostedEvent.model_validate(content)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in problem["loc"]) or "event"
            rejected.append(Rejection(index=index, field=field, reason=problem["msg"]))
        else:
            events.append(Event(**event.model_dump()))
    return events, rejected


def refuse_above(limit: int, field: str, value: int) -> None:
    """Raises what BentoML answers with 400 and the field's name."""
    if value > limit:
        problem = PydanticCustomError("limit", f"at most {limit}")
        raise ValidationError.from_exception_data(
            "the request", [{"type": problem, "loc": (field,), "input": value}]
        )
