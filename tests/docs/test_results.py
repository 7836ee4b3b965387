"""The README's figures are those of the reports."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from documents import ROOT

README = (ROOT / "README.md").read_text()
METRICS: dict[str, Any] = json.loads((ROOT / "reports/metrics.json").read_text())
MODELS = sorted(
    METRICS.keys() - {"users", "difference"},
    key=lambda name: -METRICS[name]["ndcg@20"]["mean"],
)


def short(figure: float, digits: int) -> str:
    return f"{figure:.{digits}f}".removeprefix("0")


@pytest.mark.parametrize("model", MODELS)
def test_a_models_row_is_the_reports(model: str) -> None:
    figures = METRICS[model]
    ndcg = figures["ndcg@20"]
    decisive = f"{short(ndcg['mean'], 4)} ({short(ndcg['low'], 3)}–{short(ndcg['high'], 3)})"
    others = [short(figures[name]["mean"], 3) for name in ("recall@20", "hr@10", "mrr")]
    row = " | ".join([decisive, *others, short(figures["coverage@20"]["mean"], 3)])

    assert re.search(rf"^\| \**{model}\**[^|]* \| {re.escape(row)} \|$", README, re.MULTILINE)


def test_the_best_stands_first() -> None:
    rows = re.findall(r"^\| \**(\w+)\**[^|]* \| \.\d{4} ", README, re.MULTILINE)

    assert rows == MODELS


def test_the_sentences_are_the_reports() -> None:
    difference = METRICS["difference"]["ndcg@20"]
    days = pd.read_csv(ROOT / "reports/prequential.csv")
    means = {
        name: np.average(days[f"{name}/ndcg@20"], weights=days["users"])
        for name in ("frozen", "updated")
    }

    assert f"{METRICS['users']} shoppers" in README
    low, high = (short(difference[end], 3) for end in ("low", "high"))
    assert f"+{short(difference['mean'], 4)} (+{low} to +{high})" in README
    assert f"the {len(days)} days" in README
    assert f"from {short(means['frozen'], 4)} to {short(means['updated'], 4)}" in README
