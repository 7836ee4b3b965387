from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from progrec.learning import config as configs
from progrec.learning import job as jobs
from progrec.learning.job import Job

ROOT = Path(__file__).parents[2]

Composed = Callable[..., DictConfig]


@pytest.fixture
def job_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Job]:
    """A stage, the group of its preset and arguments -> the job that Hydra runs."""
    monkeypatch.chdir(ROOT)

    def run(stage: str, group: str, *arguments: str) -> Job:
        seen: list[Job] = []
        monkeypatch.setattr("sys.argv", [stage, *arguments])
        jobs.composed(stage, lambda _: seen.append(Job.current(group)))
        (job,) = seen
        return job

    return run


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((), "hybrid"),
        (("model=gmf",), "gmf"),
        (("model.layers=[8,4]", "model=mlp", "seed=1"), "mlp model.layers=[8,4] seed=1"),
        (("experiment=paper",), "neumf experiment=paper"),
    ],
)
def test_a_job_is_named_by_its_preset_and_what_differs(
    job_of: Callable[..., Job], arguments: tuple[str, ...], name: str
) -> None:
    job = job_of("train", "model", *arguments)

    assert job.name == name
    assert (job.sweep, job.folder) == (None, None)


def test_an_update_is_named_by_its_own_preset(job_of: Callable[..., Job]) -> None:
    assert job_of("update", "update", "update.epochs=1").name == "daily update.epochs=1"


def test_a_sweeps_job_knows_its_sweep_and_its_folder(
    job_of: Callable[..., Job], tmp_path: Path
) -> None:
    job = job_of("train", "model", "-m", "seed=3", f"hydra.sweep.dir={tmp_path / 'today'}")

    assert job == Job("hybrid", ("seed=3",), "today", tmp_path / "today/0")


def test_a_job_of_its_own_writes_where_the_stage_does(composed: Composed) -> None:
    config = configs.train_config(composed("train"))

    assert Job("hybrid", ("seed=1",)).placed(config) is config


def test_a_sweeps_job_writes_all_its_outputs_to_its_folder(composed: Composed) -> None:
    job = Job("hybrid", ("seed=1",), sweep="today", folder=Path("/sweeps/today/3"))
    config = configs.train_config(composed("train"))

    placed = job.placed(config)

    assert placed.out == Path("/sweeps/today/3/model")
    assert placed.curve == Path("/sweeps/today/3/training.csv")
    assert placed == config.model_copy(update={"out": placed.out, "curve": placed.curve})
    updated = job.placed(configs.update_config(composed("update")))
    assert updated.out == Path("/sweeps/today/3/updated")
    assert updated.report == Path("/sweeps/today/3/prequential.csv")
    assert updated.parent == Path("artifacts/model")
