"""What the shop page shows of a shopper and of the model, and what a shopper does there."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from progrec.errors import InputError
from progrec.learning.bundle import Bundle
from progrec.learning.dataset import ALL_COUNTS
from progrec.registry.decision import Decision
from progrec.serving import failures, follower, kept, messages, queues, recommender, rules, sessions
from progrec.serving.assortment import Assortment, CatalogueFile
from progrec.serving.candidates import Ranking, ScoredCatalogue, Source
from progrec.serving.follower import Champion, Follower
from progrec.serving.messages import Model, Shopper
from progrec.serving.metrics import metrics
from progrec.serving.recommender import Recommendation
from progrec.serving.rules import Pool
from progrec.serving.scorers import Scorers
from progrec.serving.store import Store
from progrec.settings import Settings

PRODUCTS = 12
"""Recommendations at a time."""
REMEMBERED = 8
"""How many of a shopper's last doings are shown."""
WORDS = dict(zip(ALL_COUNTS, ("view", "click", "cart", "buy", "remove"), strict=True))
"""What the page calls the types of events."""

INTRODUCED = 4
"""Known shoppers to choose from."""
DRAWN = 60
"""Known shoppers of whom those are taken: to look at all would take long."""


class Card(NamedTuple):
    """A recommended product, with what is known of it."""

    product_id: str
    category: str | None
    brand: str | None
    price: float | None
    source: Source
    score: float
    probability: float | None
    """That the shopper buys it; None where the model knows nothing of the shopper."""
    counter: int
    """How often it has been shown, this time included."""


class Doing(NamedTuple):
    """What a shopper did with a product."""

    day: str
    what: str
    product_id: str


class Known(NamedTuple):
    """A shopper of the model's history."""

    user_id: str
    products: int
    """With how many products they had to do."""


class Gate(NamedTuple):
    """What the gate said of the newest version."""

    version: int
    decision: Decision


@dataclass(frozen=True)
class View:
    """A shopper at one moment.

    Attributes:
        cards: what they are shown now.
        pool: what waits, whose turn comes first at first.
        lately: what they did last, the latest first.
        bought: how many products are never recommended to them again.
    """

    cards: list[Card]
    pool: Pool
    lately: list[Doing]
    bought: int


class Storefront:
    """Does in this process what the endpoints do, in the same way."""

    def __init__(
        self,
        config: Settings,
        store: Store,
        champions: Follower,
        catalogue: CatalogueFile,
        scorers: Scorers,
    ) -> None:
        """Takes what the endpoints work with."""
        self._config = config
        self._store = store
        self._champions = champions
        self._catalogue = catalogue
        self._scorers = scorers

    def model(self) -> Model | None:
        """The model that recommends; None while there is none."""
        champion = self._champions.champion
        return champion.model() if champion else None

    def gate(self) -> Gate | None:
        """The gate's last decision; None where there is no registry, or it has decided nothing."""
        tracking = follower.registry(self._config)
        for version in tracking.versions() if tracking else ():
            if decision := Decision.of(version):
                return Gate(version.number, decision)
        return None

    def known(self) -> list[Known]:
        """Some shoppers whom the model knows, from the busiest to one who hardly did a thing."""
        bundle = self._bundle()
        if bundle is None:
            return []
        # Always the same of one bundle, so that they can be met again.
        draws = np.random.default_rng(0).integers(0, len(bundle.users), DRAWN)
        some = sorted(
            (
                Known(str(bundle.users.ids[row]), len(_past(bundle, row)))
                for row in np.unique(draws)
            ),
            key=lambda one: -one.products,
        )
        places = np.linspace(0, len(some) - 1, min(INTRODUCED, len(some)))
        return [some[round(place)] for place in places]

    def anyone(self) -> str | None:
        """A known shopper, drawn by chance."""
        bundle = self._bundle()
        return str(np.random.default_rng().choice(bundle.users.ids)) if bundle else None

    async def look(self, shopper: Shopper) -> View:
        """What the shopper would be shown now; nothing counts as shown.

        Raises:
            InputError: there is no model yet, or the database cannot be used.
        """
        champion = self._champion()
        items = await self._recommend(champion, shopper, peek=True)
        return await self._scorers.aside(partial(self._view, champion, shopper, items))

    async def turn(self, shopper: Shopper) -> None:
        """What the shopper has looked at counts as shown: the next products come.

        Raises:
            InputError: there is no model yet, or the database cannot be used.
        """
        items = await self._recommend(self._champion(), shopper, peek=False)
        metrics().shown(item.source for item in items)

    async def act(self, shopper: Shopper, event_type: str, card: Card) -> None:
        """Keeps that the shopper did something with a product, as /events does.

        Raises:
            InputError: the event cannot be used, or the database.
        """
        now = datetime.now(UTC)
        event = {
            "event_time": now.isoformat(),
            "event_type": event_type,
            "user_id": shopper.user_id,
            "session_id": shopper.session_id,
            "product_id": card.product_id,
            "price": card.price,
        }
        events, rejected = messages.validated([event], self._config)
        metrics().posted("rejected", len(rejected))
        for problem in rejected:
            raise InputError(f"{problem.field}: {problem.reason}")
        new = await self._store.write(
            lambda connection: kept.record(connection, self._config.queue, events, kept.text(now))
        )
        metrics().posted("accepted", sum(new))

    def _view(self, champion: Champion, shopper: Shopper, items: Sequence[Recommendation]) -> View:
        known = self._catalogue.assortment or champion.assortment
        catalogue = champion.catalogue
        with self._store.reading() as connection:
            user_id = sessions.shopper(connection, shopper.key)
            pool = queues.pool(connection, user_id)
            lately = [*_lately(connection, user_id), *_before(catalogue, user_id)]
            bought = len(queues.purchased(connection, user_id))
            # As the recommender has it.
            since = catalogue.watermark + timedelta(1) if catalogue.knows(user_id) else None
            done = kept.done(connection, user_id, since)
        ranking = catalogue.ranking_after(user_id, done)
        chances = _chances(catalogue, ranking, [item.product_id for item in items])
        return View(
            cards=[_card(item, known, chances.get(item.product_id)) for item in items],
            pool=tuple(rules.due(pool, len(pool))),
            lately=lately[:REMEMBERED],
            bought=bought,
        )

    async def _recommend(
        self, champion: Champion, shopper: Shopper, *, peek: bool
    ) -> list[Recommendation]:
        return await recommender.recommend(
            self._store,
            champion.catalogue,
            self._scorers,
            shopper.key,
            k=min(PRODUCTS, self._config.serving.max_k),
            peek=peek,
        )

    def _champion(self) -> Champion:
        if self._champions.champion is None:
            raise InputError("there is no model yet; `make run` trains and publishes one")
        return self._champions.champion

    def _bundle(self) -> Bundle | None:
        champion = self._champions.champion
        return _remembering(champion.catalogue) if champion else None


def shopper(user_id: str = "", session_id: str = "") -> Shopper:
    """Whoever has one of the two ids.

    Raises:
        InputError: they have both or none, or the id is one that no shopper can have.
    """
    try:
        return Shopper.model_validate(
            {"user_id": user_id or None, "session_id": session_id or None}
        )
    except ValidationError as error:
        problem = failures.problems_of(error, "user_id")[0]
        raise InputError(f"{problem.field}: {problem.reason}") from None


def _card(item: Recommendation, known: Assortment, chance: float | None) -> Card:
    row = known.row.get(item.product_id)
    category, brand, price = (None, None, None) if row is None else known.of_row(row)
    return Card(
        item.product_id, category, brand, price, item.source, item.score, chance, item.counter
    )


def _chances(
    catalogue: ScoredCatalogue, ranking: Ranking | None, product_ids: Sequence[str]
) -> dict[str, float]:
    """The purchase probability of each product that the bundle knows, if it knows the shopper."""
    known = [product_id for product_id in product_ids if product_id in catalogue.item_row]
    if ranking is None or not known:
        return {}
    rows = np.array([catalogue.item_row[product_id] for product_id in known])
    return dict(zip(known, ranking.probabilities(rows).tolist(), strict=True))


def _lately(connection: sqlite3.Connection, user_id: str) -> list[Doing]:
    """What the service was told that the shopper did last, the latest first."""
    rows = connection.execute(
        "SELECT substr(event_time, 1, 10), event_type, product_id FROM events WHERE user_id = ?"
        " ORDER BY event_time DESC, rowid DESC LIMIT ?",
        (user_id, REMEMBERED),
    )
    return [
        Doing(day, WORDS.get(event_type, event_type), product) for day, event_type, product in rows
    ]


def _before(catalogue: ScoredCatalogue, user_id: str) -> list[Doing]:
    """What the model has learned that the shopper did last, the latest first."""
    bundle = _remembering(catalogue)
    return _past(bundle, bundle.users.rows([user_id])[0])[:REMEMBERED] if bundle else []


def _past(bundle: Bundle, user: int) -> list[Doing]:
    """What a user of the bundle did with each product, the latest first."""
    rows = bundle.evidence.touches.of_one(user, (), bundle.vocabulary)
    return [
        Doing(
            str(rows["last"][place].astype("datetime64[D]")),
            _counted(
                {WORDS[name]: int(rows[column][place]) for name, column in ALL_COUNTS.items()}
            ),
            str(bundle.item_ids[rows["item"][place]]),
        )
        for place in np.argsort(rows["last"], kind="stable")[::-1]
    ]


def _counted(times: Mapping[str, int]) -> str:
    """What was done how often: view × 3, cart."""
    return ", ".join(f"{what} × {n}" if n > 1 else what for what, n in times.items() if n)


def _remembering(catalogue: ScoredCatalogue) -> Bundle | None:
    return catalogue if isinstance(catalogue, Bundle) and len(catalogue.users) else None
