"""Structured logs: one JSON object a line, with the request that it belongs to."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Request:
    """The HTTP request that is being answered."""

    request_id: str
    method: str
    path: str


REQUEST: ContextVar[Request] = ContextVar("request")
"""Set while a request is answered, also in the thread that answers it."""

FACTS = "facts"
"""The key of `extra` under which a line carries fields of its own: a flat dictionary."""


class JsonFormatter(logging.Formatter):
    """A record as a line of JSON: time, level, logger, message, request and facts."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a stack trace is one of its fields."""
        request = REQUEST.get(None)
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **(asdict(request) if request else {}),
            **getattr(record, FACTS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure() -> None:
    """Makes the lines of this process JSON, and lets progrec's own through.

    BentoML has installed the handlers: they keep their streams and get another formatter.
    """
    logging.getLogger("progrec").setLevel(logging.INFO)
    for name in ("", "bentoml"):
        for handler in logging.getLogger(name).handlers:
            # Not a test's, which derive from it.
            if type(handler) is logging.StreamHandler:
                handler.setFormatter(JsonFormatter())
