from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from progrec.errors import InputError
from progrec.serving import database, follower, guard, logs, recommender
from progrec.serving.store import Busy
from progrec.settings import SettingsError
from serving.web import event

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
    ("/recommend", "user_id", {"user_id": "a", "session_id": "b"}),
    ("/recommend", "session_id", {"session_id": ""}),
    ("/recommend", "peek", {"user_id": "a", "peek": "yes"}),
    ("/recommend", "exclude.1", {"user_id": "a", "exclude": ["b", ""]}),
    ("/recommend", "min_price", {"user_id": "a", "min_price": 2, "max_price": 1}),
    ("/recommend", "max_price", {"user_id": "a", "max_price": -1}),
    ("/events", "events", {}),
    ("/events", "events", {"events": None}),
    ("/events", "events", {"events": {}}),
    ("/events", "events", {"events": "all of them"}),
    ("/events", "events", {"events": [event()] * 1001}),
    ("/events", "more", {"events": [], "more": 1}),
    ("/queue", "user_id", {}),
    ("/queue", "user_id", {"user_id": False}),
    ("/queue", "k", {"user_id": "a", "k": 1}),
    ("/merge", "user_id", {"session_id": "s"}),
    ("/merge", "session_id", {"session_id": None, "user_id": "a"}),
]


def test_bad_input_is_answered_with_the_fields_name(client: TestClient):
    for path, field, body in BAD_REQUESTS:
        answer = client.post(path, json=body)
        assert answer.status_code == 400, body
        assert answer.json()["detail"][0]["field"] == field, body


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
        assert answer.json()["detail"][0]["field"] == "Content-Type", kind


def test_json_by_any_spelling_or_none(client: TestClient):
    for headers in [{}, {"Content-Type": "Application/JSON; charset=utf-8"}]:
        answer = client.post("/queue", content=b'{"user_id": "a"}', headers=headers)
        assert answer.json()["pool"] == []


def test_an_error_has_one_form(client: TestClient):
    answer = client.post("/recommend", json={"user_id": "a", "k": 0, "limit": 2})
    assert answer.json() == {
        "error": "k: Input should be greater than or equal to 1",
        "detail": [
            {"field": "k", "reason": "Input should be greater than or equal to 1"},
            {"field": "limit", "reason": "Extra inputs are not permitted"},
        ],
        "request_id": answer.headers["X-Request-Id"],
    }


# How long a request may be


@pytest.fixture
def short(project: Path) -> None:
    """No request may be longer than a hundred bytes."""
    edit(project, "max_body: 2000000", "max_body: 100")


def edit(project: Path, old: str, new: str) -> None:
    path = project / "params.yaml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def chunks(length: int) -> Iterator[bytes]:
    body = json.dumps({"user_id": ""}).encode()
    body = body[:-2] + b"u" * (length - len(body)) + body[-2:]
    for start in range(0, length, 7):
        yield body[start : start + 7]


@pytest.mark.parametrize("whole", [True, False], ids=["with its length", "in chunks"])
def test_a_request_may_be_so_long_and_no_longer(short: None, client: TestClient, whole: bool):
    def status(length: int) -> int:
        content = b"".join(chunks(length)) if whole else chunks(length)
        return client.post("/queue", content=content).status_code

    assert [status(100), status(101), status(5000)] == [200, 413, 413]


def test_a_length_that_is_a_lie_helps_nobody(short: None, client: TestClient):
    for length in ["5", "-1", "ten", "9" * 400]:
        headers = {"Content-Length": length}
        answer = client.post("/queue", content=b"".join(chunks(101)), headers=headers)
        assert answer.status_code == 413, length
    assert answer.json()["detail"] == [{"field": "body", "reason": "at most 100 bytes"}]


# The key


KEPT = {"/events": {"events": []}, "/queue": {"user_id": "a"}, "/merge": {}}


@pytest.fixture
def locked(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(project, "api_key_variable: null", "api_key_variable: SHOP_KEY")
    monkeypatch.setenv("SHOP_KEY", "open sésame")


@pytest.mark.parametrize("path", KEPT)
@pytest.mark.parametrize(
    "sent",
    [None, "", "Bearer", "Bearer ", "Bearer x", "Basic open sésame", "open sésame", "Bearer open"],
)
def test_without_the_key_nothing_is_written_or_administered(
    locked: None, client: TestClient, path: str, sent: str | None, caplog: pytest.LogCaptureFixture
):
    headers = {} if sent is None else {"Authorization": sent.encode()}
    with caplog.at_level(logging.DEBUG):
        answer = client.post(path, json=KEPT[path], headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
    assert "sésame" not in caplog.text


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer"])
def test_with_the_key_all_is_done(locked: None, client: TestClient, scheme: bytes):
    headers = {"Authorization": scheme + " open sésame".encode()}
    assert client.post("/queue", json={"user_id": "a"}, headers=headers).status_code == 200
    assert client.post("/merge", json={}, headers=headers).status_code == 400


def test_recommendations_and_health_need_no_key(locked: None, client: TestClient):
    assert client.post("/recommend", json={"user_id": "a"}).status_code == 200
    for path in ("/readyz", "/livez", "/docs.json"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/events/", "/EVENTS", "/%65vents"])
def test_no_spelling_of_a_path_goes_past_the_key(locked: None, client: TestClient, path: str):
    answer = client.post(path, json={"events": []}, follow_redirects=False)
    assert answer.status_code in {307, 401, 404}


def test_a_key_that_is_named_and_not_there_lets_nobody_in(
    app: Starlette, project: Path, monkeypatch: pytest.MonkeyPatch
):
    edit(project, "api_key_variable: null", "api_key_variable: SHOP_KEY")
    monkeypatch.setenv("SHOP_KEY", "")
    monkeypatch.setattr(follower, "load_champion", lambda *_: None)
    with pytest.raises(SettingsError, match="SHOP_KEY"), TestClient(app):
        pass


# Requests have names


def test_an_answer_names_its_request(client: TestClient):
    sent = {"X-Request-Id": "order-5.a_B"}
    assert client.get("/livez", headers=sent).headers["X-Request-Id"] == "order-5.a_B"
    made = {client.get("/livez").headers["X-Request-Id"] for _ in range(3)}
    assert len(made) == 3


@pytest.mark.parametrize("sent", ["", " ", "a b", "x" * 129, '{"a":1}', "é"])
def test_a_name_that_could_be_mistaken_is_replaced(client: TestClient, sent: str):
    answer = client.get("/livez", headers={"X-Request-Id": sent.encode()})
    assert guard.USABLE_ID.fullmatch(answer.headers["X-Request-Id"])
    assert answer.headers["X-Request-Id"] != sent


# Failures of ours


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Whatever is put here, /recommend fails with."""
    errors: list[Exception] = []

    def fail(*_args: object, **_kwargs: object) -> None:
        raise errors[0]

    monkeypatch.setattr(recommender, "recommend", fail)
    return errors


def test_a_failure_of_ours_shows_nothing_of_itself(
    client: TestClient, failing: list[Exception], caplog: pytest.LogCaptureFixture
):
    failing.append(RuntimeError("the secret"))
    answer = client.post("/recommend", json={"user_id": "ann"}, headers={"X-Request-Id": "r1"})
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "something went wrong here; the log says what",
        "detail": [],
        "request_id": "r1",
    }
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "the secret" in str(record.exc_info)


def test_a_busy_database_is_to_be_asked_again(client: TestClient, failing: list[Exception]):
    failing.append(Busy("locked"))
    answer = client.post("/recommend", json={"user_id": "ann"})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "busy" in answer.json()["error"]


def test_a_database_that_another_keeps_locked_is_waited_for_and_then_refused(
    app: Starlette, project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(follower, "load_champion", lambda *_: None)
    with TestClient(app) as client, closing(sqlite3.connect("recommendation.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = client.post("/events", json={"events": [event()]})
        other.rollback()
        kept = client.post("/events", json={"events": [event()]})
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert kept.json()["accepted"] == 1


def test_a_database_that_cannot_be_used_is_no_fault_of_the_clients(
    client: TestClient, failing: list[Exception], caplog: pytest.LogCaptureFixture
):
    failing.append(InputError("/home/shop/recommendation.db cannot be used: the disk is full"))
    answer = client.post("/recommend", json={"user_id": "ann"})
    assert answer.status_code == 503
    assert "/home" not in answer.text
    assert "the disk is full" in caplog.text


# Logs


def test_a_refused_request_is_one_line_without_a_trace(
    client: TestClient, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO):
        client.post("/recommend", json={"user_id": "ann", "k": 0})
        client.post("/recommend", content=b"{")
        client.post("/recommend", json={"user_id": "ann", "k": 101})
    lines = [record for record in caplog.records if record.name.partition(".")[0] != "httpx"]
    assert [record.exc_info for record in lines] == [None] * 3


def test_a_line_is_json_and_says_which_request_it_belongs_to():
    record = logging.LogRecord("progrec.x", logging.INFO, "", 0, "kept %d", (2,), None)
    record.facts = {"status": 200, "path": Path("a")}
    token = logs.REQUEST.set(logs.Request("r1", "POST", "/events"))
    line = json.loads(logs.JsonFormatter().format(record))
    logs.REQUEST.reset(token)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "progrec.x",
        "message": "kept 2",
        "request_id": "r1",
        "method": "POST",
        "path": "a",
        "status": 200,
    }


def test_a_trace_stays_within_its_line():
    try:
        raise RuntimeError("the\nsecret")
    except RuntimeError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("progrec", logging.ERROR, "", 0, "failed", (), info)
    line = logs.JsonFormatter().format(record)
    assert "\n" not in line
    assert "RuntimeError" in json.loads(line)["exception"]
