from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from progrec import report
from progrec.errors import InputError


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    return tmp_path / "metrics.json"


def lines(metrics: Path) -> list[str]:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(report.table(metrics))
    return captured.get().splitlines()


def figures(ndcg: float, coverage: float) -> dict[str, object]:
    """What the stage writes of a model."""
    interval = {"mean": ndcg, "low": ndcg - 0.0172, "high": ndcg + 0.0172}
    over_users = dict.fromkeys(("ndcg@20", "recall@20", "hr@10", "mrr"), interval)
    share = {"mean": coverage}
    of_lists = dict.fromkeys(("coverage@20", "gini@20", "long_tail@20"), share)
    return {**over_users, **of_lists, "by_history": {"0": {"users": 7, **over_users}}}


def written(metrics: Path, p: float = 0.0124, baseline: str = "popularity") -> Path:
    difference = {"mean": 0.0825, "low": -0.0005, "high": 0.0994, "p": p}
    values = {
        "users": 1620,
        baseline: figures(0.05, 0.02),
        "ncf": figures(0.13474, 0.90345),
        "difference": {
            "model": "ncf",
            "baseline": baseline,
            "ndcg@20": difference,
            "recall@20": difference,
        },
    }
    metrics.write_text(json.dumps(values))
    return metrics


def test_the_best_model_comes_first(metrics: Path) -> None:
    title, _, names, lengths, _, *rows, _, caption, figure = lines(written(metrics))

    assert title.strip() == ("1,620 users who bought something new after the cutoff; 95 % interval")
    assert names.split() == ["ndcg", "recall", "hr", "coverage", "gini", "tail"]
    assert lengths.split() == [
        "model",
        "@20",
        "95",
        "%",
        "@20",
        "@10",
        "mrr",
        "@20",
        "@20",
        "@20",
    ]
    assert [row.split() for row in rows] == [
        ["ncf", "0.1347", "0.118–0.152", *["0.135"] * 3, *["0.903"] * 3],
        ["popularity", "0.0500", "0.033–0.067", *["0.050"] * 3, *["0.020"] * 3],
    ]
    assert caption.strip() == "ncf less popularity, the best baseline, in ndcg@20:"
    assert figure.strip() == "+0.0825 [-0.001, +0.099], p = 0.012"


def test_a_p_value_too_small_for_its_digits_is_said_to_be_so(metrics: Path) -> None:
    assert lines(written(metrics, p=0.0005))[-1].strip().endswith(", p < 0.001")


def test_eighty_columns_are_enough(metrics: Path) -> None:
    shown = lines(written(metrics, baseline="popularity_of_late"))

    assert max(len(line) for line in shown) <= 80
    assert len(shown) == 10
    assert "popularity_of_late " in shown[6]


def test_a_horizon_without_purchases_is_a_table_without_rows(metrics: Path) -> None:
    metrics.write_text('{"users": 0}')

    assert lines(metrics)[0].strip().endswith("after the cutoff: nothing to measure")
    assert report.table(metrics).row_count == 0


def test_before_the_pipeline_has_run_it_says_what_to_run(metrics: Path) -> None:
    with pytest.raises(InputError, match=r"metrics\.json does not exist; run the pipeline"):
        report.table(metrics)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"users": 3, "ncf": 0.5}', '{"users": 3, "ncf": {"ndcg@20": 0.5}}']
)
def test_what_is_no_metrics_file_is_named(metrics: Path, text: str) -> None:
    metrics.write_text(text)

    with pytest.raises(InputError, match=r"metrics\.json is not what the evaluate stage writes"):
        report.table(metrics)


def test_the_updated_model_is_shown_beside_the_frozen_one(tmp_path: Path) -> None:
    path = tmp_path / "prequential.json"
    path.write_text('{"days": 27, "popularity": 0.05, "updated": 0.3, "frozen": 0.2}')
    console = Console(width=80)

    with console.capture() as captured:
        console.print(report.days(path))

    title, *_, best, second, third, _ = captured.get().splitlines()
    assert title.strip() == "27 days, each foretold before it was learned"
    assert best.split() == ["updated", "0.3000", "+50%"]
    assert second.split() == ["frozen", "0.2000"]
    assert third.split() == ["popularity", "0.0500", "-75%"]


def test_what_is_no_figures_of_days_is_named(tmp_path: Path) -> None:
    (tmp_path / "prequential.json").write_text("[]")

    with pytest.raises(InputError, match=r"prequential\.json is not what the update stage writes"):
        report.days(tmp_path / "prequential.json")


def test_a_log_that_ends_at_the_cutoff_has_no_day_to_show(tmp_path: Path) -> None:
    (tmp_path / "prequential.json").write_text('{"days": 0}')

    assert report.days(tmp_path / "prequential.json").row_count == 0
