from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from progrec.serving import openapi

POSTS = ["/recommend", "/recommend_batch", "/events", "/queue", "/merge"]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 30
"""Requests an operation and mode; some twenty seconds in all."""


@pytest.fixture
def document(client: TestClient) -> Any:
    return client.get("/docs.json").json()


def test_every_endpoint_has_a_title_examples_and_all_its_errors(document: Any):
    assert document["openapi"].startswith("3.1")
    for path in POSTS:
        operation = document["paths"][path]["post"]
        assert operation["summary"]
        assert operation["requestBody"]["content"]["application/json"]["examples"]
        expected = {"200", "400", "413", "503"} | (
            {"401"} if {"key": []} in operation["security"] else set()
        )
        assert operation["responses"].keys() == expected
    assert document["paths"].keys() == {*POSTS, "/livez", "/readyz", "/metrics"}


def test_the_key_is_named_where_it_is_asked_for(document: Any):
    kept = {path for path in POSTS if {"key": []} in document["paths"][path]["post"]["security"]}
    assert kept == {"/events", "/queue", "/merge"}


def test_the_limits_are_those_of_the_settings(document: Any):
    schemas = document["components"]["schemas"]
    assert schemas["RecommendRequest"]["properties"]["k"]["maximum"] == 100
    assert schemas["EventsRequest"]["properties"]["events"]["maxItems"] == 1000
    assert schemas["EventsRequest"]["properties"]["events"]["items"]["$ref"].endswith(
        "/PostedEvent"
    )


EXAMPLE_REQUESTS = [
    (path, name) for path, examples in openapi.EXAMPLES.items() for name in examples
]


@pytest.mark.parametrize(("path", "name"), EXAMPLE_REQUESTS)
def test_an_example_can_be_sent_as_it_stands(client: TestClient, path: str, name: str):
    answer = client.post(path, json=openapi.EXAMPLES[path][name])
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("path", POSTS)
def test_whatever_is_sent_the_answer_is_one_of_those_described(
    live_url: str, path: str, mode: GenerationMode
):
    operation = schemathesis.openapi.from_url(f"{live_url}/docs.json")[path]["POST"]

    # Not with schemathesis's own pytest plugin, which does not know pytest 9.2.
    @seed(0)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    send()
