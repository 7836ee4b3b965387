"""Whether what the project needs is installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from progrec.doctor.finding import Finding, enumerated

LOCK = Path("requirements.lock")
OLDEST = (3, 11)


def findings() -> Iterator[Finding]:
    """Python, the packages, PyTorch's device, git and DVC."""
    yield python(sys.version_info[:3])
    yield packages()
    yield torch_device()
    yield git()
    yield dvc()


def python(running: tuple[int, ...]) -> Finding:
    """Whether Python, such as 3, 11, 7, is new enough."""
    found = ".".join(map(str, running))
    if running < OLDEST:
        return Finding(
            "problem", "Python", found, "install Python 3.11 or newer, then `make install`"
        )
    return Finding("ok", "Python", found)


def packages() -> Finding:
    """Whether the packages are those of the lock file."""
    try:
        lines = LOCK.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return Finding(
            "warning", "packages", f"{LOCK} is not here", "run this in the project's top folder"
        )
    pins = dict(line.split("==") for line in lines)
    there = {name: _installed(name) for name in pins}
    missing = [name for name, found in there.items() if found is None]
    if missing:
        return Finding("problem", "packages", f"missing: {enumerated(missing)}", "`make install`")
    others = [
        f"{name} {found}, not {pins[name]}" for name, found in there.items() if found != pins[name]
    ]
    if others:
        return Finding("warning", "packages", enumerated(others), "`make install`")
    return Finding("ok", "packages", f"{len(pins)}, as in {LOCK}")


def _installed(name: str) -> str | None:
    """The version that is there, without what says how it was built (2.13.0+cpu)."""
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return None


def torch_device() -> Finding:
    """Whether PyTorch can be loaded, and what it computes on."""
    try:
        import torch  # noqa: PLC0415
    except (ImportError, OSError) as error:
        return Finding("problem", "PyTorch", f"cannot be loaded: {error}", "`make install`")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return Finding("ok", "PyTorch", f"{torch.__version__} on {device}")


def git() -> Finding:
    """Whether there is a commit, without which DVC does not work."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return Finding("problem", "git", "is not installed", "install it")
    if done.returncode:
        return Finding(
            "problem", "git", "there is no commit here", "`git init`, `git add .`, `git commit`"
        )
    return Finding("ok", "git", f"commit {done.stdout.strip()}")


def dvc() -> Finding:
    """Whether DVC keeps this folder's data."""
    if not Path(".dvc").is_dir():
        return Finding("problem", "DVC", "is not set up here", "`dvc init`")
    return Finding("ok", "DVC", _installed("dvc") or "set up")
