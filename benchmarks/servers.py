"""Servers on loopback, each from when it is ready until it is done with, and load for them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

PROJECT = Path(__file__).resolve().parents[1]
START_SECONDS = 300
MANY, FEW = 64, 8
"""Connections at once."""


@dataclass(frozen=True)
class Server:
    """A server of one worker that answers POST /recommend."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def recommend(self) -> httpx.Response:
        """An answer."""
        return httpx.post(f"{self.url}/recommend", json={"user_id": "u00000000", "k": 20})

    @property
    def rss_mb(self) -> float:
        """Resident memory of its largest process, pages that others share included."""
        parent = psutil.Process(self.process.pid)
        each = [parent, *parent.children(recursive=True)]
        return float(max(process.memory_info().rss for process in each) / 1024**2)


@contextmanager
def serving(folder: Path, command: Sequence[str], **variables: str) -> Iterator[Server]:
    """A server in a folder, by a command that takes --host and --port, with some variables set.

    Raises:
        RuntimeError: it does not start.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = [str(PROJECT), str(PROJECT / "src"), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        cwd=folder,
        env=os.environ | variables | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=sys.stderr,
    )
    server = Server(port, process)
    try:
        _wait(server)
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def bento(service: str) -> list[str]:
    """The command that serves a BentoML service."""
    return [_beside("bentoml"), "serve", service]


def uvicorn(factory: str) -> list[str]:
    """The command that serves the app that a function makes."""
    return [_beside("uvicorn"), "--factory", factory, "--no-access-log", "--log-level", "warning"]


def wrk(server: Server, path: str, seconds: int, connections: int, *args: object) -> float:
    """Requests a second that a server answers to `benchmarks/<path>.lua`.

    What is on its way at the end is not counted, but the server does it: of large requests a few
    connections ask, or the next round would begin behind that.

    Raises:
        RuntimeError: it does not answer all of them well.
    """
    script = Path(__file__).with_name(f"{path}.lua")
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", str(script)]
    said = subprocess.run(
        ["wrk", *options, f"{server.url}/{path}", "--", *map(str, args)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"{server.url}/{path} does not answer well:\n{said}")
    (rate,) = re.findall(r"Requests/sec:\s+([\d.]+)", said)
    return float(rate)


def _beside(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _wait(server: Server) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.process.poll() is None:
        try:
            if server.recommend().status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"{server.process.args!r} does not answer; its log says why")
