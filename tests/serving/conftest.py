"""A store and a service of one's own."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from progrec.serving import follower, garbage, service
from progrec.serving.store import Store
from progrec.settings import QueueSettings
from serving.live import SERVED, serving
from serving.shop import Shop

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """A database with a log and one table, which takes each number once."""
    with closing(sqlite3.connect(tmp_path / "numbers.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
    return tmp_path / "numbers.db"


@pytest.fixture(scope="session")
def shop() -> Shop:
    return Shop()


@pytest.fixture(scope="session")
def queue_settings() -> QueueSettings:
    return QueueSettings(
        weights={"view": 1, "click": 1, "cart": 3, "remove_from_cart": -1},
        refund=("return",),
        min_pool=3,
        refill_to=5,
        max_pool=20,
    )


@pytest.fixture
def store(tmp_path: Path, queue_settings: QueueSettings) -> Iterator[Store]:
    store = Store(tmp_path / "recommendation.db", queue_settings)
    yield store
    store.close()


@pytest.fixture
def shell(store: Store) -> Iterator[sqlite3.Connection]:
    """Somebody else's connection to the file, with none of our code."""
    with closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        yield connection


@pytest.fixture(scope="session")
def app() -> Starlette:
    """One for all: a second would register BentoML's metrics again."""
    return service.Progrec.to_asgi()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The service's working directory: the real settings, and no state."""
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    # A service freezes the heap once in its life; here a hundred of them share one process.
    monkeypatch.setattr(garbage, "gc", Mock())
    # Nor shall it change the tests' own logging.
    monkeypatch.setattr(service.logs, "configure", Mock())
    # NiceGUI lives once in a process: the shop page is for services in one of their own.
    monkeypatch.setitem(sys.modules, "nicegui", None)
    return tmp_path


@pytest.fixture
def client(
    app: Starlette, project: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """The service with the shop's bundle."""
    champion = follower.Champion(shop, "hash-of-the-data", version=1)
    monkeypatch.setattr(follower, "load_champion", lambda *_: champion)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def waiting(app: Starlette, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The service without a bundle."""
    monkeypatch.setattr(follower, "load_champion", lambda *_: None)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def live_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of the service that is served, where it also writes its log."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(PROJECT / "params.yaml", folder)
    shutil.copy(Path(__file__).with_name("shop.py"), folder)
    (folder / "served.py").write_text(SERVED)
    return folder


@pytest.fixture(scope="session")
def live_url(live_folder: Path) -> Iterator[str]:
    """`bentoml serve` with the shop's bundle and two workers."""
    with serving("served:Progrec", live_folder, workers=2) as url:
        yield url


@pytest.fixture
def live(live_url: str) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=live_url, timeout=60) as client:
        yield client
