from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from progrec import content

EMPTY_FILE = "d41d8cd98f00b204e9800998ecf8427e"
EMPTY_FOLDER = "d751713988987e9331980363e24189ce.dir"

# What sorts by whole names and what by their parts: "a-b" < "a.b" < "a/b", but a/b comes first.
FILES = {
    "a/b": "in a folder",
    "a/b.csv": "beside it",
    "a-b": "with a dash",
    "a.b": "with a dot",
    "a b/c": "with a space",
    "aa/deep/deeper/x.parquet": "far down",
    "Z": "upper case",
    ".hidden": "hidden",
    "empty": "",
    "é/ü.csv": "beyond ASCII",
    "商品.csv": "商品",
    'quo"te': "quoted",
}


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_file_goes_by_the_md5_of_its_bytes(tmp_path: Path) -> None:
    written(tmp_path, {"empty": "", "abc": "abc"})

    assert content.digest(tmp_path / "empty") == EMPTY_FILE
    assert content.digest(tmp_path / "abc") == "900150983cd24fb0d6963f7d28e17f72"


def test_an_empty_folder_has_a_name_of_its_own(tmp_path: Path) -> None:
    assert content.digest(tmp_path) == EMPTY_FOLDER


@pytest.mark.parametrize(
    "change",
    [
        {"b/c": "text!"},  # other content
        {"b/d": ""},  # another file
    ],
)
def test_a_folders_digest_answers_every_change(tmp_path: Path, change: dict[str, str]) -> None:
    folder = written(tmp_path / "data", {"a": "text", "b/c": "text"})
    before = content.digest(folder)
    assert content.digest(written(tmp_path / "twin", {"b/c": "text", "a": "text"})) == before

    assert content.digest(written(folder, change)) != before


def test_a_folders_digest_answers_a_new_name(tmp_path: Path) -> None:
    folder = written(tmp_path, {"a": "text"})
    before = content.digest(folder)

    (folder / "a").rename(folder / "b")

    assert content.digest(folder) != before


def test_what_is_not_there_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        content.digest(tmp_path / "nothing")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder, an empty folder and a file that DVC has computed the hashes of."""
    project = tmp_path_factory.mktemp("project")
    written(project / "data", FILES)
    (project / "nothing").mkdir()
    (project / "one.csv").write_text("user_id\n1\n")
    quiet = {"DVC_NO_ANALYTICS": "true", "HOME": str(project), "XDG_CONFIG_HOME": str(project)}
    dvc = [sys.executable, "-m", "dvc"]
    for command in (
        ["git", "init", "--quiet"],
        [*dvc, "init", "--quiet"],
        [*dvc, "add", "--quiet", "data", "nothing", "one.csv"],
    ):
        subprocess.run(command, cwd=project, env=os.environ | quiet, check=True)
    return project


@pytest.mark.parametrize("name", ["data", "nothing", "one.csv"])
def test_the_digest_is_what_dvc_computes(tracked: Path, name: str) -> None:
    pointer = yaml.safe_load((tracked / f"{name}.dvc").read_text())

    assert content.digest(tracked / name) == pointer["outs"][0]["md5"]
