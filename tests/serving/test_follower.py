from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import call

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from progrec import settings
from progrec.learning.bundle import BundleError
from progrec.registry.champion import WrongDigestError
from progrec.serving import follower, garbage
from progrec.serving.follower import Champion
from progrec.tracking import Version
from scored import bundle_of
from serving.web import event, figure, post, products

# Readiness


def test_ready_with_a_bundle(client: TestClient):
    assert client.get("/readyz").status_code == 200


def test_the_garbage_collector_leaves_the_bundle_alone(client: TestClient):
    assert garbage.gc.mock_calls == [
        call.unfreeze(),
        call.collect(),
        call.freeze(),
        call.set_threshold(garbage.OBJECTS),
    ]


def test_not_ready_without_one(waiting: TestClient):
    assert waiting.get("/livez").status_code == 200
    assert waiting.get("/readyz").status_code == 503
    answer = waiting.post("/recommend", json={"user_id": "ann"})
    assert answer.status_code == 503
    assert "make run" in answer.json()["error"]


def test_events_are_taken_before_there_is_a_bundle(waiting: TestClient):
    assert post(waiting, "/events", {"events": [event()]})["accepted"] == 1
    assert post(waiting, "/queue", {"user_id": "new"})["pool"] == [["x", 0, 1.0]]


# The champion


class Registry:
    """A registry whose champion a test names; looks at it are counted."""

    def __init__(self) -> None:
        self.champion: Callable[[], Champion | None] = lambda: None
        self.looks = threading.Semaphore(0)

    def load(self, _config: object, _served: object) -> Champion | None:
        self.looks.release()
        return self.champion()

    def wait_for_a_whole_look(self) -> None:
        self.looks = threading.Semaphore(0)
        for _ in range(2):  # the second begins when the first is over
            assert self.looks.acquire(timeout=10)


@pytest.fixture
def registry(project: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    registry = Registry()
    monkeypatch.setattr(follower, "load_champion", registry.load)
    settings = project / "params.yaml"
    settings.write_text(settings.read_text().replace("poll_seconds: 5", "poll_seconds: 0.01"))
    return registry


@pytest.fixture
def first(shop: Any) -> Champion:
    return Champion(shop, "data", version=1)


@pytest.fixture
def second(shop: Any) -> Champion:
    class Newer(type(shop)):
        digest = "newer"

    return Champion(Newer(), "newer data", version=2)


def test_it_becomes_ready_by_itself_and_follows_the_champion(
    app: Starlette, registry: Registry, first: Champion, second: Champion
):
    with TestClient(app) as client:
        assert client.get("/readyz").status_code == 503
        for champion in [first, second]:
            registry.champion = lambda champion=champion: champion
            registry.wait_for_a_whole_look()
            assert client.get("/readyz").status_code == 200
            model = post(client, "/recommend", {"user_id": "ann", "k": 1})["model"]
            assert model["version"] == champion.version
            assert model["digest"] == champion.catalogue.digest
            assert model["data_digest"] == champion.data_digest


def test_no_request_fails_while_champions_change(
    app: Starlette, registry: Registry, first: Champion, second: Champion
):
    champions = [first, second]
    registry.champion = lambda: champions[0]

    def shop_on(client: TestClient, user: str) -> None:
        while not over.is_set():
            answer = client.post("/recommend", json={"user_id": user, "k": 3})
            answers.append((answer.status_code, answer.json()["model"]["version"]))

    over = threading.Event()
    answers: list[tuple[int, int]] = []
    with TestClient(app) as client:
        threads = [threading.Thread(target=shop_on, args=(client, user)) for user in "abcd"]
        for thread in threads:
            thread.start()
        for _ in range(20):
            champions.reverse()
            registry.wait_for_a_whole_look()
        over.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {1, 2}


REFUSALS = [
    (BundleError("model.safetensors is damaged"), "unloadable"),
    (WrongDigestError("its digest is another"), "digest"),
    (ConnectionError("nobody is there"), "unavailable"),
]


@pytest.mark.parametrize(("error", "reason"), REFUSALS)
def test_a_champion_that_cannot_be_had_is_told_once_and_the_old_one_serves_on(
    app: Starlette,
    registry: Registry,
    first: Champion,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    reason: str,
):
    def broken() -> None:
        raise error

    registry.champion = lambda: first
    with caplog.at_level(logging.WARNING), TestClient(app) as client:
        before = figure("progrec_refusals_total", what="bundle", reason=reason)
        registry.champion = broken
        for _ in range(3):
            registry.wait_for_a_whole_look()
        answer = post(client, "/recommend", {"user_id": "ann", "k": 1})
        after = figure("progrec_refusals_total", what="bundle", reason=reason)
    assert answer["model"]["version"] == 1
    assert after == before + 1
    (warning,) = [
        record.getMessage() for record in caplog.records if record.name == follower.logger.name
    ]
    assert str(error) in warning
    assert "version 1 serves on" in warning


@dataclass(frozen=True)
class Store:
    """A model store whose champion has these files, and was registered with this digest."""

    folder: Path
    digest: str

    def champion(self) -> Version:
        return Version(7, self.digest)

    def bundle(self, _version: Version) -> Path:
        return self.folder


def test_the_registrys_champion_is_loaded_once(project: Path, monkeypatch: pytest.MonkeyPatch):
    bundle = bundle_of({"ann": {"cup": 1, "pot": 2}}, name="data").save(project / "bundle")
    store = Store(project / "bundle", bundle.digest)
    monkeypatch.setattr("progrec.tracking.Tracking", lambda _: store)
    (project / "mlflow.db").touch()
    config = settings.load()

    champion = follower.load_champion(config, None)

    assert champion is not None
    assert (champion.version, champion.data_digest) == (7, "data")
    assert champion.model().digest == bundle.digest
    assert follower.load_champion(config, champion) is champion


def test_files_of_another_digest_than_registered_are_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    bundle_of({"ann": {"cup": 1, "pot": 2}}).save(project / "bundle")
    (project / "mlflow.db").touch()
    store = Store(project / "bundle", "0" * 32 + ".dir")
    monkeypatch.setattr("progrec.tracking.Tracking", lambda _: store)

    with pytest.raises(WrongDigestError):
        follower.load_champion(settings.load(), None)


def test_a_registry_that_is_not_there_is_not_made_by_asking_it(project: Path, first: Champion):
    assert follower.load_champion(settings.load(), first) is first
    assert follower.load_champion(settings.load(), None) is None
    assert not (project / "mlflow.db").exists()


def ship(project: Path, digest: str | None = None) -> str:
    """Puts a champion beside the settings; its digest."""
    scores = {"ann": {"cup": 1, "pot": 2}}
    bundle = bundle_of(scores, [("ann", "pot", "2020-01-05")]).save(project / "champion/bundle")
    version = {"version": 4, "digest": digest or bundle.digest}
    (project / "champion/version.json").write_text(json.dumps(version))
    return bundle.digest


def test_without_a_registry_the_champion_that_came_along_is_served(app: Starlette, project: Path):
    digest = ship(project)
    with TestClient(app) as client:
        answer = post(client, "/recommend", {"user_id": "ann"})
    assert (answer["model"]["version"], answer["model"]["digest"]) == (4, digest)
    # Nobody has told this database of the purchase but the bundle.
    assert products(answer) == ["cup"]


def test_a_champion_that_came_along_damaged_is_refused(
    app: Starlette, project: Path, caplog: pytest.LogCaptureFixture
):
    ship(project, digest="0" * 32 + ".dir")
    with TestClient(app) as client:
        assert client.get("/readyz").status_code == 503
    assert "refused the champion" in caplog.text


def test_the_registrys_champion_follows_the_one_that_came_along(
    app: Starlette, project: Path, registry: Registry, second: Champion
):
    ship(project)
    with TestClient(app) as client:
        registry.champion = lambda: second
        registry.wait_for_a_whole_look()
        assert post(client, "/recommend", {"user_id": "ann"})["model"]["version"] == 2


def test_a_first_champion_that_does_not_load_leaves_it_waiting(
    app: Starlette, registry: Registry, first: Champion, caplog: pytest.LogCaptureFixture
):
    def broken() -> None:
        raise BundleError("model.safetensors is damaged")

    registry.champion = broken
    with TestClient(app) as client:
        assert client.get("/readyz").status_code == 503
        assert "make run" in caplog.text
        registry.champion = lambda: first
        registry.wait_for_a_whole_look()
        assert client.get("/readyz").status_code == 200


def test_a_champion_that_is_gone_goes_on_serving(
    app: Starlette, registry: Registry, first: Champion
):
    registry.champion = lambda: first
    with TestClient(app) as client:
        registry.champion = lambda: None
        registry.wait_for_a_whole_look()
        assert client.get("/readyz").status_code == 200


def test_swaps_and_the_models_age_are_measured(
    app: Starlette, registry: Registry, first: Champion, second: Champion
):
    registry.champion = lambda: first
    with TestClient(app) as client:
        before = figure("progrec_model_swaps_total")
        registry.champion = lambda: second
        registry.wait_for_a_whole_look()
        assert figure("progrec_model_swaps_total") == before + 1
        age = post(client, "/recommend", {"user_id": "ann"})["model"]["age_seconds"]
        assert figure("progrec_model_age_seconds") == pytest.approx(age, abs=60)
