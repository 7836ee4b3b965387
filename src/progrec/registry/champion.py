"""The version that is served."""

from __future__ import annotations

from progrec.learning.bundle import Bundle, BundleError
from progrec.settings import RegistrySettings
from progrec.tracking import Tracking


def digest(registry: RegistrySettings) -> str | None:
    """Digest of the champion's bundle; None while there is none."""
    version = Tracking(registry).champion()
    return None if version is None else version.digest


def load(registry: RegistrySettings) -> Bundle | None:
    """The champion's bundle; None while there is none.

    Raises:
        BundleError: the champion's files are missing or damaged.
    """
    tracking = Tracking(registry)
    version = tracking.champion()
    if version is None:
        return None
    try:
        return Bundle.load(tracking.bundle(version))
    except LookupError as error:
        raise BundleError(str(error)) from error
