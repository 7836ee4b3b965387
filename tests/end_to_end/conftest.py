"""A project of one's own: a copy of this one with a tiny shop in it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bentoml
import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = (".dvcignore", ".gitignore", "bentofile.yaml", "conf", "dvc.yaml", "params.yaml", "src")
START_SECONDS = 120


@dataclass(frozen=True)
class Project:
    """A folder in which the pipeline runs."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of an activated virtual environment that phones nobody."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        quiet = {"DVC_NO_ANALYTICS": "true", "BENTOML_DO_NOT_TRACK": "True"}
        return {**os.environ, **quiet, "PATH": path}

    def run(self, command: str) -> str:
        """Runs a command that has to succeed; what it printed."""
        done = self._done(command)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def fail(self, command: str) -> str:
        """Runs a command that has to fail; what it printed."""
        done = self._done(command)
        assert done.returncode != 0, done.stdout
        return done.stdout

    def _done(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            shlex.split(command),
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def commit(self, message: str) -> None:
        """Commits all that git does not ignore."""
        self.run("git add --all")
        name = "-c user.name=test -c user.email=test@localhost"
        self.run(f"git {name} commit --allow-empty -qm {message}")

    def repro(self, options: str = "") -> list[str]:
        """Runs the pipeline; the stages that ran, in order."""
        return re.findall(r"Running stage '([^']+)'", self.run(f"dvc repro {options}"))

    def edit(self, file: str, old: str, new: str) -> None:
        """Replaces one piece of text in a file."""
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Puts data, outputs and reports back as they were when the body is done."""
        files = [self.folder / "dvc.lock", self.folder / "data.dvc"]
        files += (self.folder / "reports").iterdir()
        before = {file: file.read_bytes() for file in files}
        yield
        for file, content in before.items():
            file.write_bytes(content)
        self.run("dvc checkout --force --quiet")

    def lock(self) -> dict[str, object]:
        """What DVC knows of the stages."""
        return yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny shop, imported and run through the whole pipeline once."""
    folder = tmp_path_factory.mktemp("shop")
    for name in PROJECT:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    project = Project(folder)
    project.run("git init -q")
    project.run("dvc init -q")
    sizes = "--users 400 --products 80 --events 12000 --days 45 --seed 1"
    project.run(f"progrec simulate {sizes}")
    project.edit("params.yaml", 'cutoff: "2020-02-01"', 'cutoff: "2019-10-29"')
    project.edit("params.yaml", 'overrides: ""              # Hydra', "overrides: trainer=smoke # ")
    project.run("dvc add -q data")
    project.commit("shop")
    said = project.run("dvc repro")
    first_run_of(project).write_text(said)
    return project


def first_run_of(project: Project) -> Path:
    """Where stands what the project's first run printed; beside the project, not in it."""
    return project.folder.with_suffix(".txt")


@pytest.fixture(scope="session")
def first_run(project: Project) -> str:
    """What `dvc repro` printed when every stage ran, to no terminal."""
    return first_run_of(project).read_text()


@pytest.fixture
def own(project: Project, tmp_path: Path) -> Project:
    """The project for a test alone, with all that is in it committed."""
    copy = Project(shutil.copytree(project.folder, tmp_path / "shop", symlinks=True))
    copy.commit("run")
    return copy


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with what the sample's run has reported, and no data."""
    project = Project(tmp_path_factory.mktemp("reported"))
    project.run("git init -q")
    project.run("dvc init -q")
    for name in ("dvc.yaml", "params.yaml", ".dvc/config"):
        shutil.copy(ROOT / name, project.folder / name)
    for name in ("reports", ".dvc/plots"):
        shutil.copytree(ROOT / name, project.folder / name)
    project.commit("reports")
    return project


@pytest.fixture(scope="module")
def shop(request: pytest.FixtureRequest) -> Project:
    """A project whose pipeline has run and in which a sweep has: the sample's, if it is named."""
    sample = os.environ.get("PROGREC_SAMPLE")
    if sample:
        return Project(Path(sample))
    tiny: Project = request.getfixturevalue("project")
    tiny.repro()
    tiny.run("python -m progrec.learning.train -m model.factors=4,8 trainer=smoke")
    return tiny


@pytest.fixture(scope="module")
def service(project: Project) -> Iterator[httpx.Client]:
    """A client of a service that is ready, and serves the project's own model."""
    project.repro()
    # Other tests may have published other models since.
    project.run("progrec model promote 1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["bentoml", "serve", "--host", "127.0.0.1", "--port", str(port)],
        cwd=project.folder,
        env=project.environment,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        bentoml.SyncHTTPClient(url, server_ready_timeout=START_SECONDS).close()
        with httpx.Client(base_url=url, timeout=30) as client:
            yield client
    finally:
        server.terminate()
        server.wait()
