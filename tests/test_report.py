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
    console = Console(width=100)
    with console.capture() as captured:
        console.print(report.table(metrics))
    return captured.get().splitlines()


def test_the_best_model_comes_first(metrics: Path) -> None:
    popularity = {"ndcg@20": 0.05, "recall@20": 0.1, "hr@20": 0.25, "coverage@20": 0.02}
    ncf = {"ndcg@20": 0.13474, "recall@20": 0.2, "hr@20": 1.0, "coverage@20": 0.90345}
    metrics.write_text(json.dumps({"users": 1620, "popularity": popularity, "ncf": ncf}))

    title, _, header, _, first, second, _ = lines(metrics)

    assert title.strip() == "1,620 users who bought something new after the cutoff"
    assert header.split("┃")[1:-1] == [
        " model      ",
        " ndcg@20 ",
        " recall@20 ",
        "  hr@20 ",
        " coverage@20 ",
    ]
    assert first.split("│")[1:-1] == [
        " ncf        ",
        "  0.1347 ",
        "    0.2000 ",
        " 1.0000 ",
        "      0.9034 ",
    ]
    assert second.split("│")[1:-1] == [
        " popularity ",
        "  0.0500 ",
        "    0.1000 ",
        " 0.2500 ",
        "      0.0200 ",
    ]


def test_a_horizon_without_purchases_is_a_table_without_rows(metrics: Path) -> None:
    metrics.write_text('{"users": 0}')

    assert lines(metrics)[0].strip().endswith("after the cutoff: nothing to measure")
    assert report.table(metrics).row_count == 0


def test_before_the_pipeline_has_run_it_says_what_to_run(metrics: Path) -> None:
    with pytest.raises(InputError, match=r"metrics\.json does not exist; run the pipeline"):
        report.table(metrics)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"users": 3, "ncf": 0.5}'])
def test_what_is_no_metrics_file_is_named(metrics: Path, text: str) -> None:
    metrics.write_text(text)

    with pytest.raises(InputError, match=r"metrics\.json is not what the evaluate stage writes"):
        report.table(metrics)
