"""The stages from raw files to feature tables, as dvc.yaml has them."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

from benchmarks.processes import Cost, measured

HISTORY = Path("artifacts/features/history")

_MEASURED = re.compile(r"python -m progrec\.(events\.ingest|features\.\w+)\b")


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline.

    Attributes:
        name: what DVC calls it.
        commands: what it runs, in order.
        outs: the paths that it makes, relative to the project.
    """

    name: str
    commands: tuple[str, ...]
    outs: tuple[Path, ...]

    @property
    def is_ingest(self) -> bool:
        """Whether it reads the raw files."""
        return self.name == "ingest"

    @property
    def is_history(self) -> bool:
        """Whether it makes tables of history."""
        return any(path.is_relative_to(HISTORY) for path in self.outs)


def load(project: Path) -> list[Stage]:
    """Asks DVC for ingest and the feature stages, each after those that it builds on."""
    from dvc.repo import Repo  # noqa: PLC0415 - it is slow, and holds memory (see `aside`)

    with Repo(str(project)) as repo:
        stages = [
            Stage(
                stage.name,
                tuple([stage.cmd] if isinstance(stage.cmd, str) else stage.cmd),
                tuple(Path(out.fs_path).relative_to(project) for out in stage.outs),
            )
            for stage in TopologicalSorter(repo.index.graph.adj).static_order()
            if stage.cmd
        ]
    return [stage for stage in stages if any(map(_MEASURED.search, stage.commands))]


@contextmanager
def workplace(project: Path, data: Path, scratch: Path) -> Iterator[Path]:
    """Makes a folder that stages can run in: the project's settings and a shop's raw files.

    Args:
        project: where `params.yaml` and `conf/` stand.
        data: the shop.
        scratch: the folder, on a disk large enough for all tables, to make it in.

    Yields:
        The folder, removed at the end.
    """
    with tempfile.TemporaryDirectory(prefix="run-", dir=scratch) as name:
        folder = Path(name)
        shutil.copy(project / "params.yaml", folder)
        shutil.copytree(project / "conf", folder / "conf")
        (folder / "data").symlink_to(data.resolve())
        yield folder


def run(stages: Sequence[Stage], folder: Path) -> dict[str, Cost]:
    """Runs stages one after the other and says what each took, by its name."""
    return {stage.name: _run(stage, folder) for stage in stages}


def _run(stage: Stage, folder: Path) -> Cost:
    costs = [measured(command, folder) for command in stage.commands]
    return Cost(sum(cost.seconds for cost in costs), max(cost.rss_mb for cost in costs))
