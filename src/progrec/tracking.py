"""Runs, logged models and registered versions. The only importer of MLflow."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from progrec.settings import RegistrySettings

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion
    from pytorch_lightning.loggers import MLFlowLogger

CHAMPION, CHALLENGER = "champion", "challenger"
DIGEST = "bundle_digest"
ARTIFACTS = "mlruns"
REQUIREMENTS = ("torch", "pandas", "pyarrow", "safetensors", "scipy")


@dataclass(frozen=True)
class Version:
    """A registered version of the model.

    Attributes:
        number: counted from 1 by the registry.
        digest: of its bundle.
        tags: what else is known of it, as of the moment at which it was asked for.
    """

    number: int
    digest: str
    tags: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


class Tracking:
    """The MLflow store that the settings name.

    MLflow is imported at first use: it takes seconds, and not every command needs it.
    """

    def __init__(self, registry: RegistrySettings) -> None:
        """Takes where the store is, and the registered model's name."""
        self.registry = registry

    @contextmanager
    def run(
        self,
        experiment: str,
        name: str,
        *,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        parent: str | None = None,
    ) -> Iterator[Run]:
        """Opens a run, which ends as failed when the body does.

        Args:
            experiment: its experiment; made if there is none of the name.
            name: the run's name.
            params: nested settings; logged flat.
            tags: beside the git commit, which every run has.
            parent: run id of the sweep that it belongs to.
        """
        nesting = {} if parent is None else {"mlflow.parentRunId": parent}
        entity = self.client.create_run(
            self._experiment(experiment),
            run_name=name,
            tags={"git_commit": _git_commit(), **tags, **nesting},
        )
        run = Run(self, entity.info.run_id)
        try:
            for key, value in _flat(params):
                self.client.log_param(run.id, key, value)
            yield run
        except BaseException:
            self.client.set_terminated(run.id, "FAILED")
            raise
        self.client.set_terminated(run.id)

    def find_run(self, digest: str) -> Run | None:
        """The newest run that made a bundle; none if this store has not seen it made."""
        found = self.client.search_runs(
            [experiment.experiment_id for experiment in self.client.search_experiments()],
            filter_string=f"tags.{DIGEST} = '{digest}'",
            max_results=1,
        )
        return Run(self, found[0].info.run_id) if found else None

    def sweep(self, experiment: str, name: str) -> str:
        """Id of the run that a sweep's jobs hang under, made by the first of them."""
        found = self.client.search_runs(
            [self._experiment(experiment)], filter_string=f"tags.sweep = '{name}'", max_results=1
        )
        if found:
            return str(found[0].info.run_id)
        with self.run(experiment, f"sweep {name}", params={}, tags={"sweep": name}) as run:
            return run.id

    def version(self, digest: str) -> Version | None:
        """The registered version of a bundle, if there is one."""
        return next((version for version in self.versions() if version.digest == digest), None)

    def versions(self) -> list[Version]:
        """All registered versions, the newest first."""
        found = self.client.search_model_versions(f"name = '{self.registry.model}'")
        return sorted(map(_version, found), key=lambda version: -version.number)

    def register(self, digest: str) -> Version:
        """Registers the logged model of a bundle; one that is registered already stays as it is.

        Raises:
            LookupError: the store has no logged model of that digest.
        """
        known = self.version(digest)
        if known is not None:
            return known
        model = self.logged_model(digest)
        if model is None:
            raise LookupError(f"no logged model has the digest {digest}")
        self._ensure_registered_model()
        version = self.client.create_model_version(
            self.registry.model,
            f"models:/{model.model_id}",
            run_id=model.source_run_id,
            tags={DIGEST: digest},
            model_id=model.model_id,
        )
        # What MLflow's UI follows from the logged model to the version.
        link = [{"name": version.name, "version": version.version}]
        self.client.set_logged_model_tags(
            model.model_id, {"mlflow.modelVersions": json.dumps(link)}
        )
        return _version(version)

    def logged_model(self, digest: str) -> LoggedModel | None:
        """The logged model of a bundle, if there is one; an upload that broke off is none."""
        found = self.client.search_logged_models(
            [experiment.experiment_id for experiment in self.client.search_experiments()],
            filter_string=f"tags.{DIGEST} = '{digest}'",
        )
        return next((model for model in found if str(model.status) == "READY"), None)

    def champion(self) -> Version | None:
        """The version that is to be served, if there is one."""
        return self.aliased(CHAMPION)

    def aliased(self, alias: str) -> Version | None:
        """The version that an alias names, if it names one."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            return _version(self.client.get_model_version_by_alias(self.registry.model, alias))
        except MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise

    def aliases(self) -> dict[str, int]:
        """Each alias and the number of the version that it names; the model must be registered."""
        model = self.client.get_registered_model(self.registry.model)
        return {alias: int(number) for alias, number in model.aliases.items()}

    def set_alias(self, alias: str, version: Version) -> None:
        """Lets an alias name a version, and no other any more."""
        self.client.set_registered_model_alias(self.registry.model, alias, str(version.number))

    def delete_alias(self, alias: str) -> None:
        """Takes an alias from the version that it names."""
        self.client.delete_registered_model_alias(self.registry.model, alias)

    def tag(self, version: Version, key: str, value: str) -> None:
        """Sets a tag of a version."""
        number = str(version.number)
        self.client.set_model_version_tag(self.registry.model, number, key, value)

    def untag(self, version: Version, key: str) -> None:
        """Takes a tag from a version."""
        self.client.delete_model_version_tag(self.registry.model, str(version.number), key)

    def bundle(self, version: Version) -> Path:
        """The folder that holds a version's bundle, fetched if it is far away.

        Raises:
            LookupError: the store has lost the version's files.
        """
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        name = f"models:/{self.registry.model}/{version.number}"
        try:
            fetched = self._mlflow.artifacts.download_artifacts(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise LookupError(f"the store has lost the files of {name}") from error
            raise
        folders = list(Path(fetched).glob("data/*"))
        if len(folders) != 1:
            raise LookupError(f"the store has lost the files of {name}")
        return folders[0]

    @property
    def _mlflow(self) -> ModuleType:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow  # noqa: PLC0415

        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        # MLflow knows one store at a time; another Tracking may have named another since.
        mlflow.set_tracking_uri(self.registry.tracking_uri)
        return mlflow

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's own client of the store."""
        client: MlflowClient = self._mlflow.MlflowClient(self.registry.tracking_uri)
        return client

    def _ensure_registered_model(self) -> None:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            self.client.create_registered_model(self.registry.model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _experiment(self, name: str) -> str:
        experiment = self.client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        local = self.registry.tracking_uri.startswith("sqlite:")
        place = Path(ARTIFACTS).absolute().as_uri() if local else None
        return str(self.client.create_experiment(name, artifact_location=place))


@dataclass(frozen=True)
class Run:
    """A run of the store."""

    tracking: Tracking
    id: str

    def logger(self) -> MLFlowLogger:
        """Lightning's logger onto this run."""
        from pytorch_lightning.loggers import MLFlowLogger  # noqa: PLC0415

        return MLFlowLogger(
            tracking_uri=self.tracking.registry.tracking_uri, run_id=self.id, log_model=False
        )

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Logs figures."""
        for name, value in metrics.items():
            self.tracking.client.log_metric(self.id, loggable(name), value, step=step)

    def tag(self, key: str, value: str) -> None:
        """Sets a tag."""
        self.tracking.client.set_tag(self.id, key, value)

    def log_dataset(self, name: str, path: Path, digest: str) -> None:
        """Names a data set as the run's input, by the hash that DVC knows it by."""
        self.tag("data_digest", digest)
        mlflow = self.tracking._mlflow
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
        mlflow = self.tracking._mlflow
        from mlflow.models import infer_signature  # noqa: PLC0415

        self.tag(DIGEST, digest)
        with mlflow.start_run(run_id=self.id):
            mlflow.pyfunc.log_model(
                name=self.tracking.registry.model,
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


def _version(entity: ModelVersion) -> Version:
    return Version(int(entity.version), entity.tags.get(DIGEST, ""), entity.tags)


def _flat(nested: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _git_commit() -> str:
    """The commit that the working folder is at; "unknown" outside of git, or without it."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "--verify", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return answer.stdout.strip()
