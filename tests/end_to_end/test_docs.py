"""The commands of the documents, as they stand there, in a small shop's project."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from documents import ROOT, Block, shell_blocks

if TYPE_CHECKING:
    from conftest import Project

BLOCKS = [block for block in shell_blocks() if block.is_run]
START_SECONDS = 180
MADE_BY_INSTALL = ("Makefile", "pyproject.toml", "requirements.lock", "requirements-test.lock")


def of(mark: str) -> pytest.MarkDecorator:
    chosen = [block for block in BLOCKS if block.mark == mark]
    return pytest.mark.parametrize("block", chosen, ids=[block.name for block in chosen])


@pytest.fixture
def own(project: Project, tmp_path: Path) -> Project:
    """A copy of the small shop's project, installed, with the files that documents speak of."""
    return copied(project, tmp_path / "shop")


def copied(project: Project, folder: Path) -> Project:
    shutil.copytree(project.folder, folder)
    install(folder)
    for month in ("2019-Oct", "2019-Nov"):
        shutil.copy(folder / f"data/events/{month}.csv", folder)
    shutil.copy(folder / "recommendation.db", folder / "queues.db")
    with sqlite3.connect(folder / "original.db") as original:
        original.execute(
            "CREATE TABLE recommendation_queue (user_id INTEGER PRIMARY KEY, product_queue TEXT)"
        )
        original.execute("INSERT INTO recommendation_queue VALUES (1, '{\"pool\": [[2, 0, 3]]}')")
    return type(project)(folder)


def install(folder: Path) -> None:
    """What `make install` leaves, with the packages of this environment."""
    for name in MADE_BY_INSTALL:
        shutil.copy(ROOT / name, folder)
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        (folder / ".venv" / part.name).symlink_to(part)
    for done in ("installed", "installed-test"):
        (folder / ".venv" / done).touch()


def run(block: Block, project: Project, text: str = "") -> str:
    """Runs a block as one who pastes it, and stops at the first command that fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text or block.text],
        cwd=project.folder,
        env=project.environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@contextmanager
def running(command: str, project: Project) -> Iterator[str]:
    """The address at which a command answers that runs until it is stopped."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Both listen where nobody else does.
    bentoml = f"services.progrec.http.host=127.0.0.1 services.progrec.http.port={port}"
    elsewhere = {"BENTOML_CONFIG_OPTIONS": bentoml, "MLFLOW_PORT": str(port)}
    server = subprocess.Popen(
        ["bash", "-c", command],
        cwd=project.folder,
        env=project.environment | elsewhere,
        # Make, the server and its workers are ended together.
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        await_ready(url, server)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def await_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    """Waits until a page is answered; MLflow has no other sign of being ready."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert server.poll() is None, "it ended"
        assert time.monotonic() < deadline, "it does not answer"
        try:
            if httpx.get(url, follow_redirects=True, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.2)


@of("")
def test_a_block_runs(block: Block, own: Project) -> None:
    run(block, own)


@pytest.mark.slow
@of("slow")
def test_a_long_block_runs(block: Block, own: Project) -> None:
    run(block, own)


@pytest.mark.slow
@of("serves")
def test_a_block_that_serves_answers(block: Block, own: Project) -> None:
    with running(block.text, own) as url:
        assert "html" in httpx.get(url, follow_redirects=True).headers["content-type"]


@pytest.fixture(scope="module")
def served(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service of the small shop."""
    own = copied(project, tmp_path_factory.mktemp("served") / "shop")
    with running("bentoml serve", own) as url:
        yield url


@pytest.mark.slow
@of("service")
def test_a_block_that_asks_the_service_is_answered(block: Block, own: Project, served: str) -> None:
    answers = run(block, own, block.text.replace("http://", "").replace("localhost:3000", served))

    assert answers.count("{") > 0
    assert '"error"' not in answers


def test_every_block_that_is_run_is_run_by_one_of_these() -> None:
    assert {block.mark for block in BLOCKS} <= {"", "slow", "service", "serves"}
