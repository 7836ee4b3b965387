"""How good the daily update is, what it costs, and how that grows.

The machine should do nothing else.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import hydra
import numpy as np
import typer

from benchmarks import large_shop, pipeline, retraining
from benchmarks.processes import aside
from benchmarks.retraining import Shop
from progrec.events import online_retail, simulate
from progrec.learning import config as configs
from progrec.learning import daily
from progrec.learning.bundle import Bundle
from progrec.learning.config import TrainConfig, UpdateConfig
from progrec.settings import SplitSettings

PROJECT = Path(__file__).resolve().parents[1]
REAL_DATA = "PROGREC_REAL_DATA"
ONLINE_RETAIL = "online_retail/online_retail_2010-12_2011-09.csv.gz"
USERS, FEWER_USERS, PRODUCTS = 1_600_000, 16_000, 54_000
DELTA, DELTAS = 10_000, (1_000, 10_000, 100_000)
ROUNDS = 5

Report = dict[str, float]


def cost(training: TrainConfig, updating: UpdateConfig) -> Report:
    """Times a day's step on tables of full size, with its evidence in memory.

    Returns:
        `delta_seconds` of 10,000 events with 1.6 million users in the tables; `table_size_ratio`
        of that to the time with 16 thousand; `exponent` of the growth of time from 1,000 to
        100,000 events; `load_seconds` and `save_seconds` of the large bundle.
    """
    few = large_shop.bundle_of(FEWER_USERS, PRODUCTS, training, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        many, saving, loading = _through(Path(folder) / "bundle", training)
    # Side by side, for the machine is not the same from one minute to the next.
    both = [
        (_seconds(many, DELTA, updating), _seconds(few, DELTA, updating)) for _ in range(ROUNDS)
    ]
    at_full_size, with_fewer = (statistics.median(taken) for taken in zip(*both, strict=True))
    seconds = {
        n: statistics.median(_seconds(many, n, updating) for _ in range(ROUNDS)) for n in DELTAS
    }
    return {
        "delta_seconds": at_full_size,
        "table_size_ratio": at_full_size / with_fewer,
        "exponent": exponent(DELTAS, [seconds[n] for n in DELTAS]),
        "load_seconds": loading,
        "save_seconds": saving,
    }


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of log time over log size by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def _through(path: Path, training: TrainConfig) -> tuple[Bundle, float, float]:
    """The large bundle as it comes back from the disk, and the seconds of saving and loading."""
    begin = time.perf_counter()
    made = large_shop.bundle_of(USERS, PRODUCTS, training, seed=0)
    typer.echo(f"made a bundle: {time.perf_counter() - begin:.1f} s", err=True)
    begin = time.perf_counter()
    made.save(path)
    saved = time.perf_counter()
    bundle = Bundle.load(path)
    bundle.evidence.touches.prepare()
    return bundle, saved - begin, time.perf_counter() - saved


def _seconds(bundle: Bundle, events: int, config: UpdateConfig) -> float:
    """What a day of so many events takes."""
    day = large_shop.day_of(len(bundle.users), len(bundle.items), events, seed=1)
    begin = time.perf_counter()
    daily.learn(bundle, day, bundle.network, config)
    taken = time.perf_counter() - begin
    typer.echo(f"{len(bundle.users):,} users, {events:,} events: {taken:.2f} s", err=True)
    return taken


@contextmanager
def shop(events: Path, cutoff: date) -> Iterator[Shop]:
    """The feature tables of a folder of events, made by the pipeline's own stages."""
    training, updating = settings()
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        data.mkdir()
        (data / "events").symlink_to(events.resolve())
        with pipeline.workplace(PROJECT, data, Path(scratch)) as folder:
            params = folder / "params.yaml"
            text = re.sub(r'(\n  cutoff: )"[^"]*"', rf'\g<1>"{cutoff}"', params.read_text())
            params.write_text(text)
            pipeline.run(aside(pipeline.load, PROJECT), folder)
            split = SplitSettings(cutoff=cutoff, validation_days=14, horizon_days=14)
            yield Shop(folder / "artifacts/features", split, training, updating)


def settings() -> tuple[TrainConfig, UpdateConfig]:
    """Those of conf/."""
    with hydra.initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return (
            configs.train_config(hydra.compose("train")),
            configs.update_config(hydra.compose("update")),
        )


@contextmanager
def usual_events() -> Iterator[tuple[Path, date]]:
    """UCI Online Retail where `PROGREC_REAL_DATA` names the folder that has it, else the sample."""
    real = os.environ.get(REAL_DATA)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        if real:
            online_retail.import_file(Path(real) / ONLINE_RETAIL, data, add=False)
            yield data / "events", date(2011, 9, 1)
        else:
            simulate.simulate(
                data,
                users=5000,
                products=1200,
                events=300_000,
                days=150,
                seed=0,
                start=date(2019, 10, 1),
            )
            yield data / "events", date(2020, 2, 1)


def main(
    events_dir: Annotated[
        Path | None, typer.Option(help="Canonical events; only quality is measured then.")
    ] = None,
    cutoff: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"])] = None,
    days: Annotated[int, typer.Option(help="Days of the deltas that are learned.")] = 30,
    retrain_every: Annotated[int, typer.Option(help="Days from one retrain to the next.")] = 1,
) -> None:
    """Prints one JSON object."""
    if (events_dir is None) != (cutoff is None):
        raise typer.BadParameter("--events-dir and --cutoff go together")
    if events_dir is not None and cutoff is not None:
        with shop(events_dir, cutoff.date()) as given:
            report = retraining.quality(given, days, retrain_every)
    else:
        report = cost(*settings())
        with usual_events() as (events, day), shop(events, day) as usual:
            report |= retraining.quality(usual, days, retrain_every)
    typer.echo(json.dumps(report))


if __name__ == "__main__":
    typer.run(main)
