"""The HTTP service: recommendations, events and queues."""

# BentoML's decorators reach mypy as Any.
# mypy: allow-untyped-decorators

from __future__ import annotations

import bentoml
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from progrec import settings
from progrec.serving import messages, recommender
from progrec.serving.follower import Follower
from progrec.serving.messages import (
    EventsReport,
    EventsRequest,
    Model,
    Queue,
    QueueRequest,
    Recommendations,
    RecommendRequest,
)
from progrec.serving.store import Store

NOT_READY = "no model is loaded yet; `make run` trains and registers one"


class JsonOnly:
    """Refuses bodies that say they are something else than JSON, which BentoML would try to read.

    What else must happen before a request reaches its endpoint can stand beside it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 400, or hands the request on."""
        if scope["type"] == "http" and scope["method"] == "POST":
            sent = Headers(scope=scope).get("content-type", "application/json")
            if sent.partition(";")[0].strip().lower() != "application/json":
                problem = {"loc": ["Content-Type"], "msg": "must be application/json"}
                answer = JSONResponse(
                    {"error": "Content-Type must be application/json", "detail": [problem]}, 400
                )
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)


@bentoml.service(name="progrec", threads=4)
class Progrec:
    """Recommends products to shoppers, and learns at once from what they do."""

    def __init__(self) -> None:
        config = settings.load()
        self._limits = config.serving
        self._store = Store(config.serving.database, config.queue)
        self._follower = Follower(config)

    def __is_ready__(self) -> bool:
        return self._follower.catalogue is not None

    @bentoml.api(output_spec=Recommendations)
    def recommend(self, request: RecommendRequest, /) -> Recommendations | JSONResponse:
        """The next products for a shopper; each counts as shown."""
        messages.refuse_above(self._limits.max_k, "k", request.k)
        catalogue = self._follower.catalogue
        if catalogue is None:
            return JSONResponse({"error": NOT_READY}, status_code=503)
        items = recommender.recommend(self._store, catalogue, request.user_id, k=request.k)
        return Recommendations(
            user_id=request.user_id,
            strategy=recommender.strategy(items),
            model=Model(digest=catalogue.digest),
            items=items,
        )

    @bentoml.api
    def events(self, request: EventsRequest, /, ctx: bentoml.Context) -> EventsReport:
        """Keeps what shoppers did, and changes their queues at once."""
        messages.refuse_above(self._limits.max_events, "events", len(request.events))
        events, rejected = messages.validated(request.events)
        new = self._store.record(events)
        if rejected and not events:
            ctx.response.status_code = 400
        return EventsReport(accepted=sum(new), duplicates=len(new) - sum(new), rejected=rejected)

    @bentoml.api
    def queue(self, request: QueueRequest, /) -> Queue:
        """A shopper's queue as it is; looking does not count as showing."""
        pool = self._store.queue(request.user_id)
        return Queue(user_id=request.user_id, pool=[list(entry) for entry in pool])

    @bentoml.on_shutdown
    def close(self) -> None:
        """Stops following the registry, and closes the database."""
        self._follower.close()
        self._store.close()


Progrec.add_asgi_middleware(JsonOnly)  # type: ignore[attr-defined]
