"""The whole pipeline on a tiny shop, through DVC itself.

The tests share one project and each leaves it as it found it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from progrec.learning import dataset, side

if TYPE_CHECKING:
    from conftest import Project

AFTER_THE_MODEL = ["evaluate", "update", "publish"]
STEPS = ("enrich", "sessions", "profiles", "interactions", "features")
OF_THE_DELTAS = [f"{step}-delta" for step in STEPS]
OF_HISTORY = [f"{step}-history" for step in STEPS]


@contextmanager
def edited(project: Project, file: str, old: str, new: str) -> Iterator[None]:
    with project.restored():
        project.edit(file, old, new)
        yield
        project.edit(file, new, old)


def test_every_report_is_there_and_adds_up(project: Project) -> None:
    rows = json.loads((project.folder / "reports/ingest.json").read_text())["rows"]
    metrics = json.loads((project.folder / "reports/metrics.json").read_text())

    assert rows["read"] == rows["kept"] + rows["duplicates"] + rows["quarantined"]
    assert metrics["users"] > 0
    for model in ("ncf", "popularity"):
        means = [figure["mean"] for figure in metrics[model].values() if "mean" in figure]
        assert len(means) == 7
        assert all(0 <= mean <= 1 for mean in means)


def test_learning_sums_up_what_the_feature_tables_say(project: Project) -> None:
    history = project.folder / "artifacts/features/history"
    interactions = dataset.read_interactions(history / "enriched")

    for totals, name in (
        (side.user_totals(interactions), "user_features"),
        (side.item_totals(interactions), "item_features"),
    ):
        table = pd.read_parquet(history / f"{name}.parquet").set_index(totals.index.name)
        pd.testing.assert_frame_equal(
            totals, table[list(totals)], check_dtype=False, rtol=1e-12, check_index_type=False
        )


def test_a_second_run_does_nothing_but_publish(project: Project) -> None:
    project.repro()
    before = project.lock()

    output = project.run("dvc repro")

    assert output.count("Running stage") == 1
    assert "nothing to do" in output
    assert "sync: 0 purchases are new" in output
    assert project.lock() == before


@pytest.mark.slow
def test_all_over_again_gives_the_same_hashes(project: Project) -> None:
    before = project.lock()

    stages = project.repro("--force")

    features = [*OF_HISTORY, *OF_THE_DELTAS, "targets"]
    assert sorted(stages) == sorted(["ingest", *features, "train", *AFTER_THE_MODEL])
    assert project.lock() == before


def test_an_edited_model_setting_trains_again_and_prepares_nothing(project: Project) -> None:
    with edited(project, "conf/model/hybrid.yaml", "factors: 64", "factors: 8"):
        assert project.repro() == ["train", *AFTER_THE_MODEL]


@pytest.mark.slow
def test_an_edited_update_setting_updates_again_and_trains_nothing(project: Project) -> None:
    with edited(project, "conf/update/daily.yaml", "epochs: 3", "epochs: 1"):
        assert project.repro() == ["update", "publish"]


def test_an_edited_queue_rule_only_publishes(project: Project) -> None:
    with edited(project, "params.yaml", "cart: 3", "cart: 4"):
        assert project.repro() == ["publish"]


@pytest.mark.slow
def test_an_edited_gap_makes_sessions_anew_and_trains_nothing(project: Project) -> None:
    with edited(project, "params.yaml", "gap_minutes: 30", "gap_minutes: 1"):
        stages = project.repro()

    assert sorted(set(stages) - {"publish"}) == [
        f"{step}-{part}" for step in ("profiles", "sessions") for part in ("delta", "history")
    ]


@pytest.mark.slow
def test_an_edited_weight_makes_the_matrix_anew_and_trains_nothing(project: Project) -> None:
    with edited(project, "params.yaml", "click: 0.2", "click: 0.3"):
        stages = project.repro()

    assert sorted(stages) == ["interactions-delta", "interactions-history", "publish"]


def test_a_new_day_reaches_the_update_and_trains_nothing(project: Project) -> None:
    with project.restored():
        trained = project.lock()["train"]
        day = project.folder / "data/events/new-day.csv"
        header, event = _last_event(project)
        day.write_text(f"{header}\n2019-12-01 10:00:00 UTC{event}\n")

        stages = project.repro()

        provenance = json.loads((project.folder / "artifacts/updated/provenance.json").read_text())
        assert sorted(stages) == sorted(["ingest", *OF_THE_DELTAS, "targets", "update", "publish"])
        assert project.lock()["train"] == trained
        assert provenance["watermark"] == "2019-12-01"


def test_batch_recommendations_hold_nothing_that_was_bought(project: Project) -> None:
    project.run("progrec recommend --users all --k 10 --out recs.parquet")

    recs = pd.read_parquet(project.folder / "recs.parquet")
    with sqlite3.connect(project.folder / "recommendation.db") as database:
        bought = set(database.execute("select user_id, product_id from purchases"))
    assert list(recs.columns) == ["user_id", "rank", "product_id", "score", "source"]
    assert recs.groupby("user_id").size().max() == 10
    assert len(bought) > 0
    assert bought.isdisjoint(zip(recs["user_id"], recs["product_id"], strict=True))


def test_a_named_bundle_leaves_out_what_was_bought_before_it_was_made(project: Project) -> None:
    users = project.folder / "users.txt"
    users.write_text("a stranger\n\n")

    options = f"--users {users} --k 5 --bundle artifacts/model --out few.parquet"
    project.run(f"progrec recommend {options}")

    recs = pd.read_parquet(project.folder / "few.parquet")
    assert recs["user_id"].tolist() == ["a stranger"] * 5
    assert recs["rank"].tolist() == [1, 2, 3, 4, 5]
    assert set(recs["source"]) == {"popular"}


def test_git_sees_no_file_that_the_pipeline_left_behind(project: Project) -> None:
    status = project.run("git status --porcelain").splitlines()

    seen = {Path(line[3:]).parts[0] for line in status}
    assert seen <= {"dvc.lock", "reports", "recs.parquet", "few.parquet", "users.txt"}


def _last_event(project: Project) -> tuple[str, str]:
    """The header of the log, and its last row less the time."""
    lines = (project.folder / "data/events/2019-Oct.csv").read_text().splitlines()
    return lines[0], lines[-1].removeprefix(lines[-1].split(",")[0])
