from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from progrec.settings import RegistrySettings
from progrec.tracking import Tracking, loggable


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


def test_a_run_has_its_settings_flat(tracking: Tracking, experiment: str) -> None:
    params = {"seed": 0, "model": {"factors": 8, "layers": [4, 3]}, "loss": {"weights": {"a": 1.0}}}

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


def test_a_sweeps_jobs_share_one_parent(tracking: Tracking, experiment: str) -> None:
    first, again = (tracking.sweep(experiment, "today") for _ in range(2))
    other = tracking.sweep(experiment, "tomorrow")

    with tracking.run(experiment, "job", params={}, tags={}, parent=first) as run:
        pass

    assert first == again != other
    assert tracking.client.get_run(run.id).data.tags["mlflow.parentRunId"] == first
    assert tracking.client.get_run(first).info.run_name == "sweep today"


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
