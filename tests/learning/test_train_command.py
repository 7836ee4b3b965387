from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from progrec import content
from progrec.learning import job as jobs
from progrec.learning import train
from progrec.learning.bundle import Bundle
from said import untimed

if TYPE_CHECKING:
    from conftest import Project


def test_the_command_says_what_it_has_made_and_nothing_else(
    trained: subprocess.CompletedProcess[str], project: Project
) -> None:
    digest = content.digest(project.folder / "artifacts/model")

    said = untimed(trained.stdout)
    assert said == f"train: 24 users, 12 items, 2 epochs tried; bundle {digest}\n"
    assert trained.stderr == ""


def test_the_run_says_what_was_trained_and_how(
    trained: subprocess.CompletedProcess[str], project: Project
) -> None:
    (run,) = project.runs("train", f"tags.bundle_digest = '{_digest(trained.stdout)}'")

    assert run.info.status == "FINISHED"
    settings = "trainer=smoke trainer.threads=1 model.factors=4 model.layers=[4,3]"
    assert run.info.run_name == f"hybrid {settings}, up to 2020-01-31"
    assert "git_commit" in run.data.tags
    assert "mlflow.parentRunId" not in run.data.tags
    assert run.data.params["model.factors"] == "4"
    assert run.data.params["loss.event_weights.purchase"] == "1.0"
    assert not {"data", "out", "curve"} & set(run.data.params)
    assert {"seed", "trainer.max_epochs", "optimizer.table_rate"} <= set(run.data.params)


def test_the_run_has_every_epochs_figures(
    trained: subprocess.CompletedProcess[str], project: Project
) -> None:
    (run,) = project.runs("train", f"tags.bundle_digest = '{_digest(trained.stdout)}'")
    curve = pd.read_csv(project.folder / "reports/training.csv")

    for name in ("loss", "ndcg@20", "recall@20", "hr@10", "mrr", "coverage@20"):
        logged = f"towers/{name.replace('@', '_at_')}"
        history = project.client.get_metric_history(run.info.run_id, logged)
        # The towers rank before their first epoch, too: they start from least squares.
        first = 1 if name == "loss" else 0
        assert [metric.step for metric in history] == [0, 1, 2][first:]
        assert [metric.value for metric in history] == pytest.approx(curve[name].tolist()[first:])
    assert curve["epoch"].tolist() == [0, 1, 2]
    assert curve["ndcg@20"][0] > 0
    assert run.data.metrics["epochs"] in {0, 1, 2}


def test_the_run_has_pictures_of_the_training_and_of_the_data(
    trained: subprocess.CompletedProcess[str], project: Project
) -> None:
    (run,) = project.runs("train", f"tags.bundle_digest = '{_digest(trained.stdout)}'")

    pictures = project.client.list_artifacts(run.info.run_id, "figures")
    # Evaluation adds its own.
    names = {Path(picture.path).stem for picture in pictures}
    assert {"amounts", "interactions", "training"} <= names


def test_the_run_names_its_data_by_their_hash(
    trained: subprocess.CompletedProcess[str], project: Project
) -> None:
    (run,) = project.runs("train", f"tags.bundle_digest = '{_digest(trained.stdout)}'")

    (given,) = run.inputs.dataset_inputs
    history = "artifacts/features/history/enriched"
    assert given.dataset.name == "history"
    assert given.dataset.digest == content.digest(project.folder / history)
    assert json.loads(given.dataset.source) == {"uri": history}


def test_the_logged_model_answers_its_own_example(
    trained: subprocess.CompletedProcess[str], project: Project
) -> None:
    import mlflow

    (run,) = project.runs("train", f"tags.bundle_digest = '{_digest(trained.stdout)}'")
    (logged,) = project.client.search_logged_models([run.info.experiment_id])
    model = mlflow.pyfunc.load_model(logged.artifact_location)

    answer = model.predict(model.input_example)

    assert model.metadata.signature.inputs.input_names() == ["user_id", "product_id"]
    assert model.metadata.signature.outputs.input_names() == ["purchase_probability"]
    bundle = Bundle.load(project.folder / "artifacts/model")
    users, items = model.input_example.T.to_numpy()
    expected = [
        bundle.scores([u])[0, bundle.item_row[i]] for u, i in zip(users, items, strict=True)
    ]
    assert len(expected) == 3
    np.testing.assert_allclose(answer["purchase_probability"], expected, rtol=1e-5)
    assert isinstance(answer, pd.DataFrame)


def test_a_sweeps_jobs_are_runs_under_a_parent_and_write_to_its_folder_only(
    trained: subprocess.CompletedProcess[str], project: Project
) -> None:
    stage = [project.folder / "artifacts/model", project.folder / "reports"]
    before = [content.digest(path) for path in stage]

    done = project.run(
        "progrec.learning.train", "-m", "model.factors=2,3", "model.layers=[4,3]", "trainer=smoke"
    )

    (sweep,) = (project.folder / "artifacts/sweeps").iterdir()
    (parent,) = project.runs("sweep", f"tags.sweep = 'train {sweep.name}'")
    made = project.runs("sweep", f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert [content.digest(path) for path in stage] == before
    assert done.stderr == ""
    assert done.stdout.count("epochs tried; bundle") == 2
    assert parent.info.run_name == f"train {sweep.name}"
    assert {job.info.run_name for job in made} == {
        f"hybrid model.factors={n} model.layers=[4,3] trainer=smoke, up to 2020-01-31"
        for n in (2, 3)
    }
    for number, factors in enumerate((2, 3)):
        bundle = Bundle.load(sweep / str(number) / "model")
        (job,) = (job for job in made if job.data.params["model.factors"] == str(factors))
        assert bundle.network.config.factors == factors
        assert job.data.tags["bundle_digest"] == bundle.digest
        assert "validation/ndcg_at_20" in job.data.metrics
        assert len(pd.read_csv(sweep / str(number) / "training.csv")) == 3


def test_a_run_that_breaks_is_marked_and_ends_in_one_line(
    trained: subprocess.CompletedProcess[str],
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr("sys.argv", ["train", "data=nowhere"])

    with pytest.raises(SystemExit) as end:
        jobs.composed("train", train._run)

    assert end.value.code == 1
    assert capsys.readouterr().err == (
        "error: nowhere/enriched holds no events; run the pipeline: `dvc repro`\n"
    )
    run = project.runs("train")[0]
    assert (run.info.run_name, run.info.status) == ("hybrid data=nowhere", "FAILED")


def _digest(output: str) -> str:
    (digest,) = re.findall(r"bundle (\w{32}\.dir)", output)
    return digest
