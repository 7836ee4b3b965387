from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

from progrec import content
from progrec.learning import evaluate, evaluation
from progrec.learning.baselines import Popularity
from progrec.learning.bundle import Bundle
from progrec.learning.evaluation import Scorer
from said import untimed

if TYPE_CHECKING:
    from conftest import Project

PROJECTS_LENGTH = 20  # evaluate.k in params.yaml
MODELS = ("ncf", "popularity", "decayed_popularity", "item_knn", "ease", "ials", "bpr")


def targets(*pairs: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["user_id", "item_id"], dtype=object)


def scorers(bundle: Bundle) -> dict[str, Scorer]:
    popularity = Popularity(bundle.popularity.astype(np.float32))
    return {"ncf": evaluate.Model(bundle), "popularity": popularity}


def measured(
    bundle: Bundle, targets: pd.DataFrame, k: int, new: tuple[bool, ...] = (False,) * 4
) -> tuple[dict[str, Any], pd.DataFrame]:
    """What the stage makes of a bundle."""
    return evaluate.evaluate(
        scorers(bundle),
        evaluate.task_of(bundle, targets),
        k,
        histories=np.diff(bundle.bought.indptr),
        new=np.array(new),
        purchases=bundle.popularity,
    )[:2]


def row(table: pd.DataFrame, model: str, k: int) -> dict[str, float]:
    (found,) = table[(table["model"] == model) & (table["k"] == k)].to_dict("records")
    return {name: found[name] for name in ("ndcg", "recall", "hr", "coverage")}


def means(figures: dict[str, Any]) -> dict[str, float]:
    return {name: figure["mean"] for name, figure in figures.items() if "mean" in figure}


def test_popularity_by_hand(bundle: Bundle) -> None:
    # ann has p00 and p01: p02 and p03, which nobody has bought, are equal.
    # bob has p00: he is shown p01, then one of these.
    figures, table = measured(bundle, targets(("ann", "p03"), ("bob", "p01")), 2)

    second = 1 / math.log2(3)
    assert figures["users"] == 2
    assert row(table, "popularity", 1) == {
        "ndcg": 0.75,
        "recall": 0.75,
        "hr": 0.75,
        "coverage": 0.5,
    }
    assert row(table, "popularity", 2) == pytest.approx(
        {"ndcg": ((1 + second) / 2 + 1) / 2, "recall": 1, "hr": 1, "coverage": 0.75}
    )
    assert means(figures["popularity"]) == pytest.approx(
        {
            "ndcg@2": ((1 + second) / 2 + 1) / 2,
            "recall@2": 1,
            "hr@10": 1,
            "mrr": (3 / 4 + 1) / 2,
            "coverage@2": 0.75,
            # The lists are p02, p03 and p01, p02: the shares 0, 1/4, 1/4, 1/2.
            "gini@2": (-1 / 4 + 1 / 4 + 3 / 2) / 3,
            # p00 alone has 2 of the 3 purchases, p00 and p01 have all.
            "long_tail@2": 3 / 4,
        }
    )


def test_means_over_users_have_intervals_and_figures_of_lists_have_none(bundle: Bundle) -> None:
    figures, _ = measured(bundle, targets(("ann", "p03"), ("bob", "p01")), 2)

    popularity = figures["popularity"]
    for name in ("ndcg@2", "recall@2", "hr@10", "mrr"):
        assert set(popularity[name]) == {"mean", "low", "high"}
    for name in ("coverage@2", "gini@2", "long_tail@2"):
        assert set(popularity[name]) == {"mean"}
    # Of two users, one is drawn twice in half of the resamples.
    assert popularity["mrr"] == pytest.approx({"mean": 7 / 8, "low": 3 / 4, "high": 1})


def test_each_length_of_history_is_measured_by_itself(bundle: Bundle) -> None:
    # ann had bought two products, bob one, and cem none.
    shoppers = (("ann", "p03"), ("bob", "p01"), ("cem", "p00"))
    figures, _ = measured(bundle, targets(*shoppers), 2)

    groups = figures["popularity"]["by_history"]
    assert {name: group["users"] for name, group in groups.items()} == {"0": 1, "1-4": 2}
    assert means({name: groups["0"][name] for name in ("ndcg@2", "mrr")}) == {
        "ndcg@2": 1,
        "mrr": 1,
    }
    without_cem, _ = measured(bundle, targets(*shoppers[:2]), 2)
    assert groups["1-4"].pop("users") == 2
    assert groups["1-4"] == {
        name: figure for name, figure in without_cem["popularity"].items() if name != "by_history"
    }


@pytest.mark.parametrize(
    ("length", "group"),
    [(0, "0"), (1, "1-4"), (4, "1-4"), (5, "5-19"), (19, "5-19"), (20, "20+"), (900, "20+")],
)
def test_where_a_history_belongs(bundle: Bundle, length: int, group: str) -> None:
    figures, *_ = evaluate.evaluate(
        scorers(bundle),
        evaluate.task_of(bundle, targets(("cem", "p00"))),
        2,
        histories=np.array([0, 0, length]),
        new=np.zeros(4, bool),
        purchases=bundle.popularity,
    )

    ncf = figures["ncf"]
    assert isinstance(ncf, dict)
    assert list(ncf["by_history"]) == [group]


def test_new_products_are_measured_as_the_only_targets(bundle: Bundle) -> None:
    bought = targets(("cem", "p00"), ("cem", "p01"), ("bob", "p02"))
    figures, _ = measured(bundle, bought, 2, new=(False, True, False, True))

    new = figures["popularity"]["new_products"]
    assert new.pop("users") == 1
    # cem is shown p00 and then p01.
    assert means(new) == pytest.approx(
        {"ndcg@2": 1 / math.log2(3), "recall@2": 1, "hr@10": 1, "mrr": 1 / 2}
    )


def test_where_nobody_buys_what_is_new_there_is_nothing_to_say_of_it(bundle: Bundle) -> None:
    figures, _ = measured(bundle, targets(("ann", "p03")), 2, new=(True, True, True, False))

    assert "new_products" not in figures["popularity"]


class Fixed:
    """The same scores for everyone."""

    def __init__(self, *scores: float) -> None:
        self.line = np.array(scores, np.float32)

    def scores(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return np.tile(self.line, (len(users), 1))


def test_the_model_is_compared_with_the_best_baseline(bundle: Bundle) -> None:
    # cem is the only shopper; the product stands first, second and third.
    figures, *_ = evaluate.evaluate(
        {"ncf": Fixed(9, 3, 2, 1), "bad": Fixed(7, 8, 9, 1), "good": Fixed(8, 9, 2, 1)},
        evaluate.task_of(bundle, targets(("cem", "p00"))),
        3,
        histories=np.zeros(3, np.int64),
        new=np.zeros(4, bool),
        purchases=bundle.popularity,
    )

    difference = figures["difference"]
    assert isinstance(difference, dict)
    assert list(figures) == ["users", "ncf", "bad", "good", "difference"]
    assert (difference.pop("model"), difference.pop("baseline")) == ("ncf", "good")
    assert list(difference) == ["ndcg@3", "recall@3", "hr@10", "mrr"]
    second = pytest.approx(1 - 1 / math.log2(3))
    assert {name: difference["ndcg@3"][name] for name in ("mean", "low", "high")} == {
        "mean": second,
        "low": second,
        "high": second,
    }
    assert difference["recall@3"] == {"mean": 0, "low": 0, "high": 0, "p": 1}


def test_the_network_ranks_by_its_probabilities(bundle: Bundle) -> None:
    scores = bundle.scores(["cem"])[0]
    best = bundle.item_ids[int(np.argmax(scores))]
    worst = bundle.item_ids[int(np.argmin(scores))]

    _, right = measured(bundle, targets(("cem", best)), 1)
    _, wrong = measured(bundle, targets(("cem", worst)), 3)

    assert row(right, "ncf", 1)["ndcg"] == 1
    assert row(wrong, "ncf", 3)["hr"] == 0


def test_users_and_items_that_the_model_cannot_know_do_not_count(bundle: Bundle) -> None:
    known = targets(("ann", "p03"), ("bob", "p01"))
    strangers = targets(("zoe", "p00"), ("ann", "p99"), ("zoe", "p99"))

    figures, table = measured(bundle, pd.concat([known, strangers]), 2)

    assert figures["users"] == 2
    assert figures == measured(bundle, known, 2)[0]
    pd.testing.assert_frame_equal(table, measured(bundle, known, 2)[1])


def test_what_was_bought_before_the_watermark_is_no_target(bundle: Bundle) -> None:
    figures, table = measured(bundle, targets(("ann", "p00"), ("ann", "p01")), 2)

    assert figures == {"users": 0}
    assert len(table) == 0
    assert list(table) == ["model", *evaluation.COLUMNS]


def test_each_model_has_a_row_for_each_length(bundle: Bundle) -> None:
    _, table = measured(bundle, targets(("ann", "p03")), 3)

    assert table[["model", "k"]].to_numpy().tolist() == [
        [model, k] for model in ("ncf", "popularity") for k in (1, 2, 3)
    ]


def test_a_broken_network_is_not_measured(bundle: Bundle) -> None:
    with torch.no_grad():
        bundle.network.output.bias.fill_(torch.nan)

    with pytest.raises(ValueError, match="a score is NaN"):
        measured(bundle, targets(("ann", "p03")), 2)


# The command


class Stage:
    """The evaluate stage's files."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self.reports = folder
        self.metrics = folder / "metrics.json"
        self.curve = folder / "ranking.csv"
        self.shown = folder / "shown.parquet"

    def run(self, targets: Path) -> dict[str, Any]:
        """Measures the project's trained model; what it wrote."""
        model = self.project.folder / "artifacts/model"
        history = self.project.folder / "artifacts/features/history"
        evaluate.main(
            bundle=model, history=history, targets=targets, reports=self.reports, shown=self.shown
        )
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

    of_k = ("ndcg", "recall", "coverage", "gini", "long_tail")
    names = {"hr@10", "mrr", *(f"{name}@{PROJECTS_LENGTH}" for name in of_k)}
    curve = pd.read_csv(stage.curve)
    said = untimed(capsys.readouterr().out)
    assert said == "evaluate: 24 users bought something new in the horizon\n"
    assert list(written) == ["users", *MODELS, "difference"]
    assert written["users"] == 24
    # The catalogue has 12 products: the figures at 20 are those of the longest list there is.
    for model in MODELS:
        # A product of the targets was first seen in the days that validate.
        assert set(written[model]) - {"new_products"} == {*names, "by_history"}
    assert list(written["ncf"]["by_history"]) == ["5-19"]  # five products each
    assert written["difference"]["baseline"] in MODELS[1:]
    assert list(curve) == ["model", *evaluation.COLUMNS]
    assert curve["k"].tolist() == [*range(1, 13)] * len(MODELS)
    for model in MODELS:
        last = curve[curve["model"] == model].iloc[-1]
        assert written[model]["ndcg@20"]["mean"] == pytest.approx(last["ndcg"])
        assert written[model]["recall@20"] == {"mean": 1, "low": 1, "high": 1}
    digest = Bundle.load(stage.project.folder / "artifacts/model").digest
    (run,) = stage.project.runs("train", f"tags.bundle_digest = '{digest}'")
    runs = {"ncf": run} | {
        model: stage.project.runs("baselines", f"params.baseline = '{model}'")[0]
        for model in MODELS[1:]
    }
    for model, its_run in runs.items():
        logged = its_run.data.metrics
        assert {name: value for name, value in logged.items() if name[:5] == "test/"} == {
            f"test/{name.replace('@', '_at_')}": written[model][name]["mean"] for name in names
        }


def test_a_baselines_run_is_named_by_its_settings_and_names_its_data(stage: Stage) -> None:
    stage.run(stage.project.folder / "artifacts/features/delta/targets.parquet")

    data = content.digest(stage.project.folder / "artifacts/features/history/enriched")
    runs = stage.project.runs("baselines")[: len(MODELS) - 1]
    for run in runs:
        params = dict(run.data.params)
        names = [param for param in params if f" {param}={params[param]}" in run.info.run_name]
        assert run.info.run_name.startswith(params["baseline"])
        assert run.info.run_name.endswith(", up to 2020-01-31")
        # Of what is the same in all candidates the name says nothing.
        assert not {"factors", "epochs", "iterations", "batch_size"} & set(names)
        assert bool(names) == (params["baseline"] != "popularity")
        assert [given.dataset.digest for given in run.inputs.dataset_inputs] == [data]
        assert run.data.tags["data_digest"] == data


def test_in_how_many_lists_each_product_is_goes_to_a_table_and_into_a_picture(
    stage: Stage,
) -> None:
    stage.run(stage.project.folder / "artifacts/features/delta/targets.parquet")

    shown = pd.read_parquet(stage.shown)
    bundle = Bundle.load(stage.project.folder / "artifacts/model")
    assert list(shown) == ["item_id", "purchases", *MODELS]
    assert shown["item_id"].tolist() == list(bundle.item_ids)
    assert shown["purchases"].tolist() == bundle.popularity.tolist()
    # Lists of 20 hold all of the 12 products but the 5 that each of the 24 users has.
    assert (shown[[*MODELS]].sum() == 24 * 7).all()
    assert (shown["ncf"] + shown["purchases"] == 24).all()
    (run,) = stage.project.runs("train", f"tags.bundle_digest = '{bundle.digest}'")
    pictures = stage.project.client.list_artifacts(run.info.run_id, "figures")
    assert {"baselines", "history_lengths", "popularity", "reliability"} <= {
        Path(picture.path).stem for picture in pictures
    }


def test_whether_the_probabilities_came_true_is_reported(stage: Stage) -> None:
    stage.run(stage.project.folder / "artifacts/features/delta/targets.parquet")

    errors = json.loads((stage.reports / "calibration.json").read_text())
    diagram = pd.read_csv(stage.reports / "reliability.csv")
    assert errors["users"] == 24
    assert 0 <= errors["ece_all"] <= 1
    # Each of 24 users has bought 5 of 12 products, and buys one of the other 7 next.
    assert diagram["pairs"].sum() == 24 * 7
    assert (diagram["observed"] * diagram["pairs"]).sum() == pytest.approx(24)


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
