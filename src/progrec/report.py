"""The metrics table, as a person reads it."""

from __future__ import annotations

import json
from pathlib import Path

from rich.table import Table

from progrec.errors import InputError


def table(metrics: Path) -> Table:
    """The figures of `reports/metrics.json`: one row a model, the best first.

    Raises:
        InputError: the file is not there.
    """
    try:
        content = json.loads(metrics.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{metrics} does not exist; run the pipeline: `dvc repro`") from None
    users = content.pop("users")
    names = list(dict.fromkeys(name for figures in content.values() for name in figures))
    shown = Table(title=f"{users:,} users who bought something new after the cutoff")
    shown.add_column("model")
    for name in names:
        shown.add_column(name, justify="right")
    ranked = sorted(content.items(), key=lambda row: -row[1][names[0]] if row[1] else 0)
    for model, figures in ranked:
        shown.add_row(model, *(f"{figures[name]:.4f}" for name in names))
    return shown
