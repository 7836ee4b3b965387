"""The publish stage: a bundle -> a registered version, which the gate promotes or rejects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from progrec import atomic, settings, stage
from progrec.learning import pyfunc
from progrec.learning.bundle import Bundle, BundleError
from progrec.registry import champion, description, gate
from progrec.registry.decision import GATE, Decision
from progrec.settings import Settings
from progrec.tracking import CHALLENGER, UPDATE, Tracking, Version


class Publication(NamedTuple):
    """What has become of a bundle.

    Attributes:
        version: its version.
        decision: the gate's.
        is_new: whether anything has changed just now.
    """

    version: Version
    decision: Decision
    is_new: bool


def publish(path: Path, features: Path, tracking: Tracking, config: Settings) -> Publication:
    """Registers a bundle under its digest and lets the gate decide whether it is promoted.

    A version is decided on once. Until then it is the `challenger`, and if it is rejected it
    remains that; a promoted one is that no longer when it has become the champion. So the next
    call completes what broke off, and promotes nothing again that was rolled back since.

    Args:
        path: the bundle's folder.
        features: the folder of the feature tables.
        tracking: the store.
        config: what the gate measures, and what it lets pass.

    Raises:
        BundleError: the folder holds no usable bundle; there is nothing to register then.
        InputError: the gate needs tables that are not there; the next call decides.
    """
    bundle = Bundle.load(path)
    if tracking.logged_model(bundle.digest) is None:
        _log_again(bundle, path, tracking)
    version = tracking.register(bundle.digest)
    decision = Decision.of(version)
    is_new = decision is None
    if decision is None:
        tracking.set_alias(CHALLENGER, version)
        decision = decide(bundle, features, tracking, config)
        runs = tracking.lineage(bundle.digest)
        for run in runs[:1]:
            run.tag(GATE, decision.word)
        tracking.describe(version, description.markdown(bundle, decision, runs))
        decision.keep(tracking, version)
    if decision.promoted and tracking.aliased(CHALLENGER) == version:
        champion.promote(tracking, version)
        is_new = True
    return Publication(version, decision, is_new)


def decide(bundle: Bundle, features: Path, tracking: Tracking, config: Settings) -> Decision:
    """What the gate says of a bundle beside the champion of this moment."""
    present = tracking.champion()
    rival = None if present is None else _loaded(tracking, present)
    measured = gate.measure(bundle, rival, features, config)
    complaints = gate.complaints(measured, config.gate)
    reasons = list(complaints)
    if present is not None and rival is None:
        reasons.append(f"the files of version {present.number}, the champion, are lost or damaged")
    elif present is not None and measured.challenger and not measured.champion:
        reasons.append(f"version {present.number}, the champion, gives nothing to compare with")
    return Decision(
        promoted=not complaints,
        reasons=tuple(reasons),
        figures=measured.figures,
        champion=present.number if present else None,
        learned_up_to=bundle.provenance.watermark,
    )


def _loaded(tracking: Tracking, version: Version) -> Bundle | None:
    try:
        return champion.bundle(tracking, version)
    except BundleError:
        return None


def _log_again(bundle: Bundle, path: Path, tracking: Tracking) -> None:
    """Logs a bundle that came from DVC's cache: no run of this store has made it."""
    name = f"restored, up to {bundle.watermark}"
    with tracking.run(UPDATE, name, params={}, tags={}) as run:
        pyfunc.log(run, bundle, path)


def _outcome(published: Publication, present: Version | None) -> str:
    """What has become of a bundle, for a person."""
    version, decision, is_new = published
    because = f": {'; '.join(decision.reasons)}" if decision.reasons else ""
    other = "there is no champion" if present is None else f"the champion is {present.number}"
    if is_new and decision.promoted:
        return f"is now the champion{because}"
    if is_new:
        return f"is rejected, {other}{because}"
    if version == present:
        return "is the champion already, nothing to do"
    return f"was {decision.word} before, {other}, nothing to do{because}"


def main(
    bundle: Annotated[Path, typer.Option()],
    features: Annotated[Path, typer.Option()],
    report: Annotated[Path, typer.Option()],
) -> None:
    """Registers a bundle, which becomes the champion if the gate lets it."""
    with stage.running("publish") as done:
        config = settings.load()
        tracking = Tracking(config.registry)
        published = publish(bundle, features, tracking, config)
        version, decision, _ = published
        state = {
            "model": config.registry.model,
            "version": version.number,
            "digest": version.digest,
            "decision": decision.word,
            "reasons": decision.reasons,
            "figures": decision.figures,
            "champion": decision.champion,
        }
        atomic.write_json(report, state)
        outcome = _outcome(published, tracking.champion())
        done(f"{config.registry.model} version {version.number} {outcome}")


if __name__ == "__main__":
    typer.run(main)
