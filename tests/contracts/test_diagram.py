"""The diagram in docs/data.md is the pipeline's, less the arrows that follow from others."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

Arrow = tuple[str, str]


@pytest.fixture(scope="module")
def drawn() -> set[Arrow]:
    """The diagram's arrows."""
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", (ROOT / "docs/data.md").read_text(), re.S)
    rows = (line.strip().split(" --> ") for line in diagram.splitlines())
    return {arrow for row in rows for arrow in pairwise(row)}


@pytest.fixture(scope="module")
def needed() -> dict[str, set[str]]:
    """Of each stage, those whose outputs it reads."""
    maker = {
        (out if isinstance(out, str) else next(iter(out))): name
        for name, stage in STAGES.items()
        for out in stage["outs"]
    }
    maker["data"] = "data"
    return {
        name: {maker[path] for path in stage["deps"] if path in maker}
        for name, stage in STAGES.items()
    }


def before(stage: str, needed: dict[str, set[str]]) -> set[str]:
    """All that a stage needs, near or far."""
    near = needed.get(stage, set())
    return near.union(*(before(other, needed) for other in near))


def test_the_diagram_has_the_arrows_that_follow_from_no_others(
    drawn: set[Arrow], needed: dict[str, set[str]]
) -> None:
    assert drawn == {
        (near, stage)
        for stage, all_near in needed.items()
        for near in all_near
        if not any(near in before(other, needed) for other in all_near)
    }


def test_the_diagram_has_every_stage(drawn: set[Arrow]) -> None:
    assert {stage for arrow in drawn for stage in arrow} == {"data", *STAGES}
