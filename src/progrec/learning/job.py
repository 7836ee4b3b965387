"""What Hydra runs: a stage, or one of a sweep's jobs."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from progrec.learning import config as configs
from progrec.learning.config import OUTPUTS, Stage
from progrec.runs import Run
from progrec.tracking import SWEEP, Tracking


@dataclass(frozen=True)
class Job:
    """What a stage's command runs: the stage itself, or one of a sweep's jobs.

    Attributes:
        preset: the file of conf/ that says most of it, such as `hybrid`.
        overrides: the other settings that the command line gives it; may be empty.
        sweep: the sweep's name, if it is a sweep's.
        folder: where its outputs go then.
    """

    preset: str
    overrides: tuple[str, ...] = ()
    sweep: str | None = None
    folder: Path | None = None

    @classmethod
    def current(cls, group: str) -> Job:
        """The one that Hydra is running; its preset is of that group of conf/."""
        hydra_config = HydraConfig.get()
        preset = hydra_config.runtime.choices[group]
        given = tuple(hydra_config.overrides.task)
        overrides = tuple(each for each in given if each != f"{group}={preset}")
        if hydra_config.mode is not RunMode.MULTIRUN:
            return cls(preset, overrides)
        return cls(
            preset,
            overrides,
            Path(hydra_config.sweep.dir).name,
            Path(hydra_config.runtime.output_dir),
        )

    @property
    def name(self) -> str:
        """The preset and what differs from it: `hybrid model.factors=8`."""
        return " ".join([self.preset, *self.overrides])

    def placed(self, config: Stage) -> Stage:
        """The configuration with its outputs where the job's go."""
        if self.folder is None:
            return config
        outputs = [name for name in OUTPUTS if name in type(config).model_fields]
        return config.model_copy(
            update={name: self.folder / getattr(config, name).name for name in outputs}
        )

    def run(
        self, tracking: Tracking, experiment: str, config: Stage, parent: Run | None = None
    ) -> AbstractContextManager[Run]:
        """Opens the job's run.

        Args:
            tracking: the store.
            experiment: the stage's; a sweep's jobs go to that of the sweeps, under the sweep's run.
            config: what the run's parameters say.
            parent: the run that made what the stage starts from.
        """
        if self.sweep is not None:
            parent = tracking.sweep(SWEEP, f"{experiment} {self.sweep}")
            experiment = SWEEP
        return tracking.run(
            experiment, self.name, params=configs.decisive(config), tags={}, parent=parent
        )


def composed(name: str, task: Callable[[DictConfig], object]) -> None:
    """Runs a task on the configuration of that name, composed from conf/ and the command line.

    conf/ is the one of the folder that the command runs in, as with params.yaml and dvc.yaml.
    """
    folder = str(Path("conf").absolute())
    try:
        hydra.main(version_base="1.3", config_path=folder, config_name=name)(task)()
    except SystemExit as end:
        # Hydra has said which key of an override it does not know, not which is meant.
        sys.stderr.write(_nearest(end.__context__))
        raise


def _nearest(error: BaseException | None) -> str:
    """The line that names the likeliest key, when an unknown one in an override is the error."""
    cause = error.__cause__ if error else None
    if not isinstance(cause, ConfigAttributeError | ConfigKeyError) or cause.parent_node is None:
        return ""
    near = difflib.get_close_matches(str(cause.key), list(cause.parent_node), n=1, cutoff=0)
    return f"{cause.full_key}: unknown key; did you mean {near[0]}?\n" if near else ""
