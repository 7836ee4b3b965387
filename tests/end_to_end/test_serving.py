"""`bentoml serve` at the project's root, through HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pandas as pd
import pytest

if TYPE_CHECKING:
    from conftest import Project


def shopper(project: Project) -> str:
    """Somebody whom the model knows."""
    users = pd.read_parquet(project.folder / "artifacts/updated/users.parquet")
    return str(users["user_id"].iloc[0])


def event(user_id: str, product_id: str, event_type: str) -> dict[str, str]:
    return {
        "user_id": user_id,
        "product_id": product_id,
        "event_type": event_type,
        "event_time": "2019-12-01T12:00:00Z",
    }


def test_a_known_shopper_is_answered_by_the_published_model(
    service: httpx.Client, project: Project
) -> None:
    answer = service.post("/recommend", json={"user_id": shopper(project), "k": 5}).json()

    assert answer["strategy"] == "model"
    assert answer["model"]["digest"] == project.lock()["update"]["outs"][0]["md5"]
    assert len({item["product_id"] for item in answer["items"]}) == 5


def test_a_stranger_is_shown_what_is_popular(service: httpx.Client) -> None:
    answer = service.post("/recommend", json={"user_id": "nobody", "k": 3}).json()

    assert answer["strategy"] == "popular"
    assert len(answer["items"]) == 3


def test_what_is_carted_comes_first_and_what_is_bought_never_comes_back(
    service: httpx.Client,
) -> None:
    offered = service.post("/recommend", json={"user_id": 17, "k": 4}).json()["items"]
    product = offered[-1]["product_id"]

    service.post("/events", json={"events": [event("17", "new to all", "cart")]})
    first = service.post("/recommend", json={"user_id": "17", "k": 4}).json()
    service.post("/events", json={"events": [event("17", product, "purchase")]})
    queue = service.post("/queue", json={"user_id": "17"}).json()["pool"]
    later = service.post("/recommend", json={"user_id": "17", "k": 100}).json()["items"]

    assert first["items"][0]["product_id"] == "new to all"
    assert first["items"][0]["source"] == "queue"
    assert product not in [entry[0] for entry in queue]
    assert product not in [item["product_id"] for item in later]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/recommend", {"k": 5}, "user_id"),
        ("/recommend", {"user_id": "1", "k": 0}, "k"),
        ("/recommend", {"user_id": "1", "k": 10_000}, "k"),
        ("/events", {"events": [event("1", "", "view")]}, "product_id"),
        ("/queue", {}, "user_id"),
    ],
)
def test_bad_input_is_answered_with_the_fields_name(
    service: httpx.Client, path: str, body: dict[str, object], field: str
) -> None:
    answer = service.post(path, json=body)

    assert answer.status_code == 400
    assert field in answer.text
