from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from progrec.learning import summary

DAY = date(2020, 2, 1)


def model(ndcg: float) -> dict[str, object]:
    """What `reports/metrics.json` holds of a model."""
    interval = {"mean": ndcg, "low": ndcg - 0.1, "high": ndcg + 0.1}
    names = ("ndcg@3", "recall@3", "hr@10", "mrr")
    return {**dict.fromkeys(names, interval), "coverage@3": {"mean": 0.5}, "by_history": {}}


MEASURED = {
    "users": 7,
    "ncf": model(0.4),
    "ease": model(0.25),
    "difference": {"model": "ncf", "baseline": "ease", "ndcg@3": {"mean": 0.15, "p": 0.01}},
}


def test_a_tests_figures_are_the_models_and_its_lead() -> None:
    assert summary.of_test(MEASURED, 3) == {
        "ndcg@3": 0.4,
        "recall@3": 0.4,
        "hr@10": 0.4,
        "coverage@3": 0.5,
        "over_baseline": 0.15,
    }


def test_a_test_of_nobody_has_no_figures() -> None:
    assert summary.of_test({"users": 0}, 3) == {}


def test_each_model_has_a_row_with_its_interval() -> None:
    table = summary.by_model(MEASURED, 3)

    assert table.to_dict("list") == {
        "model": ["ncf", "ease"],
        "ndcg": [0.4, 0.25],
        "low": pytest.approx([0.3, 0.15]),
        "high": pytest.approx([0.5, 0.35]),
    }
    assert list(summary.by_model({"users": 0}, 3)) == ["model", "ndcg", "low", "high"]


def test_the_days_figures_are_means_over_their_users() -> None:
    days = [
        (DAY, 1, {"updated": {"ndcg@3": 0.5}, "frozen": {"ndcg@3": 0.1}}),
        (DAY, 0, {}),
        (DAY, 3, {"updated": {"ndcg@3": 0.1}, "frozen": {"ndcg@3": 0.1}}),
    ]

    assert summary.of_days(days, 3) == {
        "days": 3,
        "updated": pytest.approx(0.2),
        "frozen": pytest.approx(0.1),
    }
    assert summary.of_days([], 3) == {"days": 0}


def test_figures_are_written_to_four_decimals(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "test.json"

    summary.write({"ndcg@3": 0.123456, "days": 27}, path)

    assert path.read_text() == '{\n  "ndcg@3": 0.1235,\n  "days": 27\n}\n'
