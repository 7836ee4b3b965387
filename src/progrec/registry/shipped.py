"""The champion in a folder, as a bento carries it to a place that has no registry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from progrec import atomic, settings
from progrec.errors import InputError
from progrec.learning.bundle import Bundle, BundleError
from progrec.registry import champion
from progrec.settings import Group, RegistrySettings
from progrec.tracking import Tracking, Version

FOLDER = Path("champion")
"""Beside params.yaml, where the service looks for it."""

BUNDLE = "bundle"
VERSION = "version.json"


class Shipped(Group):
    """Which version it is."""

    version: int
    digest: str


def ship(registry: RegistrySettings, folder: Path) -> Version:
    """Copies the champion's bundle, and says which version it is.

    Raises:
        InputError: there is no champion yet.
        BundleError: its files are missing, damaged or not those that were registered.
    """
    tracking = Tracking(registry)
    version = tracking.champion()
    if version is None:
        raise InputError(f"{registry.model} has no champion yet; `dvc repro` publishes one")
    champion.bundle(tracking, version)
    with atomic.replacing(folder) as new:
        shutil.copytree(tracking.bundle(version), new / BUNDLE)
        shipped = Shipped(version=version.number, digest=version.digest)
        atomic.write_json(new / VERSION, shipped.model_dump())
    return version


def load(folder: Path = FOLDER) -> tuple[int, Bundle] | None:
    """The shipped champion's number and bundle; None where none was shipped.

    Raises:
        BundleError: its files are missing, damaged or not those that were shipped.
    """
    if not folder.exists():
        return None
    try:
        content = json.loads((folder / VERSION).read_text(encoding="utf-8"))
        shipped = settings.validate(Shipped, content, VERSION)
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder / VERSION}: {error}; ship the champion again") from error
    bundle = champion.verified(Bundle.load(folder / BUNDLE), shipped.digest)
    return shipped.version, bundle
