"""What a run of the pipeline has come to, as a person reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from progrec.errors import InputError

Figure = Mapping[str, float]


def table(metrics: Path) -> Table:
    """The figures of `reports/metrics.json`: one row a model, the best first.

    Raises:
        InputError: the file is not there, or is not what the evaluate stage writes.
    """
    return _of_report(metrics, "evaluate", _table)


def days(prequential: Path) -> Table:
    """The figures of `reports/prequential.json`: the updated model against the frozen one.

    Raises:
        InputError: the file is not there, or is not what the update stage writes.
    """
    return _of_report(prequential, "update", _days)


def _of_report(path: Path, stage: str, table_of: Callable[..., Table]) -> Table:
    try:
        return table_of(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run the pipeline: `dvc repro`") from None
    except (ValueError, TypeError, AttributeError, KeyError):
        raise InputError(
            f"{path} is not what the {stage} stage writes; run the pipeline: `dvc repro`"
        ) from None


def _table(
    *,
    users: int,
    difference: Mapping[str, Any] | None = None,
    **models: Mapping[str, Figure],
) -> Table:
    title = f"{users:,} users who bought something new after the cutoff; 95 % interval"
    if users == 0:
        title = "nobody in history bought something new after the cutoff: nothing to measure"
    rows = {
        model: {name: figure for name, figure in figures.items() if "mean" in figure}
        for model, figures in models.items()
    }
    names = list(dict.fromkeys(name for figures in rows.values() for name in figures))
    caption = _sentence(names[0], **difference) if difference else None
    shown = Table(
        title=title,
        caption=caption,
        min_width=len(title),
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    shown.add_column("model", no_wrap=True)
    for name in names:
        header = name.replace("@", "\n@").replace("long_", "")
        shown.add_column(header, justify="right", no_wrap=True)
        if name == names[0]:
            shown.add_column("95 %", justify="right", no_wrap=True)
    for model, figures in sorted(rows.items(), key=lambda row: -row[1][names[0]]["mean"]):
        decisive, *others = (figures[name] for name in names)
        shown.add_row(model, *_with_bounds(decisive), *(f"{other['mean']:.3f}" for other in others))
    return shown


def _days(*, days: int, **models: float) -> Table:
    shown = Table(
        title=f" {days} days, each foretold before it was learned",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    shown.add_column("model", no_wrap=True, min_width=18)
    shown.add_column("ndcg", justify="right")
    shown.add_column("against frozen", justify="right", min_width=18)
    frozen = models.get("frozen", 0.0)
    for model, ndcg in sorted(models.items(), key=lambda row: -row[1]):
        change = f"{ndcg / frozen - 1:+.0%}" if frozen and model != "frozen" else ""
        shown.add_row(model, f"{ndcg:.4f}", change)
    return shown


def _with_bounds(figure: Figure) -> tuple[str, str]:
    """The figure that decides, and its interval: 80 columns do not hold those of all."""
    return f"{figure['mean']:.4f}", f"{figure['low']:.3f}–{figure['high']:.3f}"


def _sentence(metric: str, *, model: str, baseline: str, **figures: Figure) -> str:
    figure = figures[metric]
    p = f"p = {figure['p']:.3f}" if figure["p"] >= 0.001 else "p < 0.001"
    return (
        f"{model} less {baseline}, the best baseline, in {metric}:\n{figure['mean']:+.4f} "
        f"[{figure['low']:+.3f}, {figure['high']:+.3f}], {p}"
    )
