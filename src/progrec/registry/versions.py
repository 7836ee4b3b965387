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
    versions = tracking.versions()
    model = tracking.registry.model
    if not versions:
        raise InputError(f"{model} has no version yet; `dvc repro` trains and publishes one")
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
