"""Where the shop page is, and where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from progrec.serving import shop
from serving.web import post

NICEGUI = "x-nicegui-content"
KEYED = "api_key_variable: SHOP_KEY"


def test_without_its_library_there_is_no_page_and_all_else_is_served(
    app: Starlette, project: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level("INFO", "progrec"), TestClient(app) as client:
        assert NICEGUI not in client.get("/").headers
        assert client.get("/docs.json").status_code == 200
        post(client, "/events", {"events": []})
    assert "the extra `shop`" in caplog.text


def test_where_a_key_is_asked_for_there_is_no_page_that_writes_without(
    app: Starlette,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("api_key_variable: null", KEYED))
    monkeypatch.setenv("SHOP_KEY", "secret")
    # To open the page would fail: the library cannot be imported here.
    monkeypatch.setattr(shop, "_installed", lambda: True)
    with caplog.at_level("INFO", "progrec"), TestClient(app) as client:
        assert NICEGUI not in client.get("/").headers
        assert client.post("/events", json={"events": []}).status_code == 401
    assert "api_key_variable is set" in caplog.text


@pytest.mark.parametrize(
    ("path", "is_ours"),
    [("/", True), ("/_nicegui/3/static/x.css", True), ("/_nicegui_ws/socket.io/", True)]
    + [(path, False) for path in ("/recommend", "/docs", "/docs.json", "/nothing", "")],
)
def test_the_page_takes_its_own_paths_and_leaves_the_others(path: str, is_ours: bool):
    root = shop._Root(Starlette(), lambda _scope: True)
    match, _ = root.matches({"type": "http", "path": path, "root_path": ""})
    assert (match is not shop.Match.NONE) == is_ours
