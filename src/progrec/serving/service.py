"""The HTTP service: recommendations, events and queues."""

# BentoML's decorators reach mypy as Any.
# mypy: allow-untyped-decorators

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain

import bentoml
import torch

from progrec import settings
from progrec.errors import InputError
from progrec.serving import (
    endpoints,
    failures,
    kept,
    logs,
    messages,
    openapi,
    recommender,
    sessions,
    shop,
)
from progrec.serving.assortment import CatalogueFile
from progrec.serving.candidates import Candidate, ScoredCatalogue, candidates
from progrec.serving.configuration import CONFIGURATION
from progrec.serving.failures import Problem, Refused, answered
from progrec.serving.follower import Champion, Follower
from progrec.serving.guard import Guard
from progrec.serving.messages import (
    BatchRecommendations,
    BatchRequest,
    EventsReport,
    EventsRequest,
    Merged,
    MergeRequest,
    Queue,
    QueueRequest,
    Recommendations,
    RecommendRequest,
    UserRecommendations,
)
from progrec.serving.metrics import metrics
from progrec.serving.scorers import Scorers
from progrec.serving.store import Event, Store
from progrec.serving.storefront import Storefront
from progrec.serving.ticker import Ticker

NOT_READY = "no model is loaded yet; `make run` trains and registers one"

AT_ONCE = 20
"""Events that are kept in one piece, while nobody else is answered: some milliseconds."""


@bentoml.service(name="progrec", **CONFIGURATION)
class Progrec:
    """Recommends products to shoppers, and learns at once from what they do."""

    def __init__(self) -> None:
        logs.configure()
        # One user's scores are little work: threads would only take turns with the requests.
        torch.set_num_threads(1)
        self._config = settings.load()
        self._limits = self._config.serving
        self._store = Store(self._limits.database, self._config.queue)
        self._scorers = Scorers()
        self._follower = Follower(self._config, self._store)
        self._catalogue = CatalogueFile(self._limits.catalogue)
        self._ticker = Ticker(self._limits.poll_seconds, self._follower.look, self._catalogue.look)
        self.storefront = Storefront(
            self._config, self._store, self._follower, self._catalogue, self._scorers
        )
        endpoints.keep(self, Progrec.apis)  # type: ignore[attr-defined]

    def __is_ready__(self) -> bool:
        return self._follower.champion is not None

    @bentoml.api
    @answered
    async def recommend(self, request: RecommendRequest, /) -> Recommendations:
        """The next products for a shopper; each counts as shown.

        First what waits in the shopper's queue, which the model refills: the product that was shown
        least often comes first. Each item's `source` says where it comes from, and `strategy` is
        the best of these.
        """
        messages.refuse_above(self._limits.max_k, "k", request.k)
        champion = self._champion()
        allowed = request.allowed(self._catalogue.assortment or champion.assortment)
        with metrics().queue("recommend"):
            items = await recommender.recommend(
                self._store,
                champion.catalogue,
                self._scorers,
                request.key,
                k=request.k,
                allowed=allowed,
                peek=request.peek,
            )
        if not request.peek:
            metrics().shown(item.source for item in items)
        return Recommendations(
            user_id=request.user_id,
            session_id=request.session_id,
            strategy=recommender.strategy(items),
            model=champion.model(),
            items=items,
        )

    @bentoml.api
    @answered
    async def recommend_batch(self, request: BatchRequest, /) -> BatchRecommendations:
        """The best products for many users; no queue is asked or changed.

        What a user has bought and kept, until this moment, is left out. Nothing counts as shown: it
        is the list of a mailing, or of a page made in advance. What else they did since the model
        learned is left to /recommend.
        """
        messages.refuse_above(self._limits.max_batch, "user_ids", len(request.user_ids))
        messages.refuse_above(self._limits.max_k, "k", request.k)
        champion = self._champion()
        users = []
        for user_id in request.user_ids:
            # Each by itself: others, too, want to be scored.
            work = partial(self._best, champion.catalogue, user_id, request.k)
            items = await self._scorers.aside(work)
            users.append(UserRecommendations(user_id=user_id, items=items))
        return BatchRecommendations(model=champion.model(), users=users)

    @bentoml.api
    @answered
    async def events(self, request: EventsRequest, /) -> EventsReport:
        """Keeps what shoppers did, and changes their queues at once.

        When the answer comes, they are kept for good. An event that is known already has no effect
        and is a duplicate; one that cannot be used is rejected by its index, the others are kept.
        """
        messages.refuse_above(self._limits.max_events, "events", len(request.events))
        events, rejected = messages.validated(request.events, self._config)
        received = kept.text(datetime.now(UTC))
        some = [events[place : place + AT_ONCE] for place in range(0, len(events), AT_ONCE)]
        with metrics().queue("events"):
            found = await asyncio.gather(*[self._keep(each, received) for each in some])
        new = [*chain.from_iterable(found)]
        metrics().posted("accepted", sum(new))
        metrics().posted("duplicate", len(new) - sum(new))
        metrics().posted("rejected", len(rejected))
        if rejected and not events:
            raise Refused(
                400,
                "invalid",
                "no event can be used",
                problems=[
                    Problem(field=f"events.{each.index}.{each.field}", reason=each.reason)
                    for each in rejected
                ],
            )
        return EventsReport(accepted=sum(new), duplicates=len(new) - sum(new), rejected=rejected)

    @bentoml.api
    @answered
    async def queue(self, request: QueueRequest, /) -> Queue:
        """A shopper's queue as it is; looking does not count as showing."""
        with metrics().queue("queue"):
            pool = self._store.queue(request.key)
        return Queue(
            user_id=request.user_id,
            session_id=request.session_id,
            pool=[[entry.product_id, entry.counter, entry.score] for entry in pool],
        )

    @bentoml.api
    @answered
    async def merge(self, request: MergeRequest, /) -> Merged:
        """Joins an anonymous session with the user that it turned out to be, on login.

        What the session looked at, bought and was shown is the user's from then on.
        """
        try:
            with metrics().queue("merge"):
                now = kept.text(datetime.now(UTC))
                most = self._config.queue.max_pool
                await self._store.write(
                    lambda connection: sessions.merge(
                        connection, request.session_id, request.user_id, now, most
                    )
                )
        except InputError as error:
            if error.__cause__:  # the database's trouble, not the request's
                raise
            raise failures.invalid("session_id", str(error)) from None
        return Merged(session_id=request.session_id, user_id=request.user_id)

    async def _keep(self, events: Sequence[Event], received: str) -> list[bool]:
        return await self._store.write(
            lambda connection: kept.record(connection, self._config.queue, events, received)
        )

    def _best(self, catalogue: ScoredCatalogue, user_id: str, k: int) -> list[Candidate]:
        exclude = self._store.purchased(user_id)
        return candidates(catalogue, user_id, n=k, exclude=exclude, touched=())

    @bentoml.on_shutdown
    def close(self) -> None:
        """Stops following the registry, and closes the database."""
        self._ticker.close()
        self._scorers.close()
        self._store.close()

    def _champion(self) -> Champion:
        champion = self._follower.champion
        if champion is None:
            retry = {"Retry-After": str(max(1, round(self._limits.poll_seconds)))}
            raise Refused(503, "not_ready", NOT_READY, headers=retry)
        return champion


Progrec.add_asgi_middleware(Guard)  # type: ignore[attr-defined]
Progrec.mount_asgi_app(shop.app(), "/")  # type: ignore[attr-defined]
Progrec.mount_asgi_app(openapi.app(Progrec), "/")  # type: ignore[attr-defined]
