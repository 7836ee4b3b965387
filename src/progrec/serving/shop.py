"""The shop page at the service's root, where there may be one."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec

import bentoml
from starlette.applications import Starlette
from starlette.routing import Match, Mount
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from progrec import settings
from progrec.serving import garbage

LIBRARY = "nicegui"
OWN = "/_nicegui"
"""Where the library has what its pages ask for."""

logger = logging.getLogger(__name__)


def app() -> Starlette:
    """Answers with the shop page at `/`; with nothing where there may be none.

    There is none without the extra `shop`; nor with a key, because whoever clicks writes events.
    """
    return Starlette(lifespan=_open)


@asynccontextmanager
async def _open(app: Starlette) -> AsyncIterator[None]:
    app.routes.clear()
    if settings.load().serving.api_key_variable:
        logger.info("no shop page: serving.api_key_variable is set, and it would write without")
    elif not _installed():
        logger.info("no shop page: it needs NiceGUI, the extra `shop`")
    else:
        # Not at the top: it takes a second, and may not be there.
        from progrec.serving import shop_page  # noqa: PLC0415

        pages = shop_page.site(bentoml.get_current_service().storefront)
        app.routes.append(_Root(pages, shop_page.made_here))
        async with pages.router.lifespan_context(pages):
            garbage.freeze()
            yield
        return
    yield


def _installed() -> bool:
    try:
        return find_spec(LIBRARY) is not None
    except ValueError:  # it is kept from being imported
        return False


class _Root(Mount):
    """The page and its library's own paths; all others are left to whoever has them."""

    def __init__(self, pages: Starlette, knows: Callable[[Scope], bool]) -> None:
        """Takes who answers, and says whose sockets."""
        super().__init__("/", pages)
        self.knows = knows

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Not at all, or wholly."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return super().matches(scope) if path == "/" or path.startswith(OWN) else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers; a socket of a page that another worker has made is turned away (see shop.js)."""
        if scope["type"] == "websocket" and not self.knows(scope):
            await WebSocketClose()(scope, receive, send)
        else:
            await super().handle(scope, receive, send)
