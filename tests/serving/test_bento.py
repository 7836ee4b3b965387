"""`make bento`: what is packed, and that it serves where there is nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from progrec import settings
from progrec.learning import pyfunc
from progrec.registry import champion
from progrec.tracking import Tracking
from scored import bundle_of
from serving.live import serving
from serving.web import event, post, products

ROOT = Path(__file__).parents[2]

ALONE = """
import sys
from pathlib import Path

sys.path[:] = [entry for entry in sys.path if not (Path(entry) / "progrec").exists()]
"""
"""A sitecustomize.py with which no installed progrec is found."""


SCORES = {"ann": {"cup": 1.0, "pot": 2.0, "tea": 0.0}}
BOUGHT = [("ann", "pot", "2020-01-05")]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of what a bento is made of."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in ("Makefile", "bentofile.yaml", "params.yaml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def built(repository: Path, *command: str) -> Path:
    """The folder of the bento that a command builds; the repository is no more then."""
    home = repository.with_name("home")
    commands = str(Path(sys.executable).parent)
    subprocess.run(
        command,
        cwd=repository,
        env={
            **os.environ,
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOME": str(home),
            "PATH": os.pathsep.join([commands, os.environ["PATH"]]),
            "PYTHONPATH": str(repository / "src"),
        },
        check=True,
        capture_output=True,
    )
    assert (repository / "champion").exists() == ("make" not in command)
    shutil.rmtree(repository)
    (found,) = [path.parent for path in home.glob("bentos/progrec/*/bento.yaml")]
    return found


def test_a_bento_holds_the_code_the_settings_and_the_champion(repository: Path):
    bundle = bundle_of(SCORES, BOUGHT).save(repository / "champion/bundle")
    version = {"version": 4, "digest": bundle.digest}
    (repository / "champion/version.json").write_text(json.dumps(version))
    bento = built(repository, "bentoml", "build", "-f", "bentofile.yaml")
    packed = {path.relative_to(bento / "src").as_posix() for path in bento.glob("src/**/*")}
    assert {
        "params.yaml",
        "progrec/serving/service.py",
        "progrec/serving/schema.sql",
        "champion/version.json",
        "champion/bundle/model.safetensors",
    } <= packed
    assert not any(name.startswith("src/") for name in packed)


def crown(repository: Path) -> None:
    """Registers a bundle as the champion."""
    with contextlib.chdir(repository):
        bundle = bundle_of(SCORES, BOUGHT).save(repository / "bundle")
        tracking = Tracking(settings.load().registry)
        with tracking.run("train", name="by hand", params={}, tags={}) as run:
            pyfunc.log(run, bundle, repository / "bundle")
        champion.promote(tracking, tracking.register(bundle.digest))


@pytest.mark.slow
def test_what_make_bento_builds_serves_from_an_empty_folder_without_the_repository(
    repository: Path, tmp_path: Path
):
    crown(repository)
    bento = built(repository, "make", "-o", "install", "bento")

    alone, empty = tmp_path / "alone", tmp_path / "empty"
    for folder in (alone, empty):
        folder.mkdir()
    (alone / "sitecustomize.py").write_text(ALONE)
    environment = {**os.environ, "PYTHONPATH": str(alone)}
    command = [sys.executable, "-c", "import progrec"]
    found = subprocess.run(command, env=environment, cwd=empty, check=False, capture_output=True)
    assert b"No module named 'progrec'" in found.stderr

    with (
        serving(str(bento), empty, environment=environment) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        answer = post(client, "/recommend", {"user_id": "ann", "k": 5})
        assert answer["model"]["version"] == 1
        assert products(answer) == ["cup", "tea"]  # the pot was bought
        bought = event(user_id="ann", product_id="cup", event_type="purchase")
        assert post(client, "/events", {"events": [bought]})["accepted"] == 1
        assert products(post(client, "/recommend", {"user_id": "ann", "k": 5})) == ["tea"]
        batch = post(client, "/recommend_batch", {"user_ids": ["ann"], "k": 5})
        assert products(batch["users"][0]) == ["tea"]
        for path in ("/docs", "/docs.json", "/static_content/swagger-ui-bundle.js"):
            assert client.get(path).status_code == 200
