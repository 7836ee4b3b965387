"""`bentoml serve` in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from serving.web import total

SERVED = """
from progrec.serving import follower, service
from shop import Shop

champion = follower.Champion(Shop(), "hash-of-the-data", version=1)
follower.load_champion = lambda config, served: champion
Progrec = service.Progrec
"""
"""A module whose service has the tests' shop for its champion."""


@contextmanager
def serving(
    target: str, folder: Path, *, workers: int = 1, environment: Mapping[str, str] = os.environ
) -> Iterator[str]:
    """Serves from a folder, into which it writes its log; yields the address once all are ready."""
    port = free_port()
    bentoml = Path(sys.executable).with_name("bentoml")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [bentoml, "serve", target, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env={
                **environment,
                "BENTOML_DO_NOT_TRACK": "True",
                "BENTOML_HOME": str(folder / "home"),
                "BENTOML_CONFIG_OPTIONS": f"services.progrec.workers={workers}",
            },
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            # It waits longer each time, a minute in all.
            patient = httpx.HTTPTransport(retries=8)
            with httpx.Client(base_url=url, transport=patient, timeout=60) as client:
                while total(client, "progrec_model_swaps_total") < workers:
                    assert server.poll() is None
            yield url
        finally:
            server.terminate()
            server.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
