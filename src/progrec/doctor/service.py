"""Whether the service runs, and serves the champion."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx

from progrec.doctor.finding import Finding
from progrec.tracking import Version

SECONDS = 5
ASKED = {"user_id": "progrec doctor", "k": 1, "peek": True}


def findings(url: str, champion: Callable[[], Version | None]) -> Iterator[Finding]:
    """Whether the service at an address is ready, and answers with the champion.

    Args:
        url: where it should be.
        champion: asks the registry for the champion; only called if there is a service.
    """
    with httpx.Client(base_url=url, timeout=SECONDS, trust_env=False) as client:
        try:
            ready = client.get("/readyz")
        except httpx.HTTPError as error:
            found = f"{url} does not answer ({error})"
            yield Finding("warning", "ready", found, "`make serve` starts the service")
            return
        if not ready.is_success:
            found = f"{url}/readyz answers {ready.status_code}"
            remedy = "see the service's log; without a champion, `dvc repro` publishes one"
            yield Finding("problem", "ready", found, remedy)
            return
        yield Finding("ok", "ready", url)
        yield version(client, champion())


def version(client: httpx.Client, champion: Version | None) -> Finding:
    """Whether the service's answers are the champion's; one that peeks changes no queue."""
    try:
        served = client.post("/recommend", json=ASKED).raise_for_status().json()["model"]
        number, digest = served["version"], served["digest"]
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        remedy = "check --url: something else may answer there; else see the service's log"
        return Finding("problem", "model", f"/recommend gives no answer of ours: {error}", remedy)
    if champion is None or digest != champion.digest:
        right = "there is no champion" if champion is None else f"not {champion.number}"
        remedy = "it follows within serving.poll_seconds; if not, its log says why"
        return Finding("warning", "model", f"version {number}, {right}", remedy)
    return Finding("ok", "model", f"version {number}, the champion")
