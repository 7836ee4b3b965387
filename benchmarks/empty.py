"""Endpoints of /recommend's shape that do nothing: what serving costs by itself."""

# BentoML's decorators reach mypy as Any.
# mypy: allow-untyped-decorators

from __future__ import annotations

import os
from pathlib import Path

import bentoml
from fastapi import FastAPI

from progrec.serving import endpoints, garbage
from progrec.serving.configuration import CONFIGURATION
from progrec.serving.messages import Recommendations, RecommendRequest
from progrec.serving.service import Progrec

ANSWER = "PROGREC_BENCHMARK_ANSWER"
"""Names a file that has the body of one of the service's own answers."""


def _answer() -> Recommendations:
    answer: Recommendations = Recommendations.model_validate_json(
        Path(os.environ[ANSWER]).read_bytes()
    )
    return answer


@bentoml.service(name="empty", **CONFIGURATION)
class Empty:
    """The service's configuration, middleware, request and answer, which is always the same."""

    def __init__(self) -> None:
        self._answer = _answer()
        endpoints.keep(self, Empty.apis)  # type: ignore[attr-defined]
        garbage.freeze()

    @bentoml.api(output_spec=Recommendations)
    async def recommend(self, request: RecommendRequest, /) -> Recommendations:  # noqa: ARG002
        """Ready at once."""
        return self._answer


for middleware, options in Progrec.middlewares:  # type: ignore[attr-defined]
    Empty.add_asgi_middleware(middleware, **options)  # type: ignore[attr-defined]


def bare() -> FastAPI:
    """A FastAPI app with the same request and answer, and nothing else."""
    app = FastAPI()
    answer = _answer()

    @app.post("/recommend")
    async def recommend(request: RecommendRequest) -> Recommendations:  # noqa: ARG001
        return answer

    garbage.freeze()
    return app
