"""The service's description in OpenAPI 3.1, and the page that is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import progrec
from progrec import settings
from progrec.serving import page
from progrec.serving.failures import Failure
from progrec.serving.guard import KEPT, REQUEST_ID
from progrec.serving.messages import event_types
from progrec.settings import ServingSettings, Settings

Json = dict[str, Any]

# BentoML's, which reach mypy as Any.
Service = Any
Method = Any

SCHEMAS = "#/components/schemas/{model}"
KEY = "key"

FAILURES = {
    400: "A field cannot be used; `detail` names it.",
    401: "The key is missing or wrong.",
    413: "The request is too long.",
    503: "Not at this moment: there is no model yet, or the database is busy.",
}

EVENT = {
    "user_id": "400023651",
    "product_id": "5605438",
    "event_type": "cart",
    "event_time": "2020-03-01T12:00:00Z",
}

EXAMPLES: Mapping[str, Mapping[str, Json]] = {
    "/recommend": {
        "a user": {"user_id": "400023651", "k": 5},
        "somebody who is not logged in": {"session_id": "c9a3", "k": 5},
        "only some products": {
            "user_id": "400023651",
            "k": 5,
            "category": "cosmetics",
            "exclude": ["5605438"],
            "peek": True,
        },
    },
    "/recommend_batch": {"two users": {"user_ids": ["400023651", "400040217"], "k": 5}},
    "/events": {
        "one event": {"events": [EVENT]},
        "a purchase, with the shop's own id": {
            "events": [
                {**EVENT, "event_type": "purchase", "price": 5.24, "event_id": "order 17, line 1"}
            ]
        },
    },
    "/queue": {"a user": {"user_id": "400023651"}},
    "/merge": {"after login": {"session_id": "c9a3", "user_id": "400023651"}},
}
"""Requests that the page offers, by path, in the order in which it shows these."""

HEALTH = {
    "/livez": ("The service runs", "It runs."),
    "/readyz": ("The service has a model", "It has."),
    "/metrics": ("Figures for Prometheus", "Its figures."),
}


def document(service: Service, config: Settings) -> Json:
    """The description of a service's endpoints.

    Args:
        service: BentoML's; its endpoints' requests and answers are pydantic models.
        config: what its requests are held to.
    """
    models: list[type[BaseModel]] = [Failure]
    for api in service.apis.values():
        models += [api.input_spec, _answer(api)]
    refs, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=SCHEMAS
    )
    schemas = definitions["$defs"]
    _limit(schemas, config.serving)
    posted = schemas["PostedEvent"]["properties"]
    posted["event_type"]["enum"] = event_types(config)
    named = {model: ref for (model, _), ref in refs.items()}
    apis = {api.route: api for api in service.apis.values()}
    paths = {route: {"post": _operation(apis[route], named)} for route in EXAMPLES}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": progrec.__name__,
            "summary": "Each shopper's next products.",
            "description": service.inner.__doc__,
            "version": "1",
        },
        "servers": [{"url": "."}],
        "paths": {**paths, **{path: {"get": _health(path)} for path in HEALTH}},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                KEY: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Needed where serving.api_key_variable is set.",
                }
            },
        },
    }


def app(service: Service) -> Starlette:
    """Answers /docs.json, which BentoML would answer with less, /docs and /."""

    def view(_request: Request) -> JSONResponse:
        return JSONResponse(document(service, settings.load()))

    return Starlette(
        routes=[Route("/docs.json", view), Route("/docs", page.page), Route("/", page.home)]
    )


def _answer(api: Method) -> type[BaseModel]:
    model: type[BaseModel] = get_type_hints(api.func)["return"]
    return model


def _operation(api: Method, schemas: Mapping[Any, Json]) -> Json:
    title, _, text = (api.doc or "").partition("\n")
    examples = {name: {"value": value} for name, value in EXAMPLES[api.route].items()}
    kept = api.route in KEPT
    failures = {
        str(status): _response(text, schemas[Failure])
        for status, text in FAILURES.items()
        if status != 401 or kept
    }
    return {
        "tags": ["shoppers"],
        "operationId": api.name,
        "summary": title.strip(),
        "description": " ".join(text.split()),
        # An empty requirement: there may be no key.
        "security": [{KEY: []}, {}] if kept else [{}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schemas[api.input_spec], "examples": examples}
            },
        },
        "responses": {"200": _response("The answer.", schemas[_answer(api)]), **failures},
    }


def _response(description: str, schema: Json) -> Json:
    return {
        "description": description,
        "headers": {
            REQUEST_ID: {
                "description": "The request's, as it was sent or else as it was made.",
                "schema": {"type": "string"},
            }
        },
        "content": {"application/json": {"schema": schema}},
    }


def _health(path: str) -> Json:
    summary, well = HEALTH[path]
    text = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    waiting = {"503": {"description": "There is no model yet.", **text}}
    return {
        "tags": ["operation"],
        "operationId": path.strip("/"),
        "summary": summary,
        "responses": {
            "200": {"description": well, **text},
            **(waiting if path == "/readyz" else {}),
        },
    }


def _limit(schemas: Mapping[str, Json], limits: ServingSettings) -> None:
    for name, field, keyword, limit in (
        ("RecommendRequest", "k", "maximum", limits.max_k),
        ("BatchRequest", "k", "maximum", limits.max_k),
        ("BatchRequest", "user_ids", "maxItems", limits.max_batch),
        ("EventsRequest", "events", "maxItems", limits.max_events),
    ):
        schemas[name]["properties"][field][keyword] = limit
