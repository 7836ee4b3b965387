"""The publish stage: a bundle -> the registered version that is served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from progrec import atomic, settings
from progrec.errors import reported
from progrec.learning import pyfunc
from progrec.learning.bundle import Bundle
from progrec.tracking import Tracking, Version

EXPERIMENT = "publish"


def publish(path: Path, tracking: Tracking) -> tuple[Version, bool]:
    """Registers a bundle under its digest and makes it the champion.

    A bundle that is registered already is not registered again, and a champion stays one.

    Returns:
        The version, and whether it has become the champion just now.
    """
    bundle = Bundle.load(path)
    if tracking.logged_model(bundle.digest) is None:
        _log_again(bundle, path, tracking)
    version = tracking.register(bundle.digest)
    if tracking.champion() == version:
        return version, False
    tracking.promote(version)
    return version, True


def _log_again(bundle: Bundle, path: Path, tracking: Tracking) -> None:
    """Logs a bundle that came from DVC's cache: no run of this store has made it."""
    with tracking.run(EXPERIMENT, name="restored", params={}, tags={}) as run:
        pyfunc.log(run, bundle, path)


def main(bundle: Annotated[Path, typer.Option()], report: Annotated[Path, typer.Option()]) -> None:
    """Registers a bundle and makes it the champion."""
    with reported():
        registry = settings.load().registry
        version, is_new = publish(bundle, Tracking(registry))
        state = {"model": registry.model, "version": version.number, "digest": version.digest}
        atomic.write_json(report, state)
    action = "is now the champion" if is_new else "is the champion already, nothing to do"
    typer.echo(f"publish: {registry.model} version {version.number} {action}")


if __name__ == "__main__":
    typer.run(main)
