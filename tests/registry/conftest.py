"""A registry of one's own in a store that the tests share, and bundles to put there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from learning.shop import enriched_of
from progrec import settings
from progrec.learning.bundle import Bundle
from progrec.registry import publish
from progrec.registry.publish import Publication
from progrec.settings import EvaluateSettings, RegistrySettings, Settings
from progrec.tracking import Tracking
from scored import Purchase, bundle_of


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store; making its tables takes seconds."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def registry(
    store: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> RegistrySettings:
    """The store, and a registered model's name that no other test uses."""
    monkeypatch.chdir(store)
    return RegistrySettings(
        tracking_uri=f"sqlite:///{store / 'mlflow.db'}", model=request.node.name
    )


@pytest.fixture
def tracking(registry: RegistrySettings) -> Tracking:
    return Tracking(registry)


@pytest.fixture
def published(features: Path, tracking: Tracking, small: Settings) -> Callable[[Path], Publication]:
    """Publishes a bundle with the small settings."""
    return lambda path: publish.publish(path, features, tracking, small)


@pytest.fixture
def bundle_at(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """A name -> the folder of a bundle; another test's bundle of that name has another digest."""

    def save(name: str) -> Path:
        bundle = bundle_of({"ann": {"cup": 1, "pot": 2}}, [("ann", "cup", "2020-01-05")])
        provenance = bundle.provenance.model_copy(
            update={"data_digest": f"{request.node.name} {name}"}
        )
        replace(bundle, provenance=provenance).save(tmp_path / name)
        return tmp_path / name

    return save


USERS = [f"u{number:02}" for number in range(48)]
ITEMS = [f"p{number:02}" for number in range(24)]


@pytest.fixture(scope="session")
def small() -> Settings:
    """The project's settings with lists of three and small tolerances."""
    general = settings.load(Path(__file__).parents[2] / "params.yaml")
    strict = general.gate.tolerance.model_copy(update={"frozen": 0.02, "recent": 0.05})
    gate = general.gate.model_copy(update={"tolerance": strict})
    return general.model_copy(update={"evaluate": EvaluateSettings(k=3), "gate": gate})


def taste(user: str) -> list[str]:
    """The four products that a shopper likes."""
    start = USERS.index(user)
    return [ITEMS[(start + step) % len(ITEMS)] for step in range(4)]


@pytest.fixture(scope="session")
def purchases() -> list[Purchase]:
    """What shoppers have bought: each the first three products that they like.

    The second on the validation window, and the third on the fourteenth of February.
    """
    days = ("2020-01-05", "2020-01-20", "2020-02-14")
    return [
        (user, item, day) for user in USERS for item, day in zip(taste(user), days, strict=False)
    ]


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory, purchases: list[Purchase]) -> Path:
    """The feature tables, as far as the gate reads them; a stranger looks at each product first."""
    folder = tmp_path_factory.mktemp("features")
    looks = [("2020-01-02", "a stranger", item, "view") for item in ITEMS]
    done = [*looks, *((day, user, item, "purchase") for user, item, day in purchases)]
    for part, is_delta in (("history", False), ("delta", True)):
        enriched_of(folder / part, [each for each in done if (each[0] >= "2020-02-01") == is_delta])
    return folder


@pytest.fixture(scope="session")
def shop_of(purchases: list[Purchase]) -> Callable[..., Bundle]:
    """How much shoppers' tastes are known, and up to when -> a bundle that knows them."""

    def make(liked: float = 1.0, watermark: str = "2020-02-20", name: str = "") -> Bundle:
        scores = {
            user: dict.fromkeys(ITEMS, -3.0) | dict(zip(taste(user), logits(liked), strict=True))
            for user in USERS
        }
        return bundle_of(scores, purchases, watermark=watermark, name=name)

    return make


def logits(liked: float) -> list[float]:
    """Of the products that a shopper likes; the last, which they do not have yet, is behind."""
    return [liked, liked, liked, liked - 0.5]


@pytest.fixture
def shop_at(
    shop_of: Callable[..., Bundle], tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., Path]:
    """How well tastes are known, and a name -> the folder of such a bundle, of this test only."""

    def save(liked: float, name: str = "shop") -> Path:
        shop_of(liked, name=f"{request.node.name} {name}").save(tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def shop(shop_of: Callable[..., Bundle]) -> Bundle:
    """A bundle that knows its shoppers."""
    return shop_of()
