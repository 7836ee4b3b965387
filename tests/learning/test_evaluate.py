from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch

from progrec.learning import evaluate, evaluation
from progrec.learning.bundle import Bundle

if TYPE_CHECKING:
    from conftest import Project

PROJECTS_LENGTH = 20  # evaluate.k in params.yaml


def targets(*pairs: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["user_id", "item_id"], dtype=object)


def figures(table: pd.DataFrame, model: str, k: int) -> dict[str, float]:
    (row,) = table[(table["model"] == model) & (table["k"] == k)].to_dict("records")
    return {name: row[name] for name in ("ndcg", "recall", "hr", "coverage")}


def test_popularity_by_hand(bundle: Bundle) -> None:
    # ann has p00 and p01: she is shown p02, then p03. bob has p00: he is shown p01, then p02.
    n_users, table = evaluate.evaluate(bundle, targets(("ann", "p03"), ("bob", "p01")), 2)

    assert n_users == 2
    assert figures(table, "popularity", 1) == {
        "ndcg": 0.5,
        "recall": 0.5,
        "hr": 0.5,
        "coverage": 0.5,
    }
    assert figures(table, "popularity", 2) == pytest.approx(
        {"ndcg": (1 / math.log2(3) + 1) / 2, "recall": 1, "hr": 1, "coverage": 0.75}
    )


def test_the_network_ranks_by_its_probabilities(bundle: Bundle) -> None:
    scores = bundle.scores(["cem"])[0]
    best = bundle.item_ids[int(np.argmax(scores))]
    worst = bundle.item_ids[int(np.argmin(scores))]

    _, right = evaluate.evaluate(bundle, targets(("cem", best)), 1)
    _, wrong = evaluate.evaluate(bundle, targets(("cem", worst)), 3)

    assert figures(right, "ncf", 1)["ndcg"] == 1
    assert figures(wrong, "ncf", 3)["hr"] == 0


def test_users_and_items_that_the_model_cannot_know_do_not_count(bundle: Bundle) -> None:
    known = targets(("ann", "p03"), ("bob", "p01"))
    strangers = targets(("zoe", "p00"), ("ann", "p99"), ("zoe", "p99"))

    n_users, table = evaluate.evaluate(bundle, pd.concat([known, strangers]), 2)

    assert n_users == 2
    pd.testing.assert_frame_equal(table, evaluate.evaluate(bundle, known, 2)[1])


def test_what_was_bought_before_the_watermark_is_no_target(bundle: Bundle) -> None:
    n_users, table = evaluate.evaluate(bundle, targets(("ann", "p00"), ("ann", "p01")), 2)

    assert n_users == 0
    assert len(table) == 0
    assert list(table) == ["model", *evaluation.COLUMNS]


def test_each_model_has_a_row_for_each_length(bundle: Bundle) -> None:
    _, table = evaluate.evaluate(bundle, targets(("ann", "p03")), 3)

    assert table[["model", "k"]].to_numpy().tolist() == [
        [model, k] for model in ("ncf", "popularity") for k in (1, 2, 3)
    ]


def test_a_broken_network_is_not_measured(bundle: Bundle) -> None:
    with torch.no_grad():
        bundle.network.output.bias.fill_(torch.nan)

    with pytest.raises(ValueError, match="a score is NaN"):
        evaluate.evaluate(bundle, targets(("ann", "p03")), 2)


# The command


class Stage:
    """The evaluate stage's files."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self.metrics = folder / "metrics.json"
        self.curve = folder / "ranking.csv"

    def run(self, targets: Path) -> dict[str, object]:
        """Measures the project's trained model; what it wrote."""
        model = self.project.folder / "artifacts/model"
        evaluate.main(bundle=model, targets=targets, metrics=self.metrics, curve=self.curve)
        return json.loads(self.metrics.read_text())


@pytest.fixture
def stage(
    trained: subprocess.CompletedProcess[str],
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    monkeypatch.chdir(project.folder)
    return Stage(project, tmp_path)


def test_the_figures_go_to_the_reports_and_to_the_models_run(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    written = stage.run(stage.project.folder / "artifacts/features/delta/targets.parquet")

    names = {f"{name}@{PROJECTS_LENGTH}" for name in ("ndcg", "recall", "hr", "coverage")}
    curve = pd.read_csv(stage.curve)
    assert capsys.readouterr().out == "evaluate: 24 users bought something new in the horizon\n"
    assert list(written) == ["users", "ncf", "popularity"]
    assert written["users"] == 24
    # The catalogue has 12 products: the figures at 20 are those of the longest list there is.
    assert set(written["ncf"]) == set(written["popularity"]) == names
    assert list(curve) == ["model", *evaluation.COLUMNS]
    assert curve["k"].tolist() == [*range(1, 13)] * 2
    for model in ("ncf", "popularity"):
        last = curve[curve["model"] == model].iloc[-1]
        assert written[model]["ndcg@20"] == pytest.approx(last["ndcg"])
        assert written[model]["recall@20"] == 1
    digest = Bundle.load(stage.project.folder / "artifacts/model").digest
    (run,) = stage.project.runs("train", f"tags.bundle_digest = '{digest}'")
    for model in ("ncf", "popularity"):
        assert run.data.metrics[f"test/{model}/ndcg_at_20"] == written[model]["ndcg@20"]


def test_a_horizon_without_purchases_is_no_failure(stage: Stage, tmp_path: Path) -> None:
    targets().to_parquet(tmp_path / "targets.parquet", index=False)

    assert stage.run(tmp_path / "targets.parquet") == {"users": 0}
    assert stage.curve.read_text() == "model,k,ndcg,recall,hr,coverage\n"


def test_missing_targets_end_in_one_line(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        stage.run(tmp_path / "nowhere.parquet")

    assert end.value.code == 1
    assert "nowhere.parquet does not exist; run the pipeline" in capsys.readouterr().err
    assert not stage.metrics.exists()
