"""What docs/data.md promises of versions of the data, of what is made of them, and of a remote."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from progrec import content

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.slow

MADE = ("data", "artifacts/features", "artifacts/model", "artifacts/updated", "reports")
NOTHING_BUT_PUBLISH = "publish:\n\talways changed\n"


def state(project: Project) -> dict[str, str]:
    """The hash of all that is versioned; the registry's answer aside."""
    return {name: content.digest(project.folder / name) for name in MADE}


def add_a_month(project: Project) -> None:
    """December: two days, each like the log's last."""
    lines = (project.folder / "data/events/2019-Nov.csv").read_text().splitlines()
    last = [line for line in lines if line.startswith("2019-11-14")]
    december = [line.replace("2019-11-14", f"2019-12-0{day}") for day in (1, 2) for line in last]
    month = project.folder / "data/events/2019-Dec.csv"
    month.write_text("\n".join([lines[0], *december, ""]))


def learned_up_to(project: Project) -> str:
    provenance = project.folder / "artifacts/updated/provenance.json"
    return json.loads(provenance.read_text())["watermark"]


def standing(project: Project) -> dict[str, str]:
    """The champion's version and, if that is another, the newest, as `progrec report` has them."""
    said = project.run("progrec report")
    return dict(re.findall(r"the (champion|newest) is version (\d+)", said))


def test_last_weeks_data_and_model_come_back_exactly(own: Project) -> None:
    before = state(own)
    own.run("git tag before")
    add_a_month(own)
    own.run("dvc add -q data")
    own.repro()
    own.commit("december")
    after = state(own)
    assert learned_up_to(own) == "2019-12-02"

    own.run("git checkout -q before")
    own.run("dvc checkout -q")

    assert state(own) == before
    assert learned_up_to(own) == "2019-11-14"
    assert own.run("dvc status") == NOTHING_BUT_PUBLISH

    # Nothing is computed, and going back in the data does not change what is served.
    assert own.repro() == ["publish"]
    assert standing(own) == {"champion": "2"}
    own.run("progrec model promote 1")
    assert standing(own) == {"champion": "1", "newest": "2"}

    own.run("git checkout -q --force -")
    own.run("dvc checkout -q --force")
    assert state(own) == after
    assert own.repro() == ["publish"]


def test_a_clone_pulls_what_was_pushed_and_computes_nothing(own: Project, tmp_path: Path) -> None:
    own.run(f"dvc remote add --default folder {tmp_path / 'remote'}")
    own.commit("remote")
    own.run("dvc push -q")
    own.run(f"git clone -q {own.folder} {tmp_path / 'clone'}")
    clone = type(own)(tmp_path / "clone")

    clone.run("dvc pull -q")

    assert state(clone) == state(own)
    assert clone.run("dvc status") == NOTHING_BUT_PUBLISH
    # Its own registry, which knows no version yet, gets the model that was pulled.
    assert clone.repro() == ["publish"]
    assert standing(clone) == {"champion": "1"}
    assert clone.run("git status --porcelain") == ""


def test_an_experiment_is_listed_beside_its_commit_and_publishes_nothing(own: Project) -> None:
    overrides = "trainer=smoke model.factors=8"
    own.run(f"dvc exp run --name narrow -S \"train.overrides='{overrides}'\" evaluate update")

    columns = "Experiment|validation|ndcg@|over_baseline|updated|train.overrides"
    shown = own.run(f"env COLUMNS=120 dvc exp show --no-pager --drop '.*' --keep '{columns}'")

    header = next(line for line in shown.splitlines() if "Experiment" in line)
    # The tiny shop is too short for a validation's figure.
    assert header.split() == [
        *("Experiment", "ndcg@20", "over_baseline", "updated", "train.overrides")
    ]
    assert "[narrow]" in shown
    assert standing(own) == {"champion": "1"}
