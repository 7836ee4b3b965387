"""Whether the registry has a champion that can be served."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from progrec.doctor.finding import Finding
from progrec.learning.bundle import BundleError
from progrec.registry import champion
from progrec.settings import RegistrySettings
from progrec.tracking import Tracking, Version

LOCAL = "sqlite:///"
# A registry that is far away answers at once, or is not reached: MLflow would try for minutes.
IMPATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
PUBLISH = "`dvc repro` trains and publishes one"


def exists(registry: RegistrySettings) -> bool:
    """Whether there is a store to ask; to ask for one in a file would make it."""
    uri = registry.tracking_uri
    return not uri.startswith(LOCAL) or Path(uri.removeprefix(LOCAL)).exists()


def served(registry: RegistrySettings) -> Version | None:
    """The champion, if there is one; whatever MLflow raises if it cannot be asked."""
    if not exists(registry):
        return None
    os.environ.update(IMPATIENCE)
    return Tracking(registry).champion()


def findings(registry: RegistrySettings) -> Iterator[Finding]:
    """The store, its champion, the champion's files and the run that made it."""
    if not exists(registry):
        yield Finding("problem", "store", f"{registry.tracking_uri} is not there", PUBLISH)
        return
    try:
        version = served(registry)
    except Exception as error:  # a store of any kind, broken in any way
        yield Finding(
            "problem",
            "store",
            f"{registry.tracking_uri} cannot be asked: {_first_line(error)}",
            "check registry.tracking_uri in params.yaml, and that the server runs",
        )
        return
    yield Finding("ok", "store", registry.tracking_uri)
    if version is None:
        yield Finding("problem", "champion", f"{registry.model} has none", PUBLISH)
        return
    yield Finding("ok", "champion", f"{registry.model} version {version.number}")
    tracking = Tracking(registry)
    yield bundle(tracking, version)
    yield run(tracking, version)


def bundle(tracking: Tracking, version: Version) -> Finding:
    """Whether the champion's files are there, can be loaded, and are those that were registered."""
    try:
        loaded = champion.bundle(tracking, version)
    except BundleError as error:
        return Finding(
            "problem", "bundle", str(error), "`progrec model rollback`, or put the files back"
        )
    users, items = len(loaded.users), len(loaded.items)
    return Finding("ok", "bundle", f"{version.digest[:8]}: {users:,} users, {items:,} products")


def run(tracking: Tracking, version: Version) -> Finding:
    """Whether the run that made the champion is kept, with the model that it logged."""
    made = tracking.find_run(version.digest)
    if made is None or tracking.logged_model(version.digest) is None:
        return Finding(
            "warning",
            "run",
            f"the run that made version {version.number} was deleted",
            "its curves are gone; it can be served all the same",
        )
    return Finding("ok", "run", made.id)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
