"""The version that is served."""

from __future__ import annotations

from pathlib import Path

from progrec.errors import InputError
from progrec.learning.bundle import Bundle, BundleError
from progrec.registry import versions
from progrec.settings import RegistrySettings
from progrec.tracking import CHALLENGER, CHAMPION, Tracking, Version

BEFORE = "champion_before"
"""Tag: number of the version that was the champion before this one."""


class WrongDigestError(BundleError):
    """A version's files are not those that were registered."""


def load(registry: RegistrySettings) -> Bundle | None:
    """The champion's bundle; None while there is none.

    Raises:
        BundleError: the champion's files are missing, damaged or not those that were registered.
    """
    tracking = Tracking(registry)
    version = tracking.champion()
    return None if version is None else bundle(tracking, version)


def bundle(tracking: Tracking, version: Version, shared: Path | None = None) -> Bundle:
    """A version's bundle.

    Args:
        tracking: the store.
        version: which.
        shared: see `Bundle.load`.

    Raises:
        BundleError: its files are missing, damaged or not those that were registered.
    """
    try:
        loaded = Bundle.load(tracking.bundle(version), shared)
    except LookupError as error:
        raise BundleError(str(error)) from error
    return verified(loaded, version.digest)


def verified(bundle: Bundle, digest: str) -> Bundle:
    """The bundle, if it has the digest.

    Raises:
        WrongDigestError: it has another.
    """
    if bundle.digest != digest:
        raise WrongDigestError(
            f"the bundle's files have the digest {bundle.digest}, not {digest}, under which they "
            "were registered; restore them, or roll back"
        )
    return bundle


def promote(tracking: Tracking, version: Version) -> None:
    """Makes a version the champion; one that broke off in the middle may be made again."""
    present = tracking.champion()
    if present != version:
        if present is not None:
            tracking.tag(version, BEFORE, str(present.number))
        tracking.set_alias(CHAMPION, version)
    _settle(tracking, version)


def rollback(tracking: Tracking) -> tuple[Version, Version]:
    """Makes the version the champion that was it before the present one.

    Returns:
        The champion now, and the one until now.

    Raises:
        InputError: there is no champion, or none before it.
    """
    present = tracking.champion()
    model = tracking.registry.model
    if present is None:
        raise InputError(f"{model} has no champion yet; `dvc repro` trains and publishes one")
    if BEFORE not in present.tags:
        raise InputError(
            f"{model} version {present.number} is the champion and none was before it; "
            "`progrec model promote VERSION` takes any other"
        )
    before = versions.find(tracking, int(present.tags[BEFORE]))
    _settle(tracking, present)
    tracking.set_alias(CHAMPION, before)
    # What was taken back is history no more: else two promotions could lead round in a circle.
    tracking.untag(present, BEFORE)
    return before, present


def _settle(tracking: Tracking, version: Version) -> None:
    """Ends a version's time as challenger: nothing is left for publish to complete."""
    if tracking.aliased(CHALLENGER) == version:
        tracking.delete_alias(CHALLENGER)
