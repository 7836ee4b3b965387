from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from progrec.runs import loggable
from progrec.settings import RegistrySettings
from progrec.tracking import BASELINES, PURPOSES, SWEEP, TRAIN, UPDATE, Tracking


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store that the tests share; each has an experiment of its own."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def tracking(store: Path, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    monkeypatch.chdir(store)
    return Tracking(
        RegistrySettings(tracking_uri=f"sqlite:///{store / 'mlflow.db'}", model="progrec")
    )


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> str:
    return request.node.name


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A git repository with nothing in it yet, as the working folder."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    return tmp_path


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_run_has_its_settings_flat_and_none_that_is_set_to_nothing(
    tracking: Tracking, experiment: str
) -> None:
    params = {
        "seed": 0,
        "model": {"factors": 8, "layers": [4, 3], "features": {"users": []}},
        "loss": {"weights": {"a": 1.0}, "half_life": None},
    }

    with tracking.run(experiment, "one", params=params, tags={"kind": "test"}) as run:
        pass

    entity = tracking.client.get_run(run.id)
    assert entity.info.run_name == "one"
    assert entity.info.status == "FINISHED"
    assert entity.data.params == {
        "seed": "0",
        "model.factors": "8",
        "model.layers": "[4, 3]",
        "loss.weights.a": "1.0",
    }
    assert entity.data.tags["kind"] == "test"


def test_a_run_whose_body_fails_is_marked_failed(tracking: Tracking, experiment: str) -> None:
    with pytest.raises(KeyboardInterrupt), tracking.run(experiment, "x", params={}, tags={}) as run:
        raise KeyboardInterrupt

    assert tracking.client.get_run(run.id).info.status == "FAILED"


def test_a_run_whose_settings_cannot_be_logged_is_marked_failed(
    tracking: Tracking, experiment: str
) -> None:
    with (
        pytest.raises(Exception, match="Invalid"),
        tracking.run(experiment, "x", params={"what?!": 1}, tags={}),
    ):
        pass

    found = tracking.client.get_experiment_by_name(experiment)
    (run,) = tracking.client.search_runs([found.experiment_id])
    assert run.info.status == "FAILED"


def test_a_run_names_the_commit_that_it_ran_at(
    tracking: Tracking, experiment: str, repository: Path
) -> None:
    git("commit", "--allow-empty", "--message", "first", "--quiet")

    with tracking.run(experiment, "x", params={}, tags={}) as run:
        pass

    assert tracking.client.get_run(run.id).data.tags["git_commit"] == git("rev-parse", "HEAD")


def test_a_run_names_the_stage_and_the_experiment_that_dvc_runs(
    tracking: Tracking, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STAGE", "train")
    monkeypatch.setenv("DVC_EXP_NAME", "blunt-axe")
    with tracking.run(experiment, "x", params={}, tags={}) as within:
        pass
    monkeypatch.delenv("DVC_STAGE")
    monkeypatch.delenv("DVC_EXP_NAME")
    with tracking.run(experiment, "x", params={}, tags={}) as without:
        pass

    assert within.tags["dvc_stage"] == "train"
    assert within.tags["dvc_experiment"] == "blunt-axe"
    assert not {"dvc_stage", "dvc_experiment"} & set(without.tags)


@pytest.mark.parametrize("purpose", [BASELINES, TRAIN, SWEEP, UPDATE])
def test_an_experiment_says_what_it_is_for(tracking: Tracking, purpose: str) -> None:
    with tracking.run(purpose, "x", params={}, tags={}):
        pass

    tags = tracking.client.get_experiment_by_name(purpose).tags
    assert tags["mlflow.note.content"] == PURPOSES[purpose]
    assert tags["mlflow.experimentKind"] == "custom_model_development"


def test_before_the_first_commit_the_commit_is_unknown(
    tracking: Tracking, experiment: str, repository: Path
) -> None:
    with tracking.run(experiment, "x", params={}, tags={}) as run:
        pass

    assert tracking.client.get_run(run.id).data.tags["git_commit"] == "unknown"


def test_without_git_the_commit_is_unknown(
    tracking: Tracking, experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with tracking.run(experiment, "x", params={}, tags={}) as run:
        pass

    assert tracking.client.get_run(run.id).data.tags["git_commit"] == "unknown"


def test_figures_keep_their_steps(tracking: Tracking, experiment: str) -> None:
    with tracking.run(experiment, "x", params={}, tags={}) as run:
        for step, value in enumerate((0.5, 0.25)):
            run.log_metrics({"ndcg@20": value}, step=step)
        run.log_metrics({"users": 3})

    history = tracking.client.get_metric_history(run.id, "ndcg_at_20")
    assert [(metric.step, metric.value) for metric in history] == [(0, 0.5), (1, 0.25)]
    assert tracking.client.get_run(run.id).data.metrics["users"] == 3


@pytest.mark.parametrize(
    ("metric", "name"), [("ndcg@20", "ndcg_at_20"), ("loss", "loss"), ("test/a@1", "test/a_at_1")]
)
def test_a_metrics_name_is_one_that_mlflow_takes(metric: str, name: str) -> None:
    assert loggable(metric) == name


def test_lightnings_logger_writes_to_the_run(tracking: Tracking, experiment: str) -> None:
    with tracking.run(experiment, "x", params={}, tags={}) as run:
        run.logger().log_metrics({"loss": 0.5}, step=1)

    found = tracking.client.get_experiment_by_name(experiment)
    (only,) = tracking.client.search_runs([found.experiment_id])
    assert only.info.run_id == run.id
    assert only.data.metrics == {"loss": 0.5}


def test_figures_are_artifacts_by_their_names(tracking: Tracking, experiment: str) -> None:
    from matplotlib.figure import Figure

    with tracking.run(experiment, "x", params={}, tags={}) as run:
        run.log_figures({"days": Figure(), "baselines": Figure()})

    paths = run.figures
    assert [path.as_posix() for path in paths] == ["figures/baselines.png", "figures/days.png"]
    for path in paths:
        assert Path(tracking.client.download_artifacts(run.id, str(path))).stat().st_size > 0


def test_a_run_without_figures_has_none(tracking: Tracking, experiment: str) -> None:
    with tracking.run(experiment, "x", params={}, tags={}) as run:
        pass

    assert run.figures == []


def test_a_run_may_be_named_by_what_it_has_become(tracking: Tracking, experiment: str) -> None:
    with tracking.run(experiment, "hybrid", params={}, tags={}) as run:
        run.rename("hybrid, up to 2020-01-31")

    assert run.name == "hybrid, up to 2020-01-31"


def test_the_page_of_a_run_is_found_from_any_other(tracking: Tracking, experiment: str) -> None:
    with tracking.run(experiment, "x", params={}, tags={}) as run:
        pass

    number = tracking.client.get_experiment_by_name(experiment).experiment_id
    assert run.address == f"#/experiments/{number}/runs/{run.id}"


def test_a_dataset_is_an_input_by_its_digest(
    tracking: Tracking, experiment: str, tmp_path: Path
) -> None:
    digest = "d" * 32 + ".dir"

    with tracking.run(experiment, "x", params={}, tags={}) as run:
        run.log_dataset("history", tmp_path, digest)

    (given,) = tracking.client.get_run(run.id).inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("history", digest)


def test_the_run_that_made_a_bundle_is_found_by_its_digest(
    tracking: Tracking, experiment: str
) -> None:
    for digest in ("aaa", "bbb"):
        with tracking.run(experiment, digest, params={}, tags={"bundle_digest": digest}) as run:
            pass

    assert tracking.find_run("bbb") == run
    assert tracking.find_run("ccc") is None


def test_of_two_runs_that_made_it_the_newer_is_found(tracking: Tracking, experiment: str) -> None:
    for _ in range(2):
        with tracking.run(experiment, "x", params={}, tags={"bundle_digest": "twice"}) as run:
            pass

    assert tracking.find_run("twice") == run


def test_a_trial_of_a_sweep_gives_way_to_the_pipelines_run(tracking: Tracking) -> None:
    made = {}
    for experiment in (TRAIN, SWEEP):
        with tracking.run(experiment, "x", params={}, tags={"bundle_digest": "both"}) as run:
            made[experiment] = run
    with tracking.run(SWEEP, "x", params={}, tags={"bundle_digest": "tried"}) as tried:
        pass

    assert tracking.find_run("both") == made[TRAIN]
    assert tracking.find_run("tried") == tried


def test_lineage_goes_from_a_run_to_the_first(tracking: Tracking, experiment: str) -> None:
    with tracking.run(experiment, "cold", params={}, tags={}) as cold:
        pass
    tags = {"bundle_digest": "grown"}
    with tracking.run(experiment, "grown", params={}, tags=tags, parent=cold) as grown:
        pass

    assert tracking.lineage("grown") == [grown, cold]
    assert tracking.lineage("never made") == []


def test_a_sweeps_jobs_share_one_parent(tracking: Tracking, experiment: str) -> None:
    first, again = (tracking.sweep(experiment, "today") for _ in range(2))
    other = tracking.sweep(experiment, "tomorrow")

    with tracking.run(experiment, "job", params={}, tags={}, parent=first) as run:
        pass

    assert first == again != other
    assert run.tags["mlflow.parentRunId"] == first.id
    assert first.name == "today"


def test_what_was_never_logged_cannot_be_registered(tracking: Tracking) -> None:
    with pytest.raises(LookupError, match="no logged model has the digest zzz"):
        tracking.register("zzz")

    assert tracking.version("zzz") is None
    assert tracking.champion() is None


def test_artifacts_of_a_local_store_lie_in_the_working_folder(
    tracking: Tracking, experiment: str, store: Path
) -> None:
    with tracking.run(experiment, "x", params={}, tags={}) as run:
        pass

    uri = tracking.client.get_run(run.id).info.artifact_uri
    assert uri.startswith((store / "mlruns").as_uri())


def test_two_stores_in_one_process_keep_apart(
    tracking: Tracking, experiment: str, tmp_path: Path
) -> None:
    other = Tracking(
        RegistrySettings(tracking_uri=f"sqlite:///{tmp_path / 'other.db'}", model="progrec")
    )
    with tracking.run(experiment, "x", params={}, tags={}) as run:
        assert other.find_run("aaa") is None  # the other store is in use since
        run.log_dataset("history", tmp_path, "e" * 36)

    assert len(tracking.client.get_run(run.id).inputs.dataset_inputs) == 1
    assert not math.isnan(tracking.client.get_run(run.id).info.end_time)
