from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from progrec.serving import follower
from serving.shop import Shop
from serving.web import event, post, products


def lists(client: httpx.Client, users: list[Any], k: int = 8) -> dict[str, list[str]]:
    answer = post(client, "/recommend_batch", {"user_ids": users, "k": k})
    assert answer["model"]["version"] == 1
    return {each["user_id"]: products(each) for each in answer["users"]}


def test_each_user_gets_their_own_list(client: TestClient, shop: Shop):
    found = post(client, "/recommend_batch", {"user_ids": ["new", "ann"], "k": 2})["users"]
    assert found == [
        {
            "user_id": "new",
            "items": [
                {"product_id": item, "score": pytest.approx(0.2), "source": "popular"}
                for item in ["b0", "c0"]
            ],
        },
        {
            "user_id": "ann",
            "items": [
                {"product_id": item, "score": pytest.approx(0.9), "source": "model"}
                for item in ["c0", "c1"]
            ],
        },
    ]


def test_what_was_bought_a_moment_ago_is_left_out(client: TestClient):
    bought = event(user_id="ann", event_type="purchase", product_id="c0")
    post(client, "/events", {"events": [bought]})
    found = lists(client, ["ann", "bob"])
    assert "c0" not in found["ann"]
    assert "c0" in found["bob"]


def test_what_was_given_back_is_not_left_out(
    app: Starlette, project: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("refund: []", "refund: [return]"))
    champion = follower.Champion(shop, "hash-of-the-data", version=1)
    monkeypatch.setattr(follower, "load_champion", lambda *_: champion)
    with TestClient(app) as client:
        for kind, there in [("purchase", False), ("return", True)]:
            done = event(user_id="ann", event_type=kind, product_id="c0")
            assert post(client, "/events", {"events": [done]})["accepted"] == 1
            assert ("c0" in lists(client, ["ann"])["ann"]) is there


def test_no_queue_is_touched_and_nothing_counts_as_shown(client: TestClient):
    post(client, "/events", {"events": [event(user_id="ann", product_id="x")]})
    first = lists(client, ["ann"])
    assert lists(client, ["ann"]) == first
    assert post(client, "/queue", {"user_id": "ann"})["pool"] == [["x", 0, 1.0]]


def test_many_users_in_the_order_of_the_request(client: TestClient):
    users = [str(number) for number in range(1000)]
    assert Counter(map(len, lists(client, users).values())) == {8: 1000}
    assert list(lists(client, users)) == users


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("user_ids", {}),
        ("user_ids", {"user_ids": "ann"}),
        ("user_ids", {"user_ids": ["a"] * 1001}),
        ("user_ids.1", {"user_ids": ["a", ""]}),
        ("k", {"user_ids": ["a"], "k": 101}),
        ("session_id", {"user_ids": ["a"], "session_id": "s"}),
    ],
)
def test_bad_input_is_answered_with_the_fields_name(client: TestClient, field: str, body: Any):
    answer = client.post("/recommend_batch", json=body)
    assert answer.status_code == 400
    assert answer.json()["detail"][0]["field"] == field


def test_nobody_is_no_mistake(client: TestClient):
    assert lists(client, []) == {}


def test_without_a_model_there_are_no_lists(waiting: TestClient):
    answer = waiting.post("/recommend_batch", json={"user_ids": ["ann"]})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
