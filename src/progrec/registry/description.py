"""A registered version in Markdown, as MLflow's page of it shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from progrec.learning.bundle import Bundle
from progrec.registry.decision import Decision
from progrec.runs import Run

EXAMS = {"frozen": "end of history", "recent": "recent days"}
WORTH = ("days", "baselines", "history_lengths", "reliability")
"""Which of the runs' pictures are shown, in this order."""


def markdown(bundle: Bundle, decision: Decision, runs: Sequence[Run]) -> str:
    """What a version is, whether the gate let it pass and why, what was measured, and its pictures.

    Args:
        bundle: the version's.
        decision: the gate's.
        runs: that made the bundle and what it started from, the last one first.
    """
    parts = (
        [_verdict(decision)],
        _marks(decision),
        _showing(decision),
        [_origin(bundle, runs)],
        _pictures(runs),
    )
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part))) + "\n"


def _verdict(decision: Decision) -> str:
    rival = "there was no champion to compare it with"
    if decision.champion is not None:
        rival = f"compared with version {decision.champion}, the champion then"
    because = "".join(f"\n- {reason}" for reason in decision.reasons)
    return f"**The gate {decision.word} this version**, {rival}.\n{because}".rstrip()


def _marks(decision: Decision) -> Iterator[str]:
    exams = {title: decision.figures.get(name) for name, title in EXAMS.items()}
    if not any(exams.values()):
        return
    k = decision.figures["k"]
    yield f"| NDCG@{k} | this version | version {decision.champion} | difference, 95 % | shoppers |"
    yield "|---|---|---|---|---|"
    for title, exam in exams.items():
        if exam:
            now, before = (exam[who]["ndcg"] for who in ("challenger", "champion"))
            between = f"{exam['low']:+.4f} to {exam['high']:+.4f}"
            yield f"| {title} | {now:.4f} | {before:.4f} | {between} | {exam['users']:,} |"


def _showing(decision: Decision) -> Iterator[str]:
    shown: Mapping[str, Any] | None = decision.figures.get("challenger")
    if shown:
        yield (
            f"{shown['users']:,} shoppers are shown {shown['products']:,} different products, with "
            f"a mean purchase probability of {shown['probability']:.4f}."
        )


def _origin(bundle: Bundle, runs: Sequence[Run]) -> str:
    origin = bundle.provenance
    lines = [
        f"- learned up to **{origin.watermark}**: {len(bundle.users):,} shoppers and "
        f"{len(bundle.items):,} products",
        f"- data `{origin.data_digest}`, bundle `{bundle.digest}`",
        *(f"- made by the run [{run.name}]({run.address})" for run in runs[:1]),
        *(f"- from what [{run.name}]({run.address}) had made" for run in runs[1:]),
    ]
    return "\n".join(lines)


def _pictures(runs: Sequence[Run]) -> Iterator[str]:
    there = {path.stem: (run, path) for run in reversed(runs) for path in run.figures}
    for name in WORTH:
        if name in there:
            run, path = there[name]
            yield f"![{name}](get-artifact?path={path}&run_uuid={run.id})\n"
