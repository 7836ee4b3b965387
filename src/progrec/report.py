"""The metrics table, as a person reads it."""

from __future__ import annotations

import json
from pathlib import Path

from rich.table import Table

from progrec.errors import InputError


def table(metrics: Path) -> Table:
    """The figures of `reports/metrics.json`: one row a model, the best first.

    Raises:
        InputError: the file is not there, or is not what the evaluate stage writes.
    """
    try:
        return _table(**json.loads(metrics.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{metrics} does not exist; run the pipeline: `dvc repro`") from None
    except (ValueError, TypeError, AttributeError, KeyError):
        raise InputError(
            f"{metrics} is not what the evaluate stage writes; run the pipeline: `dvc repro`"
        ) from None


def _table(*, users: int, **models: dict[str, float]) -> Table:
    names = list(dict.fromkeys(name for figures in models.values() for name in figures))
    title = f"{users:,} users who bought something new after the cutoff"
    if users == 0:
        title = (
            "nobody whom history knows bought something new after the cutoff: nothing to measure"
        )
    shown = Table(title=title, min_width=len(title))
    shown.add_column("model")
    for name in names:
        shown.add_column(name, justify="right")
    for model, figures in sorted(models.items(), key=lambda row: -row[1][names[0]]):
        shown.add_row(model, *(f"{figures[name]:.4f}" for name in names))
    return shown
