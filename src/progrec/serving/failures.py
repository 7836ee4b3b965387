"""What is answered when a request cannot be: an error that names the field, and never a trace."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TypeVar

import msgspec
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import JSONResponse, Response

from progrec.errors import InputError
from progrec.serving.logs import FACTS, REQUEST
from progrec.serving.metrics import metrics
from progrec.serving.store import Busy

S = TypeVar("S")
R = TypeVar("R")

RETRY = {"Retry-After": "1"}
"""Seconds until a database may be free again."""

JSON = msgspec.json.Encoder(enc_hook=vars)
"""Writes answers as pydantic does, in half the time."""

logger = logging.getLogger(__name__)


class Problem(BaseModel):
    """What is wrong with which field."""

    field: str = Field(examples=["k"])
    reason: str = Field(examples=["at most 100"])


class Failure(BaseModel):
    """Why there is no answer."""

    error: str = Field(examples=["k: at most 100"])
    detail: list[Problem] = Field(description="Each thing that is wrong with the request.")
    request_id: str = Field(description="Also in the header X-Request-Id, and in the log.")


class Refused(Exception):  # noqa: N818  # it is what is answered, not what went wrong
    """A request that is answered with a failure.

    Attributes:
        status: of the answer.
        reason: a word for the log and the metrics.
        problems: what is wrong with the request.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        error: str = "",
        *,
        problems: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Takes what to answer; without an error's text, the first problem is the text."""
        super().__init__(error or f"{problems[0].field}: {problems[0].reason}")
        self.status = status
        self.reason = reason
        self.problems = list(problems)
        self.headers = headers


def invalid(field: str, reason: str) -> Refused:
    """Of a request with a field that cannot be used."""
    return Refused(400, "invalid", problems=[Problem(field=field, reason=reason)])


def problems_of(error: ValidationError, whole: str) -> list[Problem]:
    """What pydantic has found wrong; `whole` is the field's name where it is none of them."""
    return [
        Problem(
            # A rule over several fields says which of them it is about.
            field=each.get("ctx", {}).get("field") or ".".join(map(str, each["loc"])) or whole,
            reason=each["msg"],
        )
        for each in error.errors(include_url=False, include_input=False)
    ]


def refusal(error: Exception) -> Refused:
    """What is answered to a request that ended in an error."""
    match error:
        case Refused():
            return error
        case ValidationError():
            return Refused(400, "invalid", problems=problems_of(error, "body"))
        case Busy():
            return Refused(503, "busy", "the database is busy; try again", headers=RETRY)
        case InputError():
            unusable = "the database cannot be used; the log says why"
            return Refused(503, "database", unusable, headers=RETRY)
        case _:
            return Refused(500, "failure", "something went wrong here; the log says what")


def answer(error: Exception) -> Response:
    """The answer to a request that ended in an error, which is counted and logged in one line."""
    refused = refusal(error)
    metrics().refused("request", refused.reason)
    ours = refused.status >= 500
    logger.log(
        logging.ERROR if ours else logging.INFO,
        "refused: %s",
        error if ours else refused,
        exc_info=error if refused.status == 500 else None,
        extra={FACTS: {"status": refused.status, "reason": refused.reason}},
    )
    failure = Failure(
        error=str(refused), detail=refused.problems, request_id=REQUEST.get().request_id
    )
    return JSONResponse(failure.model_dump(), refused.status, refused.headers)


def answered(
    endpoint: Callable[[S, R], Awaitable[BaseModel]],
) -> Callable[[S, R], Coroutine[None, None, Response]]:
    """An endpoint whose errors are answers.

    BentoML would answer each without saying which request it was, and log its stack trace.
    """

    @functools.wraps(endpoint)
    async def answering(service: S, request: R, /) -> Response:
        try:
            if isinstance(request, Exception):  # see messages.Request
                raise request
            content = JSON.encode(await endpoint(service, request))
        except Exception as error:
            return answer(error)
        return Response(content, media_type="application/json")

    return answering
