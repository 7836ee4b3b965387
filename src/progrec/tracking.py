"""Experiments, logged models and registered versions in MLflow's store."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from progrec.runs import DIGEST, Run, Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
BASELINES, TRAIN, SWEEP, UPDATE = "baselines", "train", "sweep", "update"
PURPOSES = {
    BASELINES: "What the model has to beat: one run a baseline, measured on the same task.",
    TRAIN: "Cold models, from history. `validation/ndcg_at_20` says which setting is best.",
    SWEEP: "Trials of settings, each sweep under one run. Choose its runs and press Compare: "
    "`validation/ndcg_at_20` says which setting is best.",
    UPDATE: "Models that have learned each later day; a step of their curves is a day.",
}
"""Experiment -> what it is for, as MLflow shows it."""
ARTIFACTS = "mlruns"
FROM_DVC = {"dvc_stage": "DVC_STAGE", "dvc_experiment": "DVC_EXP_NAME"}
"""Tag of a run -> the variable that DVC sets in what it runs."""
PARENT = "mlflow.parentRunId"


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


class Tracking(Store):
    """Runs by their experiments and by what they made, and the registered model."""

    @contextmanager
    def run(
        self,
        experiment: str,
        name: str,
        *,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        parent: Run | None = None,
    ) -> Iterator[Run]:
        """Opens a run, which ends as failed when the body does.

        Args:
            experiment: its experiment; made if there is none of the name.
            name: the run's name.
            params: nested settings; logged flat, and those that are set to nothing left out.
            tags: beside the git commit, which every run has, and what DVC says of itself.
            parent: the run that made what it starts from, or of the sweep that it belongs to.
        """
        nesting = {} if parent is None else {PARENT: parent.id}
        entity = self.client.create_run(
            self._experiment(experiment),
            run_name=name,
            tags={"git_commit": _git_commit(), **_dvc(), **tags, **nesting},
        )
        run = Run(self, entity.info.run_id)
        try:
            entities = [self.mlflow.entities.Param(*pair) for pair in _flat(params)]
            self.client.log_batch(run.id, params=entities)
            yield run
        except BaseException:
            self.client.set_terminated(run.id, "FAILED")
            raise
        self.client.set_terminated(run.id)

    def find_run(self, digest: str) -> Run | None:
        """The newest run that made a bundle; none if this store has not seen it made.

        A sweep's is the last resort: one of its settings may be the pipeline's own.
        """
        experiments = {each.experiment_id: each.name for each in self.client.search_experiments()}
        found = self.client.search_runs(list(experiments), f"tags.{DIGEST} = '{digest}'")
        trials_last = sorted(found, key=lambda run: experiments[run.info.experiment_id] == SWEEP)
        return Run(self, trials_last[0].info.run_id) if found else None

    def lineage(self, digest: str) -> list[Run]:
        """The run that made a bundle, the one that made what it started from, and so on."""
        run, found = self.find_run(digest), []
        while run is not None:
            found.append(run)
            parent = run.tags.get(PARENT)
            run = None if parent is None else Run(self, parent)
        return found

    def sweep(self, experiment: str, name: str) -> Run:
        """The run that a sweep's jobs hang under, made by the first of them."""
        found = self.client.search_runs(
            [self._experiment(experiment)], filter_string=f"tags.sweep = '{name}'", max_results=1
        )
        if found:
            return Run(self, found[0].info.run_id)
        with self.run(experiment, name, params={}, tags={"sweep": name}) as run:
            return run

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

    def describe(self, version: Version, text: str) -> None:
        """Sets a version's description, in Markdown."""
        number = str(version.number)
        self.client.update_model_version(self.registry.model, number, description=text)

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
            fetched = self.mlflow.artifacts.download_artifacts(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise LookupError(f"the store has lost the files of {name}") from error
            raise
        folders = list(Path(fetched).glob("data/*"))
        if len(folders) != 1:
            raise LookupError(f"the store has lost the files of {name}")
        return folders[0]

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
        # Of this kind MLflow shows what belongs to models, and no prompts, traces or judges.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        if name in PURPOSES:
            tags["mlflow.note.content"] = PURPOSES[name]
        return str(self.client.create_experiment(name, artifact_location=place, tags=tags))


def _version(entity: ModelVersion) -> Version:
    return Version(int(entity.version), entity.tags.get(DIGEST, ""), entity.tags)


def _flat(nested: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif value not in (None, [], ""):
            yield f"{prefix}{key}", str(value)


def _dvc() -> dict[str, str]:
    return {tag: os.environ[name] for tag, name in FROM_DVC.items() if name in os.environ}


def _git_commit() -> str:
    """The commit that the working folder is at; "unknown" outside of git, or without it."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "--verify", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return answer.stdout.strip()
