"""What the shop page shows and does, without a page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from progrec import settings
from progrec.errors import InputError
from progrec.registry.decision import Decision
from progrec.serving import follower, storefront
from progrec.serving.assortment import CatalogueFile
from progrec.serving.candidates import ScoredCatalogue
from progrec.serving.follower import Champion, Follower
from progrec.serving.messages import Shopper
from progrec.serving.rules import Entry
from progrec.serving.scorers import Scorers
from progrec.serving.store import Store
from progrec.serving.storefront import Card, Doing, Known, Storefront, View
from progrec.settings import Settings
from progrec.tracking import Tracking, Version
from scored import bundle_of
from serving.shop import Shop

PARAMS = Path(__file__).parents[2] / "params.yaml"
CATALOGUE = """product_id,category,brand,price,in_stock
b0,book,odd,12.5,true
c0,,,,true
"""

Fronts = Callable[..., Storefront]


@pytest.fixture
def front_of(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fronts]:
    """A storefront with a catalogue of scores, or without a model; it shows three products."""
    monkeypatch.setattr(storefront, "PRODUCTS", 3)
    scorers = Scorers()

    def make(
        scored: ScoredCatalogue | None, config: Settings | None = None, file: Path | None = None
    ) -> Storefront:
        champion = Champion(scored, "data", version=2) if scored else None
        champions = cast(Follower, SimpleNamespace(champion=champion))
        config = config or settings.load(PARAMS)
        return Storefront(config, store, champions, CatalogueFile(file), scorers)

    yield make
    scorers.close()


@pytest.fixture
def front(front_of: Fronts, shop: Shop) -> Storefront:
    return front_of(shop)


NEW = storefront.shopper("new")


def look(front: Storefront, shopper: Shopper = NEW) -> View:
    return asyncio.run(front.look(shopper))


def turn(front: Storefront, shopper: Shopper = NEW) -> None:
    asyncio.run(front.turn(shopper))


def act(front: Storefront, what: str, card: Card, shopper: Shopper = NEW) -> None:
    asyncio.run(front.act(shopper, what, card))


def shown(view: View) -> list[tuple[str, str]]:
    return [(card.product_id, card.source) for card in view.cards]


def card(product_id: str) -> Card:
    return Card(product_id, None, None, None, "popular", 0.1, None, 1)


def test_a_stranger_sees_what_is_popular_and_looking_changes_nothing(front: Storefront):
    first = look(front)
    assert shown(first) == [("b0", "popular"), ("c0", "popular"), ("b1", "popular")]
    assert (first.pool, first.lately, first.bought) == ((), [], 0)
    assert look(front) == first


def test_after_a_click_a_stranger_sees_what_is_similar(front: Storefront):
    act(front, "view", card("c1"))
    view = look(front)
    assert shown(view) == [("c1", "queue"), ("c2", "similar"), ("x", "similar")]
    assert [each.probability for each in view.cards] == pytest.approx([0.8, 0.7, 0.6])
    assert view.pool == (Entry("c1", 0, 1.0),)


def test_each_click_adds_its_weight_and_the_latest_stands_first(front: Storefront):
    for what in ("view", "cart", "remove_from_cart"):
        act(front, what, card("c1"))
    view = look(front)
    assert view.pool == (Entry("c1", 0, 3.0),)
    assert [doing.what for doing in view.lately] == ["remove", "cart", "view"]


def test_what_was_looked_at_counts_with_the_next_turn_and_others_come(front: Storefront):
    before = look(front)
    turn(front)
    after = look(front)
    assert {product for product, _ in shown(after)}.isdisjoint(dict(shown(before)))
    counters = {entry.product_id: entry.counter for entry in after.pool}
    assert {product for product, counter in counters.items() if counter} == set(dict(shown(before)))


def test_the_queue_is_in_the_order_of_turns(front: Storefront):
    turn(front)
    act(front, "cart", card("x"))
    view = look(front)
    assert view.pool[0] == Entry("x", 0, 3.0)
    assert [entry.counter for entry in view.pool] == sorted(entry.counter for entry in view.pool)
    assert [each.product_id for each in view.cards] == [entry.product_id for entry in view.pool[:3]]


def test_a_purchase_never_comes_back(front: Storefront):
    act(front, "purchase", card("b0"))
    for _ in range(8):
        view = look(front)
        assert "b0" not in dict(shown(view))
        assert "b0" not in [entry.product_id for entry in view.pool]
        assert view.bought == 1
        turn(front)


def test_somebody_anonymous_is_not_the_user_of_the_same_id(front: Storefront):
    act(front, "view", card("c1"), storefront.shopper(session_id="new"))
    assert look(front).pool == ()
    assert look(front, storefront.shopper(session_id="new")).pool == (Entry("c1", 0, 1.0),)


@pytest.mark.parametrize("ids", [("", ""), ("ann", "s"), ("session:s", ""), ("a\nb", "")])
def test_an_id_that_nobody_can_have_is_refused(ids: tuple[str, str]):
    with pytest.raises(InputError, match="user_id"):
        storefront.shopper(*ids)


def test_an_event_that_the_service_would_refuse_is_refused(front_of: Fronts, shop: Shop):
    config = settings.load(PARAMS)
    ingest = config.ingest.model_copy(update={"latest": date(2020, 1, 1)})
    front = front_of(shop, config.model_copy(update={"ingest": ingest}))
    with pytest.raises(InputError, match="event_time: is not between"):
        act(front, "view", card("b0"))
    assert look(front).pool == ()


def test_a_card_says_what_the_model_or_else_the_shops_catalogue_knows(
    front_of: Fronts, shop: Shop, tmp_path: Path
):
    assert look(front_of(shop)).cards[0][:4] == ("b0", "book", "odd", None)
    file = tmp_path / "catalogue.csv"
    file.write_text(CATALOGUE)
    cards = look(front_of(shop, file=file)).cards
    assert [each[:4] for each in cards] == [
        ("b0", "book", "odd", 12.5),
        ("c0", None, None, None),
        ("b1", None, None, None),
    ]


def test_without_a_model_it_says_what_to_do(front_of: Fronts):
    front = front_of(None)
    assert (front.model(), front.known(), front.anyone()) == (None, [], None)
    with pytest.raises(InputError, match="make run"):
        look(front)


def test_the_model_is_the_one_that_answers_name(front: Storefront):
    model = front.model()
    assert model is not None
    assert (model.version, model.digest, model.watermark) == (
        2,
        "digest-of-the-shop",
        date(2020, 1, 31),
    )


# What a bundle remembers of its shoppers


@pytest.fixture
def remembering(front_of: Fronts) -> Storefront:
    scores = {user: {"cup": 0.0, "pot": 1.0, "jar": 2.0} for user in ("ann", "bob", "cy")}
    bought = [
        ("ann", "cup", "2020-01-05"),
        ("ann", "pot", "2020-01-07"),
        ("bob", "jar", "2020-01-06"),
    ]
    return front_of(bundle_of(scores, bought))


def test_known_shoppers_come_with_how_much_they_did_the_busiest_first(remembering: Storefront):
    assert remembering.known() == [Known("ann", 2), Known("bob", 1), Known("cy", 0)]
    assert remembering.anyone() in {"ann", "bob", "cy"}


def test_what_a_known_shopper_did_here_stands_above_what_the_model_has_learned(
    remembering: Storefront,
):
    act(remembering, "view", card("jar"), storefront.shopper("ann"))
    here, *learned = look(remembering, storefront.shopper("ann")).lately
    assert (here.what, here.product_id) == ("view", "jar")
    assert learned == [Doing("2020-01-07", "buy", "pot"), Doing("2020-01-05", "buy", "cup")]


# The gate


def decided(number: int, *, promoted: bool | None) -> Version:
    tags: dict[str, str] = {}
    version = Version(number, "digest", tags)
    if promoted is not None:
        decision = Decision(promoted, ("it forgot",), {}, None, date(2020, 1, 31))
        keeper = SimpleNamespace(tag=lambda version, key, value: version.tags.update({key: value}))
        decision.keep(cast(Tracking, keeper), version)
    return version


def test_the_last_decision_is_that_on_the_newest_version_decided_on(
    front: Storefront, monkeypatch: pytest.MonkeyPatch
):
    versions = [
        decided(3, promoted=None),
        decided(2, promoted=False),
        decided(1, promoted=True),
    ]
    registry = SimpleNamespace(versions=lambda: versions)
    monkeypatch.setattr(follower, "registry", lambda _config: registry)
    gate = front.gate()
    assert gate is not None
    assert (gate.version, gate.decision.word, gate.decision.reasons) == (
        2,
        "rejected",
        ("it forgot",),
    )


def test_where_there_is_no_registry_there_is_no_decision_and_none_is_made(
    front: Storefront, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert front.gate() is None
    assert not (tmp_path / "mlflow.db").exists()
