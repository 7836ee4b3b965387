"""What happens to a request before it reaches its endpoint."""

from __future__ import annotations

import hmac
import os
import random
import re
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from progrec import settings
from progrec.serving import failures, logs
from progrec.serving.failures import Problem, Refused
from progrec.settings import ServingSettings, SettingsError

KEPT = frozenset({"/events", "/merge", "/queue"})
"""The paths that ask for the key: writes and administration."""

REQUEST_ID = "X-Request-Id"
USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True)
class Rules:
    """Who may do what, and how long a request may be.

    Attributes:
        key: what the paths of `KEPT` ask for; None: nothing.
        max_body: bytes.
    """

    key: bytes | None
    max_body: int

    @classmethod
    def of(cls, serving: ServingSettings) -> Rules:
        """Reads the key from the environment.

        Raises:
            SettingsError: the settings name a variable that is not set, or empty.
        """
        name = serving.api_key_variable
        key = os.environ.get(name, "").encode() if name else None
        if key == b"":
            raise SettingsError(
                f"serving.api_key_variable: the environment has no {name}; set it to the key, or "
                "the setting to null"
            )
        return cls(key, serving.max_body)

    def check(self, path: str, headers: Headers) -> None:
        """Raises what is answered to a request without the key, or that is too long or no JSON."""
        if self.key is not None and path in KEPT and not self._opens(headers):
            raise Refused(
                401,
                "key",
                "this needs the key: Authorization: Bearer KEY",
                headers={"WWW-Authenticate": "Bearer"},
            )
        kind = headers.get("content-type", "application/json")
        # What says that it is something else BentoML would try to read as that.
        if kind.partition(";")[0].strip().lower() != "application/json":
            raise failures.invalid("Content-Type", "must be application/json")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self.max_body:
            raise self.too_long

    @property
    def too_long(self) -> Refused:
        """What is answered to a body that is too long."""
        problem = Problem(field="body", reason=f"at most {self.max_body} bytes")
        return Refused(413, "size", problems=[problem])

    def _opens(self, headers: Headers) -> bool:
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        # Headers are latin-1 to starlette; the key's bytes are meant.
        same = hmac.compare_digest(sent.strip().encode("latin-1"), self.key or b"")
        return same and scheme.lower() == "bearer"


class Guard:
    """Gives each request its id, and refuses those that no endpoint shall see."""

    def __init__(self, app: ASGIApp) -> None:
        """Takes what answers the others."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 400, 401 or 413, or hands the request on."""
        if scope["type"] == "lifespan":
            self._rules = Rules.of(settings.load().serving)
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        sent = headers.get(REQUEST_ID, "")
        request_id = sent if USABLE_ID.fullmatch(sent) else f"{random.getrandbits(128):032x}"
        named = _naming(send, request_id)
        token = logs.REQUEST.set(logs.Request(request_id, scope["method"], path))
        try:
            if scope["method"] == "POST":
                self._rules.check(path, headers)
                receive = await self._whole(receive)
            await self.app(scope, receive, named)
        except Refused as refused:
            await failures.answer(refused)(scope, receive, named)
        finally:
            logs.REQUEST.reset(token)

    async def _whole(self, receive: Receive) -> Receive:
        """The body is read here, as far as it may reach, and handed on in one piece."""
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the client has gone
                return _first(message, receive)
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._rules.max_body:
                raise self._rules.too_long
        return _first({"type": "http.request", "body": bytes(body)}, receive)


def _first(message: Message, receive: Receive) -> Receive:
    """Receives a message, and then what else comes."""
    waiting = [message]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def _naming(send: Send, request_id: str) -> Send:
    """Sends an answer with the request's id."""

    async def named(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)[REQUEST_ID] = request_id
        await send(message)

    return named
