"""MLflow's store, and what a run writes there."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import TYPE_CHECKING

from progrec.settings import RegistrySettings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from pytorch_lightning.loggers import MLFlowLogger

DIGEST = "bundle_digest"
DATA = "data_digest"
FIGURES = "figures"
"""The folder of a run's artifacts that its figures are in."""
REQUIREMENTS = ("torch", "pandas", "pyarrow", "safetensors", "scipy")


class Store:
    """The MLflow store that the settings name.

    MLflow is imported at first use: it takes seconds, and not every command needs it.
    """

    def __init__(self, registry: RegistrySettings) -> None:
        """Takes where the store is, and the registered model's name."""
        self.registry = registry

    @property
    def mlflow(self) -> ModuleType:
        """MLflow itself, on this store."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow  # noqa: PLC0415

        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        # MLflow knows one store at a time; another one may have been named since.
        mlflow.set_tracking_uri(self.registry.tracking_uri)
        return mlflow

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's own client of the store."""
        client: MlflowClient = self.mlflow.MlflowClient(self.registry.tracking_uri)
        return client


@dataclass(frozen=True)
class Run:
    """A run of the store."""

    store: Store
    id: str

    def logger(self) -> MLFlowLogger:
        """Lightning's logger onto this run."""
        from pytorch_lightning.loggers import MLFlowLogger  # noqa: PLC0415

        return MLFlowLogger(
            tracking_uri=self.store.registry.tracking_uri, run_id=self.id, log_model=False
        )

    def rename(self, name: str) -> None:
        """Gives it the name that says what it has become."""
        self.store.client.update_run(self.id, name=name)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Logs what was measured, all at once: each call waits for the disk."""
        metric = self.store.mlflow.entities.Metric
        now = int(time.time() * 1000)
        entities = [metric(loggable(name), value, now, step) for name, value in metrics.items()]
        self.store.client.log_batch(self.id, metrics=entities)

    def log_figures(self, figures: Mapping[str, Figure]) -> None:
        """Keeps pictures with the run: name -> figure, `name.png` among its artifacts."""
        for name, figure in figures.items():
            self.store.client.log_figure(self.id, figure, f"{FIGURES}/{name}.png")

    @property
    def figures(self) -> list[PurePosixPath]:
        """Paths of its pictures among its artifacts."""
        found = self.store.client.list_artifacts(self.id, FIGURES)
        return [PurePosixPath(artifact.path) for artifact in found]

    @property
    def address(self) -> str:
        """Where its page is in MLflow's UI, seen from any other page of it."""
        experiment = self.store.client.get_run(self.id).info.experiment_id
        return f"#/experiments/{experiment}/runs/{self.id}"

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.store.client.get_run(self.id).info.run_name)

    @property
    def tags(self) -> Mapping[str, str]:
        """Its tags."""
        tags: Mapping[str, str] = self.store.client.get_run(self.id).data.tags
        return tags

    def tag(self, key: str, value: str) -> None:
        """Sets a tag."""
        self.store.client.set_tag(self.id, key, value)

    def log_dataset(self, name: str, path: Path, digest: str) -> None:
        """Names a data set as the run's input, by the hash that DVC knows it by."""
        self.tag(DATA, digest)
        mlflow = self.store.mlflow
        source = mlflow.data.sources.LocalArtifactDatasetSource(str(path))
        dataset = mlflow.data.meta_dataset.MetaDataset(source, name=name, digest=digest)
        with mlflow.start_run(run_id=self.id):
            mlflow.log_input(dataset, context="training")

    def log_bundle(
        self, path: Path, digest: str, loader: str, example: pd.DataFrame, answer: pd.DataFrame
    ) -> None:
        """Logs a bundle as a pyfunc model, and the run as its maker.

        Args:
            path: the bundle's folder.
            digest: its digest.
            loader: the module whose `_load_pyfunc` reads it.
            example: input of the model, for the signature.
            answer: what it answers to that.
        """
        mlflow = self.store.mlflow
        from mlflow.models import infer_signature  # noqa: PLC0415

        self.tag(DIGEST, digest)
        with mlflow.start_run(run_id=self.id):
            mlflow.pyfunc.log_model(
                name=self.store.registry.model,
                loader_module=loader,
                data_path=str(path),
                signature=infer_signature(example, answer),
                input_example=example,
                pip_requirements=list(REQUIREMENTS),
                tags={DIGEST: digest},
            )


def loggable(metric: str) -> str:
    """A metric's name as MLflow takes it: ndcg@20 -> ndcg_at_20."""
    return metric.replace("@", "_at_")
