"""The sample shop's version in data.dvc is what the documented command makes."""

from __future__ import annotations

from pathlib import Path

import yaml
from typer.testing import CliRunner

from progrec import content
from progrec.cli import app

ROOT = Path(__file__).parents[2]


def test_the_simulate_command_makes_the_bytes_that_data_dvc_names(tmp_path: Path) -> None:
    out = tmp_path / "data"
    sizes = {"users": 5000, "products": 1200, "events": 300000, "days": 150, "seed": 0}
    options = [text for name, size in sizes.items() for text in (f"--{name}", str(size))]

    result = CliRunner().invoke(app, ["simulate", "--out", str(out), *options])

    assert result.exit_code == 0
    (tracked,) = yaml.safe_load((ROOT / "data.dvc").read_text())["outs"]
    assert content.digest(out) == tracked["md5"]
