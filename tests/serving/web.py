"""The service in this process, and what one says to it."""

from __future__ import annotations

from typing import Any

import httpx
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families


def event(**changes: Any) -> dict[str, Any]:
    """An event that is good but for the changes; `...` takes a field away."""
    whole = {
        "event_time": "2020-02-01T12:00:00Z",
        "event_type": "view",
        "user_id": "new",
        "product_id": "x",
    }
    return {key: value for key, value in {**whole, **changes}.items() if value is not ...}


def post(client: httpx.Client, path: str, body: object) -> Any:
    """The answer to a request that has to succeed."""
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def products(answer: Any) -> list[str]:
    return [item["product_id"] for item in answer["items"]]


def figure(name: str, **labels: str) -> float:
    """A figure of this process, which BentoML's /metrics needs a worker to tell."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def total(client: httpx.Client, name: str, **labels: str) -> float:
    """A figure of /metrics, over all workers."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())
