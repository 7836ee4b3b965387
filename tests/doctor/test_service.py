from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import ClassVar

import pytest

from progrec.doctor import service
from progrec.tracking import Version

CHAMPION = Version(4, "abc.dir")


class Stub(BaseHTTPRequestHandler):
    """A service that answers what the test says."""

    ready: ClassVar[int] = 200
    answer: ClassVar[object] = None
    asked: ClassVar[list[object]] = []

    def do_GET(self) -> None:
        self.send_response(self.ready)
        self.end_headers()

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.asked.append((self.path, json.loads(self.rfile.read(length))))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """What the service is to answer -> its address."""
    server = HTTPServer(("127.0.0.1", 0), Stub)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    def start(answer: object = None, ready: int = 200) -> str:
        monkeypatch.setattr(Stub, "answer", answer)
        monkeypatch.setattr(Stub, "ready", ready)
        monkeypatch.setattr(Stub, "asked", [])
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    server.shutdown()
    thread.join()
    server.server_close()


def states(url: str, champion: Version | None = CHAMPION) -> dict[str, str]:
    return {each.check: each.state for each in service.findings(url, lambda: champion)}


def serving(version: int, digest: str) -> dict[str, object]:
    return {"model": {"version": version, "digest": digest}}


def test_a_service_with_the_champion_is_in_order(stub: Callable[..., str]) -> None:
    assert states(stub(serving(4, "abc.dir"))) == {"ready": "ok", "model": "ok"}


def test_it_is_asked_for_what_changes_no_queue(stub: Callable[..., str]) -> None:
    states(stub(serving(4, "abc.dir")))

    ((path, body),) = Stub.asked
    assert path == "/recommend"
    assert body["peek"] is True


def test_no_service_is_a_warning_with_the_command_that_starts_it(free_port: int) -> None:
    (found,) = service.findings(f"http://127.0.0.1:{free_port}", lambda: CHAMPION)

    assert found.state == "warning"
    assert "make serve" in found.advice


def test_a_service_that_is_not_ready_is_a_problem(stub: Callable[..., str]) -> None:
    assert states(stub(ready=503)) == {"ready": "problem"}


@pytest.mark.parametrize("champion", [Version(5, "def.dir"), None])
def test_a_service_with_another_model_is_a_warning(
    stub: Callable[..., str], champion: Version | None
) -> None:
    assert states(stub(serving(4, "abc.dir")), champion) == {"ready": "ok", "model": "warning"}


@pytest.mark.parametrize("answer", [None, [], {"model": None}, {"model": {}}])
def test_something_else_at_that_address_is_a_problem(
    stub: Callable[..., str], answer: object
) -> None:
    assert states(stub(answer)) == {"ready": "ok", "model": "problem"}
