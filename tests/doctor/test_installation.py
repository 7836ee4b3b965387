from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from progrec.doctor import installation
from progrec.doctor.finding import Finding


def lock(folder: Path, *lines: str) -> Finding:
    (folder / "requirements.lock").write_text("\n".join(lines) + "\n")
    return installation.packages()


def test_an_old_python_is_a_problem() -> None:
    assert installation.python((3, 10, 14)).state == "problem"
    assert installation.python((3, 11, 0)) == Finding("ok", "Python", "3.11.0")


def test_the_locked_packages_are_in_order(folder: Path) -> None:
    # PyTorch's own version says how it was built; the lock does not.
    pins = [f"{name}=={version(name).partition('+')[0]}" for name in ("torch", "typer")]

    assert lock(folder, *pins) == Finding("ok", "packages", "2, as in requirements.lock")


def test_a_missing_package_is_a_problem(folder: Path) -> None:
    found = lock(folder, "nowhere-to-be-found==1.0", "typer==0.0.1")

    assert found.state == "problem"
    assert found.found == "missing: nowhere-to-be-found"
    assert found.advice == "`make install`"


def test_another_version_is_a_warning(folder: Path) -> None:
    found = lock(folder, "typer==0.0.1")

    assert found.state == "warning"
    assert found.found == f"typer {version('typer')}, not 0.0.1"


def test_without_a_lock_it_says_where_to_look(folder: Path) -> None:
    found = installation.packages()

    assert found.state == "warning"
    assert "top folder" in found.advice


def test_a_torch_that_cannot_be_loaded_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    assert installation.torch_device().state == "problem"


def test_the_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "a GPU")

    assert installation.torch_device().found == f"{version('torch')} on a GPU"


def test_a_folder_without_a_commit_is_a_problem(folder: Path) -> None:
    assert installation.git().state == "problem"

    subprocess.run(["git", "init", "-q"], check=True)
    assert "no commit" in installation.git().found

    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    assert installation.git().state == "ok"


def test_a_machine_without_git_is_a_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))

    assert installation.git() == Finding("problem", "git", "is not installed", "install it")


def test_a_folder_that_dvc_does_not_keep_is_a_problem(folder: Path) -> None:
    assert installation.dvc().advice == "`dvc init`"

    (folder / ".dvc").mkdir()
    assert installation.dvc().state == "ok"
