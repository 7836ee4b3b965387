from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock, call

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from progrec.serving import follower, recommender, service
from progrec.serving.recommender import ScoredCatalogue

PROJECT = Path(__file__).parents[2]


def event(**changes: Any) -> dict[str, Any]:
    whole = {
        "event_time": "2020-02-01T12:00:00Z",
        "event_type": "view",
        "user_id": "new",
        "product_id": "x",
    }
    return {key: value for key, value in {**whole, **changes}.items() if value is not ...}


@pytest.fixture(scope="module")
def app() -> Starlette:
    # One for the module: a second would register BentoML's metrics again.
    return service.Progrec.to_asgi()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The service's working directory: the real settings, and no state."""
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    # A service freezes the heap once in its life; here a hundred of them share one process.
    monkeypatch.setattr(follower, "gc", Mock())
    return tmp_path


@pytest.fixture
def client(
    app: Starlette, project: Path, shop: ScoredCatalogue, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """The service with the shop's bundle."""
    monkeypatch.setattr(follower, "load_champion", lambda *_: shop)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def waiting(app: Starlette, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The service without a bundle."""
    monkeypatch.setattr(follower, "load_champion", lambda *_: None)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def post(client: httpx.Client, path: str, body: object) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


# Recommendations


def test_a_known_user(client: TestClient):
    assert post(client, "/recommend", {"user_id": "ann", "k": 2}) == {
        "user_id": "ann",
        "strategy": "model",
        "model": {"digest": "digest-of-the-shop"},
        "items": [
            {"product_id": item, "score": pytest.approx(0.9), "source": "model", "counter": 1}
            for item in ["c0", "c1"]
        ],
    }


def test_an_unknown_user(client: TestClient):
    answer = post(client, "/recommend", {"user_id": "new", "k": 1})
    assert answer["strategy"] == "popular"
    assert answer["items"] == [
        {"product_id": "b0", "score": pytest.approx(0.2), "source": "popular", "counter": 1}
    ]


def test_a_stranger_who_has_looked_at_a_known_product(client: TestClient):
    post(client, "/events", {"events": [event(event_type="remove_from_cart", product_id="c1")]})
    answer = post(client, "/recommend", {"user_id": "new", "k": 2})
    assert answer["strategy"] == "similar"
    assert [item["product_id"] for item in answer["items"]] == ["c1", "c2"]


def test_a_user_known_by_events_only(client: TestClient):
    post(client, "/events", {"events": [event(event_type="remove_from_cart", product_id="c2")]})
    answer = post(client, "/recommend", {"user_id": "new", "k": 3})
    assert answer["strategy"] == "category_popular"
    assert [item["product_id"] for item in answer["items"]] == ["c0", "c1", "c2"]


def test_twenty_products_unless_told_otherwise(client: TestClient):
    assert len(post(client, "/recommend", {"user_id": "ann"})["items"]) == 8  # the shop has no more
    post(client, "/events", {"events": [event(product_id=str(i)) for i in range(30)]})
    assert len(post(client, "/recommend", {"user_id": "new"})["items"]) == 20


def test_the_next_answer_knows_of_a_purchase(client: TestClient):
    shown = post(client, "/recommend", {"user_id": "ann", "k": 8})["items"]
    assert len(shown) == 8
    for bought, item in enumerate(shown, start=1):
        kept = post(
            client,
            "/events",
            {
                "events": [
                    event(user_id="ann", event_type="purchase", product_id=item["product_id"])
                ]
            },
        )
        assert kept == {"accepted": 1, "duplicates": 0, "rejected": []}
        left = post(client, "/recommend", {"user_id": "ann", "k": 8})["items"]
        assert {one["product_id"] for one in left} == {one["product_id"] for one in shown[bought:]}


# Events and queues


def test_events_move_the_queue(client: TestClient):
    kinds = [("x", "view"), ("b1", "cart"), ("c0", "click"), ("b1", "remove_from_cart")]
    events = [event(product_id=item, event_type=kind) for item, kind in kinds]
    assert post(client, "/events", {"events": events})["accepted"] == 4
    assert post(client, "/queue", {"user_id": "new"}) == {
        "user_id": "new",
        "pool": [["x", 0, 1.0], ["b1", 0, 2.0], ["c0", 0, 1.0]],
    }


def test_a_user_without_a_queue(client: TestClient):
    assert post(client, "/queue", {"user_id": "nobody"}) == {"user_id": "nobody", "pool": []}


def test_a_repeat_is_counted_and_has_no_effect(client: TestClient):
    twice = {"events": [event(), event()]}
    assert post(client, "/events", twice) == {"accepted": 1, "duplicates": 1, "rejected": []}
    assert post(client, "/events", twice) == {"accepted": 0, "duplicates": 2, "rejected": []}
    assert post(client, "/queue", {"user_id": "new"})["pool"] == [["x", 0, 1.0]]


@pytest.mark.parametrize("user", [17850, 17850.0, "17850"])
def test_a_number_is_the_same_id_as_its_text(client: TestClient, user: object):
    post(client, "/events", {"events": [event(user_id=user, product_id=user)]})
    assert post(client, "/queue", {"user_id": "17850"})["pool"] == [["17850", 0, 1.0]]
    assert post(client, "/queue", {"user_id": 17850})["user_id"] == "17850"


@pytest.mark.parametrize("user", [" ", "0017", "1.0", "é😀", "'; --", '"\\u0041', "x" * 1000])
def test_ids_are_opaque(client: TestClient, user: str):
    post(client, "/events", {"events": [event(user_id=user, product_id=user)]})
    answer = post(client, "/recommend", {"user_id": user, "k": 1})
    assert answer["user_id"] == answer["items"][0]["product_id"] == user


def test_times_are_those_of_iso_and_of_the_logs(client: TestClient):
    same = ["2020-02-01T12:00:00Z", "2020-02-01 12:00:00 UTC", "2020-02-01T14:00:00+02:00"]
    same += ["2020-02-01 12:00:00"]
    report = post(client, "/events", {"events": [event(event_time=time) for time in same]})
    assert report == {"accepted": 1, "duplicates": 3, "rejected": []}


BAD_EVENTS = [
    ("event", "not an object"),
    ("event", None),
    ("user_id", event(user_id=...)),
    ("user_id", event(user_id=None)),
    ("product_id", event(product_id="")),
    ("product_id", event(product_id=["p"])),
    ("event_type", event(event_type="stare")),
    ("event_time", event(event_time=...)),
    ("event_time", event(event_time="yesterday")),
    ("event_time", event(event_time=1580558400)),
    ("event_time", event(event_time=20200201)),
    ("event_time", event(event_time=None)),
    ("event_time", event(event_time="0001-01-01T00:00:00+14:00")),
    ("price", event(price=-1)),
    ("price", event(price="dear")),
    ("event_id", event(event_id="a\nb")),
    ("user_session", event(user_session=True)),
    ("colour", event(colour="red")),
]


@pytest.mark.parametrize(("field", "bad"), BAD_EVENTS)
def test_a_bad_event_is_reported_and_the_others_are_kept(client: TestClient, field, bad):
    report = post(client, "/events", {"events": [event(), bad, event(product_id="b0")]})
    assert (report["accepted"], report["duplicates"]) == (2, 0)
    (rejected,) = report["rejected"]
    assert (rejected["index"], rejected["field"]) == (1, field)
    assert rejected["reason"]
    assert len(post(client, "/queue", {"user_id": "new"})["pool"]) == 2


def test_nothing_but_bad_events(client: TestClient):
    answer = client.post("/events", json={"events": [event(event_type="stare"), 5]})
    assert answer.status_code == 400
    report = answer.json()
    assert (report["accepted"], report["duplicates"]) == (0, 0)
    assert [(one["index"], one["field"]) for one in report["rejected"]] == [
        (0, "event_type"),
        (1, "event"),
    ]


def test_no_events_are_no_mistake(client: TestClient):
    assert post(client, "/events", {"events": []})["accepted"] == 0


# Bad input


BAD_REQUESTS: list[tuple[str, str, object]] = [
    ("/recommend", "user_id", {}),
    ("/recommend", "user_id", {"user_id": None}),
    ("/recommend", "user_id", {"user_id": True}),
    ("/recommend", "user_id", {"user_id": 1.5}),
    ("/recommend", "user_id", {"user_id": ""}),
    ("/recommend", "user_id", {"user_id": "a\x00b"}),
    ("/recommend", "user_id", {"user_id": "a\x7f"}),
    ("/recommend", "user_id", {"user_id": ["a"]}),
    ("/recommend", "user_id", {"user_id": {"a": 1}}),
    ("/recommend", "k", {"user_id": "a", "k": 0}),
    ("/recommend", "k", {"user_id": "a", "k": -1}),
    ("/recommend", "k", {"user_id": "a", "k": 101}),
    ("/recommend", "k", {"user_id": "a", "k": 10**30}),
    ("/recommend", "k", {"user_id": "a", "k": 2.5}),
    ("/recommend", "k", {"user_id": "a", "k": "2"}),
    ("/recommend", "k", {"user_id": "a", "k": True}),
    ("/recommend", "k", {"user_id": "a", "k": None}),
    ("/recommend", "limit", {"user_id": "a", "limit": 2}),
    ("/events", "events", {}),
    ("/events", "events", {"events": None}),
    ("/events", "events", {"events": {}}),
    ("/events", "events", {"events": "all of them"}),
    ("/events", "events", {"events": [event()] * 1001}),
    ("/events", "more", {"events": [], "more": 1}),
    ("/queue", "user_id", {}),
    ("/queue", "user_id", {"user_id": False}),
    ("/queue", "k", {"user_id": "a", "k": 1}),
]


def test_bad_input_is_answered_with_the_fields_name(client: TestClient):
    for path, field, body in BAD_REQUESTS:
        answer = client.post(path, json=body)
        assert answer.status_code == 400, body
        assert answer.json()["detail"][0]["loc"] == [field], body


NO_REQUESTS = [
    b"",
    b"{",
    b"[]",
    b'"x"',
    b"null",
    b"5",
    b"\xff\xfe",
    b'{"user_id": "\xff"}',
    b'{"user_id": "\\ud800"}',
    b'{"user_id": 1e400}',
    b'{"user_id": NaN}',
    b'{"user_id": ' + b"9" * 5000 + b"}",
    b'{"events": ' + b"[" * 100_000,
    b"{'user_id': 'a'}",
]


@pytest.mark.parametrize("path", ["/recommend", "/events", "/queue"])
def test_what_is_no_request_at_all(client: TestClient, path: str):
    for body in NO_REQUESTS:
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, body
        assert answer.json()["detail"], body
        assert "Traceback" not in answer.text


def test_a_body_of_another_type_is_not_read(client: TestClient):
    for kind in [
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/vnd.bentoml+pickle",
        "APPLICATION/VND.BENTOML+PICKLE",
        "",
    ]:
        headers = {"Content-Type": kind}
        answer = client.post("/queue", content=b'{"user_id": "a"}', headers=headers)
        assert answer.status_code == 400, kind
        assert answer.json()["detail"][0]["loc"] == ["Content-Type"], kind


def test_json_by_any_spelling_or_none(client: TestClient):
    for headers in [{}, {"Content-Type": "Application/JSON; charset=utf-8"}]:
        answer = client.post("/queue", content=b'{"user_id": "a"}', headers=headers)
        assert answer.json() == {"user_id": "a", "pool": []}


def test_a_failure_of_ours_shows_nothing_of_itself(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("the secret")

    monkeypatch.setattr(recommender, "recommend", fail)
    answer = client.post("/recommend", json={"user_id": "ann"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_the_page_that_describes_the_service(client: TestClient):
    paths = client.get("/docs.json").json()["paths"]
    assert {"/recommend", "/events", "/queue"} <= paths.keys()


# Readiness


def test_ready_with_a_bundle(client: TestClient):
    assert client.get("/readyz").status_code == 200


def test_the_garbage_collector_leaves_the_bundle_alone(client: TestClient):
    assert follower.gc.mock_calls == [call.unfreeze(), call.collect(), call.freeze()]


def test_not_ready_without_one(waiting: TestClient):
    assert waiting.get("/livez").status_code == 200
    assert waiting.get("/readyz").status_code == 503
    answer = waiting.post("/recommend", json={"user_id": "ann"})
    assert answer.status_code == 503
    assert "make run" in answer.json()["error"]


def test_events_are_taken_before_there_is_a_bundle(waiting: TestClient):
    assert post(waiting, "/events", {"events": [event()]})["accepted"] == 1
    assert post(waiting, "/queue", {"user_id": "new"})["pool"] == [["x", 0, 1.0]]


class Registry:
    """A registry whose champion a test names; looks at it are counted."""

    def __init__(self) -> None:
        self.champion: Callable[[], ScoredCatalogue | None] = lambda: None
        self.looks = threading.Semaphore(0)

    def load(self, _config: object, _served: object) -> ScoredCatalogue | None:
        self.looks.release()
        return self.champion()

    def wait_for_a_whole_look(self) -> None:
        for _ in range(2):  # the second begins when the first is over
            assert self.looks.acquire(timeout=10)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    registry = Registry()
    monkeypatch.setattr(follower, "load_champion", registry.load)
    monkeypatch.setattr(follower, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(follower, "FOLLOW_SECONDS", 0.01)
    return registry


def test_it_becomes_ready_by_itself_and_follows_the_champion(
    app: Starlette, project: Path, registry: Registry, shop: Any
):
    class Newer(type(shop)):
        digest = "newer"

    with TestClient(app) as client:
        assert client.get("/readyz").status_code == 503
        for champion in [shop, Newer()]:
            registry.champion = lambda champion=champion: champion
            registry.looks = threading.Semaphore(0)
            registry.wait_for_a_whole_look()
            assert client.get("/readyz").status_code == 200
            answer = post(client, "/recommend", {"user_id": "ann", "k": 1})
            assert answer["model"] == {"digest": champion.digest}


def test_a_champion_that_does_not_load_is_warned_of_once(
    app: Starlette,
    project: Path,
    registry: Registry,
    caplog: pytest.LogCaptureFixture,
):
    def broken() -> None:
        raise OSError("model.safetensors is damaged")

    registry.champion = broken
    with caplog.at_level(logging.WARNING), TestClient(app) as client:
        registry.wait_for_a_whole_look()
        assert client.get("/readyz").status_code == 503
    (warning,) = [
        record.message for record in caplog.records if record.name == follower.logger.name
    ]
    assert "model.safetensors is damaged" in warning
    assert "make run" in warning


def test_a_champion_that_is_gone_goes_on_serving(
    app: Starlette, project: Path, registry: Registry, shop: ScoredCatalogue
):
    registry.champion = lambda: shop
    with TestClient(app) as client:
        registry.champion = lambda: None
        registry.looks = threading.Semaphore(0)
        registry.wait_for_a_whole_look()
        assert client.get("/readyz").status_code == 200


# Over a socket


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SERVED = """
from progrec.serving import follower, service
from shop import Shop

follower.load_champion = lambda config, served: Shop()
Progrec = service.Progrec
"""


@pytest.fixture
def served(project: Path) -> Iterator[httpx.Client]:
    """`bentoml serve` with the shop's bundle, on a port of its own."""
    shutil.copy(Path(__file__).with_name("conftest.py"), project / "shop.py")
    (project / "served.py").write_text(SERVED)
    port = free_port()
    bentoml = Path(sys.executable).with_name("bentoml")
    server = subprocess.Popen(
        [bentoml, "serve", "served:Progrec", "--host", "127.0.0.1", "--port", str(port)],
        cwd=project,
        env={**os.environ, "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(project / "home")},
    )
    retries = httpx.HTTPTransport(retries=8)  # waits longer each time, a minute in all
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", transport=retries, timeout=60
        ) as client:
            yield client
    finally:
        server.terminate()
        server.wait(30)


def test_bentoml_serves_it(served: httpx.Client):
    assert served.get("/readyz").status_code == 200
    bought = event(user_id="ann", event_type="purchase", product_id="c0")
    assert post(served, "/events", {"events": [bought, event()]})["accepted"] == 2
    answer = post(served, "/recommend", {"user_id": "ann", "k": 2})
    assert [item["product_id"] for item in answer["items"]] == ["c1", "c2"]
    queue = served.post("/queue", content=b'{"user_id": "new"}')
    assert queue.json() == {"user_id": "new", "pool": [["x", 0, 1.0]]}
    assert served.post("/recommend", json={"user_id": 1.5}).status_code == 400
