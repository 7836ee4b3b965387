"""`make bento`'s second half: what is packed, and that it serves where there is nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

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


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bento, built from a copy of the repository that is no more."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("bentofile.yaml", "params.yaml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    scores = {"ann": {"cup": 1.0, "pot": 2.0, "tea": 0.0}}
    bundle = bundle_of(scores, [("ann", "pot", "2020-01-05")]).save(folder / "champion/bundle")
    version = {"version": 4, "digest": bundle.digest}
    (folder / "champion/version.json").write_text(json.dumps(version))
    home = tmp_path_factory.mktemp("home")
    environment = {"BENTOML_HOME": str(home), "PYTHONPATH": str(folder / "src")}
    subprocess.run(
        [Path(sys.executable).with_name("bentoml"), "build", "-f", "bentofile.yaml"],
        cwd=folder,
        env={**os.environ, **environment, "BENTOML_DO_NOT_TRACK": "True"},
        check=True,
        capture_output=True,
    )
    shutil.rmtree(folder)
    (built,) = [path.parent for path in home.glob("bentos/progrec/*/bento.yaml")]
    return built


def test_a_bento_holds_the_code_the_settings_and_the_champion(bento: Path):
    packed = {path.relative_to(bento / "src").as_posix() for path in bento.glob("src/**/*")}
    assert {
        "params.yaml",
        "progrec/serving/service.py",
        "progrec/serving/schema.sql",
        "champion/version.json",
        "champion/bundle/model.safetensors",
    } <= packed
    assert not any(name.startswith("src/") for name in packed)


@pytest.mark.slow
def test_a_bento_serves_from_an_empty_folder_without_the_repository(bento: Path, tmp_path: Path):
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
        assert answer["model"]["version"] == 4
        assert products(answer) == ["cup", "tea"]  # the pot was bought
        bought = event(user_id="ann", product_id="cup", event_type="purchase")
        assert post(client, "/events", {"events": [bought]})["accepted"] == 1
        assert products(post(client, "/recommend", {"user_id": "ann", "k": 5})) == ["tea"]
        assert client.get("/docs.json").status_code == 200
