"""What single fields of a request may hold."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from progrec.events.validation import PRICE_LIMIT
from progrec.serving.sessions import PREFIX

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


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


def _is_no_session(user_id: str) -> str:
    if user_id.startswith(PREFIX):
        raise PydanticCustomError("user", f"no user's id begins with {PREFIX}; give session_id")
    return user_id


def _as_time(value: object) -> datetime:
    if isinstance(value, str):
        with suppress(ValueError, OverflowError):
            time = datetime.fromisoformat(value.removesuffix(" UTC"))
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    raise PydanticCustomError("time", "a time is text such as 2020-02-01T12:00:00Z")


Id = Annotated[
    str,
    BeforeValidator(_as_id),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$"},
                {"type": "integer"},
            ]
        },
        mode="validation",
    ),
]
"""An opaque id; a JSON number is accepted and becomes its text."""

UserId = Annotated[Id, AfterValidator(_is_no_session)]
"""A user's own id."""

Time = Annotated[
    datetime,
    BeforeValidator(_as_time),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""ISO 8601 or as in a REES46 log; UTC where no offset says otherwise."""

Price = Annotated[float, Field(ge=0, lt=PRICE_LIMIT, allow_inf_nan=False)]
"""In the shop's currency."""

Count = Annotated[int, Field(ge=1, strict=True)]
"""How many."""
