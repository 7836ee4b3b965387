"""What learning is tested with: small shops, projects to run commands in, bundles."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure
from omegaconf import DictConfig
from pytorch_lightning.loggers.logger import DummyLogger

from learning.shop import (
    Checkerboard,
    Event,
    cold_model,
    day_of,
    delta_of,
    history_of,
    interactions_of,
)
from progrec.learning import config as configs
from progrec.learning import daily, side, update
from progrec.learning.bundle import Bundle, Provenance
from progrec.learning.config import ModelConfig, NeighboursConfig, TrainConfig, UpdateConfig
from progrec.learning.evidence import Evidence
from progrec.learning.ncf import NCF
from progrec.learning.vocabulary import Vocabulary

ROOT = Path(__file__).parents[2]
if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun


class Recorder:
    """A run that remembers what it is told: each epoch's figures, and the others."""

    def __init__(self) -> None:
        self.epochs: list[tuple[int | None, dict[str, float]]] = []
        self.figures: list[tuple[int, dict[str, float]]] = []
        self.pictures: dict[str, Figure] = {}

    def logger(self) -> DummyLogger:
        return _Epochs(self)

    def log_metrics(self, metrics: dict[str, float], step: int = 0) -> None:
        self.figures.append((step, dict(metrics)))

    def log_figures(self, figures: dict[str, Figure]) -> None:
        self.pictures |= figures


class _Epochs(DummyLogger):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.recorder.epochs.append((step, dict(metrics)))


@pytest.fixture
def interactions() -> Callable[[Sequence[Event]], pd.DataFrame]:
    """Events -> the interaction table."""
    return interactions_of


@pytest.fixture
def tables(tmp_path: Path) -> Callable[..., Path]:
    """History's events -> the folder that the features stage makes of them."""

    def write(events: Sequence[Event], name: str = "features") -> Path:
        return history_of(tmp_path / name, events)

    return write


@pytest.fixture
def deltas(tmp_path: Path) -> Callable[..., Path]:
    """The deltas' events -> the folder that the features stage makes of them."""

    def write(events: Sequence[Event], name: str = "delta") -> Path:
        return delta_of(tmp_path / name, events)

    return write


@pytest.fixture(scope="session")
def checkerboard() -> Checkerboard:
    return Checkerboard()


@pytest.fixture(scope="session")
def checkerboard_tables(
    checkerboard: Checkerboard, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The checkerboard's history, as the features stage writes it."""
    return history_of(tmp_path_factory.mktemp("checkerboard") / "history", checkerboard.events)


@dataclass(frozen=True)
class Project:
    """A folder with the project's settings and a checkerboard's tables, to run commands in."""

    folder: Path

    def run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a module as the pipeline does; it has to succeed."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    @property
    def client(self) -> MlflowClient:
        """MLflow's client of the folder's store."""
        from mlflow import MlflowClient

        return MlflowClient(f"sqlite:///{self.folder / 'mlflow.db'}")

    def runs(self, experiment: str, where: str = "") -> list[MlflowRun]:
        """The runs of an experiment, the newest first."""
        found = self.client.get_experiment_by_name(experiment)
        return list(self.client.search_runs([found.experiment_id], where))


def project_in(folder: Path, history: Sequence[Event], delta: Sequence[Event]) -> Project:
    shutil.copytree(ROOT / "conf", folder / "conf")
    shutil.copy(ROOT / "params.yaml", folder / "params.yaml")
    history_of(folder / "artifacts/features/history", history)
    delta_of(folder / "artifacts/features/delta", delta, history)
    bought = {event[1:3] for event in delta if event[3] == "purchase"}
    targets = pd.DataFrame(sorted(bought), columns=["user_id", "item_id"])
    targets.to_parquet(folder / "artifacts/features/delta/targets.parquet", index=False)
    return Project(folder)


SMALL = ("trainer=smoke", "trainer.threads=1", "model.factors=4", "model.layers=[4,3]")
TOWERS_ALONE = ("model=neumf", "pretraining=none")


@pytest.fixture(scope="session")
def project(checkerboard: Checkerboard, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose users buy the sixth product of their kind after the cutoff."""
    delta = [
        (f"2020-02-0{1 + number % 2}", user, checkerboard.own(user)[5], "purchase")
        for number, user in enumerate(checkerboard.users)
    ]
    return project_in(tmp_path_factory.mktemp("project"), checkerboard.events, delta)


@pytest.fixture(scope="session")
def trained(project: Project) -> subprocess.CompletedProcess[str]:
    """What the train stage printed in the project."""
    return project.run("progrec.learning.train", *SMALL)


@pytest.fixture(scope="session")
def updated(
    project: Project, trained: subprocess.CompletedProcess[str]
) -> subprocess.CompletedProcess[str]:
    """What the update stage printed in the project."""
    return project.run("progrec.learning.update", "trainer.threads=1", "update.epochs=1")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    """Name and overrides -> what Hydra composes from the project's own conf/."""

    def compose_real(name: str, *overrides: str) -> DictConfig:
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return compose(name, overrides=list(overrides))

    return compose_real


@pytest.fixture
def train_config(composed: Callable[..., DictConfig], tmp_path: Path) -> Callable[..., TrainConfig]:
    """Tables and overrides -> the paper's network, shrunk for a shop of a dozen items."""

    def shrunk(data: Path, *overrides: str) -> TrainConfig:
        return configs.train_config(
            composed(
                "train",
                f"data={data}",
                f"out={tmp_path / 'model'}",
                f"curve={tmp_path / 'training.csv'}",
                "trainer.threads=1",
                "optimizer.batch_size=32",
                *TOWERS_ALONE,
                *overrides,
            )
        )

    return shrunk


@pytest.fixture
def update_config(
    composed: Callable[..., DictConfig], tmp_path: Path
) -> Callable[..., UpdateConfig]:
    """Tables, parent and overrides -> the project's configuration of the update."""

    def shrunk(data: Path, parent: Path, *overrides: str) -> UpdateConfig:
        return configs.update_config(
            composed(
                "update",
                f"data={data}",
                f"parent={parent}",
                f"out={tmp_path / 'updated'}",
                f"report={tmp_path / 'prequential.csv'}",
                "trainer.threads=1",
                *overrides,
            )
        )

    return shrunk


@pytest.fixture
def bundle_with_side(bundle: Bundle) -> Bundle:
    """The bundle with a network that is told of users and items, too."""
    features = {
        "users": ("views", "total_spent"),
        "items": ("views", "avg_price"),
        "attributes": ("category", "brand"),
    }
    config = ModelConfig.model_validate(bundle.network.config.model_dump() | {"features": features})
    torch.manual_seed(8)
    network = NCF(3, 4, config, side.codes(bundle.items, config.features.attributes))
    for part in (network.users.side, network.items.side):
        assert part is not None
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter)
        part.fit(torch.rand(part.inputs.shape[0], 2))
    return replace(bundle, network=network.eval())


@pytest.fixture(scope="session")
def cold() -> Bundle:
    """A shop's model that a month of updates can start from, not saved yet."""
    return cold_model()


Updated = Callable[..., Bundle]


@pytest.fixture
def updated_by(
    update_config: Callable[..., UpdateConfig], recorder: Recorder, tmp_path: Path
) -> Updated:
    """Deltas, overrides and a parent -> what the parent becomes, as it then lies on the disk."""

    def run(data: Path, *overrides: str, parent: Path = tmp_path / "model") -> Bundle:
        config = update_config(data, parent, *overrides)
        update.update(config, 20, recorder)
        return Bundle.load(config.out)

    return run


BOUGHT = [
    ("2020-01-05", "ann", "p00", "purchase"),
    ("2020-01-06", "ann", "p01", "purchase"),
    ("2020-01-07", "bob", "p00", "purchase"),
]


@pytest.fixture
def bundle() -> Bundle:
    """Three users and four items that no training has touched, not saved yet."""
    torch.manual_seed(7)
    network = NCF(3, 4, ModelConfig(towers=("gmf", "mlp"), factors=4, layers=(4, 3)))
    users = Vocabulary(np.array(["ann", "bob", "cem"], dtype=object))
    items = Vocabulary(np.array(["p00", "p01", "p02", "p03"], dtype=object))
    day = date(2020, 1, 31)
    return Bundle(
        network.eval(),
        users,
        pd.DataFrame(
            {
                "item_id": items.ids,
                "category": ["kind 0", "kind 1", "kind 0", None],
                "brand": pd.Series([None] * 4, dtype=object),
            }
        ),
        pd.DataFrame(
            {
                "user": np.array([0, 0, 1], np.int64),
                "item": np.array([0, 1, 0], np.int64),
                "date": [date(2020, 1, 5), date(2020, 1, 6), date(2020, 1, 7)],
            }
        ),
        Provenance(
            data_digest="0" * 32 + ".dir",
            config_digest="1" * 64,
            parent_digest=None,
            watermark=day,
        ),
        Evidence.of(interactions_of(BOUGHT), users, items, day),
    )


@pytest.fixture
def bundle_with_fusion(bundle: Bundle) -> Bundle:
    """The bundle with a network that sees what its users have done, too."""
    config = ModelConfig.model_validate(bundle.network.config.model_dump() | {"fusion": (3,)})
    torch.manual_seed(9)
    network = NCF(3, 4, config)
    assert network.fusion is not None
    for parameter in network.fusion.parameters():
        torch.nn.init.normal_(parameter)
    network.fusion.calibration.copy_(torch.tensor([0.5, -1.0]))
    events = [
        *BOUGHT,
        ("2020-01-20", "bob", "p02", "cart"),
        ("2020-01-30", "bob", "p02", "remove_from_cart"),
        ("2020-01-31", "ann", "p03", "view"),
    ]
    day = bundle.provenance.watermark
    known = Evidence.of(interactions_of(events), bundle.users, bundle.vocabulary, day)
    neighbours = NeighboursConfig(regularizations=(1.0,), max_items=4, kept=2)
    return replace(bundle, network=network.eval(), evidence=known.with_neighbours(neighbours))


@pytest.fixture
def saved(bundle: Bundle, tmp_path: Path) -> Path:
    """The folder of a whole bundle."""
    bundle.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def fused(bundle_with_fusion: Bundle, tmp_path: Path) -> Path:
    """The folder of a whole bundle with evidence."""
    bundle_with_fusion.save(tmp_path / "fused")
    return tmp_path / "fused"


@pytest.fixture
def day_config(update_config: Callable[..., UpdateConfig]) -> Callable[..., UpdateConfig]:
    """Overrides -> how a day is learned."""
    return lambda *overrides: update_config(Path("unused"), Path("unused"), *overrides)


@pytest.fixture
def learn(day_config: Callable[..., UpdateConfig]) -> Callable[..., Bundle]:
    """A bundle, a day and overrides -> what it becomes, being the cold model itself."""

    def learned(bundle: Bundle, events: Sequence[Event], *overrides: str) -> Bundle:
        return daily.learn(bundle, day_of(events), bundle.network, day_config(*overrides))[0]

    return learned
