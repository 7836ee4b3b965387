"""The registered versions, as a person reads them."""

from __future__ import annotations

from rich import box
from rich.table import Table

from progrec.errors import InputError
from progrec.registry.decision import Decision
from progrec.tracking import Tracking, Version

SHORT = 8  # digits of a digest that tell bundles apart
EXAMS = {"frozen": "validation\nwindow", "recent": "recent\ndays"}


def find(tracking: Tracking, number: int) -> Version:
    """The version of a number.

    Raises:
        InputError: there is none; the message names those that there are.
    """
    versions = {version.number: version for version in tracking.versions()}
    if number not in versions:
        known = f"its versions: {', '.join(map(str, sorted(versions)))}"
        none = "there is none yet: `dvc repro` publishes one"
        raise InputError(
            f"{tracking.registry.model} has no version {number}; {known if versions else none}"
        )
    return versions[number]


def table(tracking: Tracking) -> Table:
    """One row a version, the newest first.

    Raises:
        InputError: there is none.
    """
    versions = _versions(tracking)
    model = tracking.registry.model
    aliases = tracking.aliases()
    shown = Table(
        title=f"{model}: NDCG as the gate measured it, and its change from the champion's",
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    for name in ("version", "bundle", "gate"):
        shown.add_column(name, no_wrap=True)
    for header in EXAMS.values():
        shown.add_column(header, justify="right", no_wrap=True)
    shown.add_column("learned\nup to", no_wrap=True)
    shown.add_column("alias", no_wrap=True)
    for version in versions:
        names = sorted(alias for alias, number in aliases.items() if number == version.number)
        shown.add_row(
            str(version.number), version.digest[:SHORT], *_decided(version), ", ".join(names)
        )
    return shown


def standing(tracking: Tracking) -> str:
    """Which version is the champion and, if that is another, what the gate decided of the newest.

    Raises:
        InputError: there is no version.
    """
    newest, champion = _versions(tracking)[0], tracking.champion()
    if champion is None:
        return f"there is no champion; the newest is {_judged(newest)}"
    if champion.number == newest.number:
        return f"the champion is {_judged(champion)}"
    return f"the champion is {_judged(champion)}\nthe newest is {_judged(newest)}"


def _versions(tracking: Tracking) -> list[Version]:
    """The versions, the newest first."""
    versions = tracking.versions()
    if not versions:
        raise InputError(
            f"{tracking.registry.model} has no version yet; `dvc repro` trains and publishes one"
        )
    return versions


def _judged(version: Version) -> str:
    name = f"version {version.number} (bundle {version.digest[:SHORT]})"
    decision = Decision.of(version)
    if decision is None:
        return f"{name}, on which the gate has not decided; `dvc repro` lets it"
    because = f": {'; '.join(decision.reasons)}" if decision.reasons else ""
    return f"{name}, learned up to {decision.learned_up_to}, {decision.word} by the gate{because}"


def _decided(version: Version) -> list[str]:
    decision = Decision.of(version)
    if decision is None:
        return ["-"] * (2 + len(EXAMS))
    exams = (_change(decision, name) for name in EXAMS)
    return [decision.word, *exams, decision.learned_up_to.isoformat()]


def _change(decision: Decision, exam: str) -> str:
    """A challenger's NDCG, and how much more it is than the champion's: 0.2095 -2.2%."""
    result = decision.figures.get(exam)
    if result is None:
        return "-"
    now, before = (result[who]["ndcg"] for who in ("challenger", "champion"))
    return f"{now:.4f}" + (f" {now / before - 1:+.1%}" if before else "")
