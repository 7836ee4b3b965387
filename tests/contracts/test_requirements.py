"""The lock files hold what pyproject.toml asks for, and nothing that belongs to a machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked(file: str) -> dict[str, str]:
    lines = (ROOT / file).read_text().splitlines()
    return {normal(name): version for name, version in (line.split("==") for line in lines)}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_pins_what_the_project_is_built_on() -> None:
    pins = locked("requirements.lock")

    for requirement in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["shop"]]:
        name, _, version = requirement.partition("==")
        assert pins[normal(name)] == version or not version


def test_the_test_lock_pins_the_test_extra() -> None:
    pins = locked("requirements.lock") | locked("requirements-test.lock")

    missing = [
        name for name in PROJECT["optional-dependencies"]["test"] if normal(name) not in pins
    ]

    assert missing == []


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-test.lock"])
def test_a_lock_is_only_names_and_versions(file: str) -> None:
    lines = (ROOT / file).read_text().splitlines()

    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
