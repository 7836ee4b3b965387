"""How fast raw files become feature tables, how much memory that takes and how both grow."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import comparison, pipeline, scan, shops
from benchmarks.comparison import DifferentError
from benchmarks.pipeline import Stage
from benchmarks.processes import Cost, aside, measured
from benchmarks.shops import Size

PROJECT = Path(__file__).resolve().parents[1]
SCANS = 3
PANDAS_EVENTS = 1_000_000

Report = dict[str, float | dict[str, float]]


def benchmark(events: int, cache: Path, *, pandas: bool = False) -> Report:
    """Measures ingest and the feature stages on shops of three sizes.

    Args:
        events: of the largest shop.
        cache: where shops are kept, and tables made and removed.
        pandas: whether to check the tables against pandas, and to measure that, too.

    Returns:
        `ratio` of the stages' time to DuckDB's for a mere scan of the log, `peak_rss_mb` of the
        hungriest stage, `exponent` of the growth of time with events, `scan_seconds`, the
        seconds of each of the `stages`, and `pandas_ratio` of pandas' time for history's tables
        to ours.

    Raises:
        DifferentError: pandas makes other tables.
        subprocess.CalledProcessError: a stage failed.
    """
    cache.mkdir(parents=True, exist_ok=True)
    stages = aside(pipeline.load, PROJECT)
    compared = (
        {"pandas_ratio": _compare(stages, min(events, PANDAS_EVENTS), cache)} if pandas else {}
    )
    sizes = shops.growing(events)
    *smaller, costs = [_run(stages, size, cache) for size in sizes]
    seconds = _total(costs.values())
    scanning = _scan(events, cache)
    return {
        "ratio": seconds / scanning,
        "peak_rss_mb": max(cost.rss_mb for cost in costs.values()),
        "exponent": exponent(sizes, [*(_total(some.values()) for some in smaller), seconds]),
        "scan_seconds": scanning,
        "stages": {name: cost.seconds for name, cost in costs.items()},
        **compared,
    }


def exponent(events: Sequence[int], seconds: Sequence[float]) -> float:
    """The power of its size that time grows with.

    It is the slope of the straight line that fits the logarithms best: 1 if twice the events take
    twice the time.
    """
    return statistics.linear_regression(
        [math.log(size) for size in events], [math.log(time) for time in seconds]
    ).slope


def _run(stages: Sequence[Stage], events: int, cache: Path) -> dict[str, Cost]:
    data = _shop(events, cache)
    _say(f"{events:,} events: {', '.join(stage.name for stage in stages)}")
    with pipeline.workplace(PROJECT, data, cache) as folder:
        return pipeline.run(stages, folder)


def _scan(events: int, cache: Path) -> float:
    """Seconds of a scan; the middle one of three."""
    data = _shop(events, cache)
    _say(f"{events:,} events: scan")
    return statistics.median(aside(scan.scan, data, events) for _ in range(SCANS))


def _compare(stages: Sequence[Stage], events: int, cache: Path) -> float:
    """How many times as long as ours pandas takes for the same tables, which it checks."""
    data = _shop(events, cache)
    _say(f"{events:,} events: history's tables, with pandas, too")
    with pipeline.workplace(PROJECT, data, cache) as folder:
        pipeline.run([stage for stage in stages if stage.is_ingest], folder)
        ours = pipeline.run([stage for stage in stages if stage.is_history], folder)
        theirs = _run_pandas(folder)
        aside(comparison.check_folders, folder / pipeline.HISTORY, folder / "pandas")
    return theirs.seconds / _total(ours.values())


def _run_pandas(folder: Path) -> Cost:
    options = {
        "--events": folder / "artifacts/events/history",
        "--catalogue": folder / "artifacts/events/catalogue.parquet",
        "--params": folder / "params.yaml",
        "--out": folder / "pandas",
    }
    words = [str(word) for option in options.items() for word in option]
    return measured([sys.executable, "-m", "benchmarks.pandas_features", *words], PROJECT)


def _shop(events: int, cache: Path) -> Path:
    _say(f"{events:,} events: the shop")
    return shops.cached(Size.of(events), cache)


def _total(costs: Iterable[Cost]) -> float:
    return sum(cost.seconds for cost in costs)


def _say(line: str) -> None:
    typer.echo(line, err=True)


def main(
    events: Annotated[int, typer.Option(min=shops.LEAST)] = shops.FULL,
    pandas: Annotated[bool, typer.Option("--pandas")] = False,
    cache: Annotated[Path, typer.Option()] = PROJECT / ".benchmarks",
) -> None:
    """Prints, as JSON, how fast raw files become feature tables."""
    try:
        report = benchmark(events, cache.resolve(), pandas=pandas)
    except (DifferentError, subprocess.CalledProcessError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
