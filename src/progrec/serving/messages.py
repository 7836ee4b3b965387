"""What goes over the wire: requests and answers."""

# BentoML's classes reach mypy as Any.
# mypy: allow-subclassing-any

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

import bentoml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError
from starlette.requests import Request as HTTPRequest

from progrec.serving import failures, sessions
from progrec.serving.candidates import Candidate, Source
from progrec.serving.failures import Problem
from progrec.serving.fields import Count, Id, Price, Time, UserId
from progrec.serving.filters import Filters
from progrec.serving.kept import TYPES
from progrec.serving.recommender import Recommendation
from progrec.serving.store import Event
from progrec.settings import IngestSettings, Settings


class Request(bentoml.IODescriptor):
    """A JSON object with no other fields than those named."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    async def from_http_request(cls, request: HTTPRequest, _serde: object) -> object:
        """The request; or what is wrong with it, which `failures.answered` answers.

        What is raised here BentoML answers by itself, and logs with a stack trace.
        """
        try:
            return cls.model_validate_json(await request.body())
        except ValidationError as error:
            return error


class Shopper(BaseModel):
    """A user or an anonymous session: exactly one of the two."""

    user_id: Annotated[UserId | None, Field(description="Who.", examples=["400023651"])] = None
    session_id: Annotated[
        Id | None, Field(description="Or, of somebody not logged in, the session.")
    ] = None

    @model_validator(mode="after")
    def _is_one(self) -> Shopper:
        if (self.user_id is None) == (self.session_id is None):
            raise PydanticCustomError(
                "shopper", "give user_id or else session_id", {"field": "user_id"}
            )
        return self

    @property
    def key(self) -> str:
        """Who the shopper is to the store."""
        return self.user_id or sessions.key(self.session_id or "")


class RecommendRequest(Request, Shopper, Filters):
    """Who is to see how many of which products."""

    k: Annotated[Count, Field(description="How many products; at most serving.max_k.")] = 20
    peek: Annotated[bool, Field(strict=True, description="Only look: nothing counts as shown.")] = (
        False
    )


class BatchRequest(Request):
    """Many users, to each of whom the same number of products is to be recommended."""

    user_ids: Annotated[list[UserId], Field(description="At most serving.max_batch.")]
    k: Annotated[Count, Field(description="Products a user; at most serving.max_k.")] = 20


@dataclass(slots=True)  # quicker to make than a BaseModel: each answer has one
class Model:
    """The bundle that answered."""

    version: Annotated[int | None, Field(description="Its number in the registry.", examples=[3])]
    digest: Annotated[str, Field(description="Hash of its files, as in dvc.lock.")]
    data_digest: Annotated[str, Field(description="Hash of the data that it was trained on.")]
    watermark: Annotated[date, Field(description="The last day whose events it has learned.")]
    age_seconds: Annotated[float, Field(description="Time since the end of that day.")]

    @staticmethod
    def age(watermark: date) -> float:
        """Seconds since the end of a day (UTC)."""
        end = datetime.combine(watermark, time.max, UTC)
        return max(0.0, round((datetime.now(UTC) - end).total_seconds(), 3))


class Recommendations(BaseModel):
    """The products to show, in order, and the best rung of the ladder that supplied one."""

    user_id: str | None
    session_id: str | None
    strategy: Source
    model: Model
    items: list[Recommendation]


class UserRecommendations(BaseModel):
    """One user's products, the best first."""

    user_id: str
    items: list[Candidate]


class BatchRecommendations(BaseModel):
    """Each user's products, in the order of the request."""

    model: Model
    users: list[UserRecommendations]


class AsIfEvents:
    """Described as a list of events, but taken as it comes."""

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The JSON schema of a list of events."""
        return handler(TypeAdapter(list[PostedEvent]).core_schema)


class EventsRequest(Request):
    """What shoppers did, in order."""

    # Each is validated by itself, so that a bad one does not take the others with it.
    events: Annotated[list[Any], AsIfEvents()]


class PostedEvent(Shopper):
    """What one shopper did with one product: the canonical event."""

    model_config = ConfigDict(extra="forbid")

    event_time: Time
    event_type: Annotated[str, Field(examples=["view"])]
    product_id: Id
    user_session: Id | None = None
    price: Price | None = None
    category_id: Id | None = None
    category_code: Id | None = None
    brand: Id | None = None
    event_id: Annotated[
        Id | None,
        Field(description="Events of one id are one event; without it, events of one content."),
    ] = None

    def event(self) -> Event:
        """As the store keeps it."""
        return Event(
            event_time=self.event_time,
            event_type=self.event_type,
            user_id=self.key,
            product_id=self.product_id,
            user_session=self.user_session,
            price=self.price,
            category_id=self.category_id,
            category_code=self.category_code,
            brand=self.brand,
            event_id=self.event_id,
        )


class Rejection(BaseModel):
    """An event that was not kept: its place in the request, and what is wrong with which field."""

    index: int
    field: str
    reason: str


class EventsReport(BaseModel):
    """How many events were kept, how many were known already, and which were refused."""

    accepted: int
    duplicates: int
    rejected: list[Rejection]


class QueueRequest(Request, Shopper):
    """Whose queue."""


class Queue(BaseModel):
    """A shopper's queue: product, counter and score of each entry, in order."""

    user_id: str | None
    session_id: str | None
    pool: list[list[str | int | float]]


class MergeRequest(Request):
    """An anonymous session, and the user that it turned out to be."""

    session_id: Id
    user_id: UserId


class Merged(BaseModel):
    """The session's events, purchases and queue are the user's."""

    session_id: str
    user_id: str


def validated(posted: Sequence[object], config: Settings) -> tuple[list[Event], list[Rejection]]:
    """The usable events, and what is wrong with the others.

    What the pipeline would put into quarantine is not accepted.
    """
    types = event_types(config)
    events, rejected = [], []
    for index, content in enumerate(posted):
        problem: Problem | None
        try:
            event = PostedEvent.model_validate(content)
        except ValidationError as error:
            problem = failures.problems_of(error, "event")[0]
        else:
            problem = _unusable(event, types, config.ingest)
            if problem is None:
                events.append(event.event())
        if problem is not None:
            rejected.append(Rejection(index=index, **problem.model_dump()))
    return events, rejected


def event_types(config: Settings) -> list[str]:
    """Those that are taken: the pipeline's, and those by which the queue lifts its rule."""
    return [*TYPES, *config.queue.refund]


def _unusable(event: PostedEvent, types: Sequence[str], ingest: IngestSettings) -> Problem | None:
    if event.event_type not in types:
        return Problem(field="event_type", reason=f"is none of {', '.join(types)}")
    if not ingest.earliest <= event.event_time.date() < ingest.latest:
        reason = f"is not between {ingest.earliest} and {ingest.latest}"
        return Problem(field="event_time", reason=reason)
    return None


def refuse_above(limit: int, field: str, value: int) -> None:
    """Raises what is answered to a request for too much."""
    if value > limit:
        raise failures.invalid(field, f"at most {limit}")
