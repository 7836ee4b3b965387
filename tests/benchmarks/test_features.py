from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import pipeline, shops
from benchmarks.features import PROJECT, exponent
from benchmarks.processes import aside, measured
from benchmarks.shops import Size


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_is_the_power_of_an_exact_law(power: float) -> None:
    sizes = [2_000_000, 5_000_000, 20_700_000]
    assert exponent(sizes, [3e-6 * size**power for size in sizes]) == pytest.approx(power)


def test_the_exponent_is_the_slope_of_least_squares() -> None:
    # At log2 = 0, 1, 2 the heights 0, 2, 2: the line that fits best rises by 1.
    assert exponent([1, 2, 4], [1, 4, 4]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("events", "sizes"),
    [
        (20_700_000, [2_000_000, 5_000_000, 20_700_000]),
        (207_000, [20_000, 50_000, 207_000]),
        (20_000, [1_932, 4_831, 20_000]),
    ],
)
def test_smaller_shops_stand_in_the_same_proportion(events: int, sizes: list[int]) -> None:
    assert shops.growing(events) == sizes


@pytest.mark.parametrize(
    ("events", "users"),
    [(20_700_000, 1_640_000), (2_000_000, 158_454), (20_000, 1_585), (1_000, 100)],
)
def test_users_are_in_proportion_to_events(events: int, users: int) -> None:
    assert Size.of(events) == Size(events, users, products=54_000, days=150, seed=0)


def test_a_shop_is_made_once(tmp_path: Path) -> None:
    size = Size(events=500, users=100, products=50, days=3)
    log = shops.cached(size, tmp_path) / "events/2019-Oct.csv"
    assert len(log.read_text().splitlines()) == 1 + size.events
    log.write_text("kept")
    assert shops.cached(size, tmp_path) == log.parents[1]
    assert log.read_text() == "kept"


def test_stages_are_those_of_dvc_in_order() -> None:
    stages = aside(pipeline.load, PROJECT)
    assert stages[0].is_ingest
    assert any(stage.is_history for stage in stages)
    assert not all(stage.is_history for stage in stages[1:])  # the deltas' are among them, too
    commands = [command for stage in stages for command in stage.commands]
    assert not any("${" in command or "learning" in command for command in commands)
    made = {Path("data")}
    for stage in stages:
        words = {Path(word) for command in stage.commands for word in command.split()}
        assert not {out for other in stages for out in other.outs} & words - made - {*stage.outs}
        made.update(stage.outs)


def test_work_aside_leaves_stdout_alone(capfd: pytest.CaptureFixture[str]) -> None:
    aside(os.write, 1, b"progress")
    assert capfd.readouterr() == ("", "progress")


def test_a_process_is_measured_by_itself(tmp_path: Path) -> None:
    cost = measured(
        [sys.executable, "-c", "import time; time.sleep(0.2); bytearray(10**8)"], tmp_path
    )
    assert cost.seconds >= 0.2
    assert cost.rss_mb >= 10**8 / 1024**2


def test_a_command_that_fails_stops_the_benchmark(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError, match="status 3"):
        measured("exit 3", tmp_path)


@pytest.mark.slow
def test_it_prints_one_json_object(tmp_path: Path) -> None:
    options = ["--events", "20000", "--pandas", "--cache", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.features", *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report) == {
        "ratio",
        "peak_rss_mb",
        "exponent",
        "scan_seconds",
        "stages",
        "pandas_ratio",
    }
    assert report["ratio"] * report["scan_seconds"] == pytest.approx(sum(report["stages"].values()))
    assert "ingest" in report["stages"]
    assert not list(tmp_path.glob("run-*"))  # what was made to be measured is gone
