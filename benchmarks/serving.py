"""What serving costs: throughput beside endpoints that do nothing, latency, scoring and memory.

The machine should do nothing else. Needs `wrk` (on Debian: apt-get install wrk).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import aiohttp
import numpy as np
import typer

from benchmarks import large_shop, scoring, update
from benchmarks.empty import ANSWER
from benchmarks.processes import aside
from benchmarks.servers import FEW, MANY, PROJECT, Server, bento, serving, uvicorn, wrk
from progrec import settings
from progrec.learning import pyfunc
from progrec.registry import champion
from progrec.serving import rules
from progrec.serving.store import Store
from progrec.tracking import Tracking

USERS, PRODUCTS, SHOPPERS = 1_600_000, 54_000, 100_000
FACTORS = 32  # of the model, whose other settings are those of conf/
POOL = 50  # products that wait in each shopper's queue
ROUNDS = 3
LAPS = 5  # of latency: short ones, as a busy host's speed changes from one second to the next
EVENTS_A_SECOND, EVENTS_AT_ONCE = 500, 10  # that come in while latency is measured

SERVICE = bento("progrec.serving.service:Progrec")
EMPTY = bento("benchmarks.empty:Empty")
FASTAPI = uvicorn("benchmarks.empty:bare")

Report = dict[str, float]


@dataclass(frozen=True)
class Shop:
    """A project's folder, and its size: the model's users and products, the database's shoppers."""

    folder: Path
    users: int = USERS
    products: int = PRODUCTS
    shoppers: int = SHOPPERS


def make(shop: Shop) -> None:
    """Makes a champion, and a database whose shoppers all have a queue."""
    shutil.copy(PROJECT / "params.yaml", shop.folder)
    aside(_crown, shop)
    with contextlib.chdir(shop.folder):
        config = settings.load()
        path = config.serving.database.absolute()
    Store(path, config.queue).close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT INTO recommendation_queue VALUES (?, ?)", _queues(shop))


def _crown(shop: Shop) -> None:
    """Trains nothing: a bundle as large as that of such a shop."""
    with contextlib.chdir(shop.folder):
        training, _ = update.settings()
        model = training.model.model_copy(update={"factors": FACTORS})
        training = training.model_copy(update={"model": model})
        path = Path("bundle")
        bundle = large_shop.bundle_of(shop.users, shop.products, training, seed=0).save(path)
        tracking = Tracking(settings.load().registry)
        with tracking.run("benchmark", name="large shop", params={}, tags={}) as run:
            pyfunc.log(run, bundle, path)
        champion.promote(tracking, tracking.register(bundle.digest))


def _queues(shop: Shop) -> Iterator[tuple[str, str]]:
    generator = np.random.default_rng(0)
    for user in range(shop.shoppers):
        drawn = dict.fromkeys(generator.integers(shop.products, size=POOL).tolist())
        yield _user(user), rules.dumps(rules.refill((), map(_product, drawn)))


def _user(row: int) -> str:
    return f"u{row:08}"


def _product(row: int) -> str:
    return f"p{row:08}"


def throughput(shop: Shop, seconds: int) -> Report:
    """What the service does beside an empty endpoint, and that beside bare FastAPI, in turn.

    Returns:
        `recommend_ratio_to_empty`, `empty_ratio_to_fastapi`, `events_per_s` and `rss_mb`, where
        there are rounds their medians.
    """
    with serving(shop.folder, SERVICE) as service:
        body = shop.folder / "answer.json"
        body.write_bytes(service.recommend().content)
        with (
            serving(shop.folder, EMPTY, **{ANSWER: str(body)}) as empty,
            serving(shop.folder, FASTAPI, **{ANSWER: str(body)}) as bare,
        ):
            # Each round asks for others, whose queues are as they were made: warm.
            rates = [
                [
                    wrk(server, "recommend", seconds, MANY, shop.shoppers, first)
                    for server in (service, empty, bare)
                ]
                for first in range(0, shop.shoppers, -(-shop.shoppers // ROUNDS))
            ]
        day = (large_shop.TODAY + timedelta(1)).isoformat()
        batches = [
            wrk(service, "events", seconds, FEW, shop.shoppers, shop.products, place, day)
            for place in range(ROUNDS)
        ]
        return {
            "recommend_ratio_to_empty": statistics.median(ours / none for ours, none, _ in rates),
            "empty_ratio_to_fastapi": statistics.median(none / bare for _, none, bare in rates),
            "events_per_s": 100 * statistics.median(batches),
            "rss_mb": service.rss_mb,
        }


def latency(shop: Shop, seconds: int) -> Report:
    """`p50_ms` and `p99_ms` of /recommend at half of its peak rate, medians of some laps.

    In each lap the peak comes first. Latency is counted from when each request is due, and 500
    events a second come in meanwhile.
    """
    laps = []
    lap = max(1, seconds // LAPS)
    with serving(shop.folder, SERVICE) as service:
        for first in range(0, shop.shoppers, -(-shop.shoppers // LAPS)):
            peak = wrk(service, "recommend", lap, MANY, shop.shoppers, first)
            took = asyncio.run(_paced(service, shop, peak / 2, lap, seed=first))
            laps.append(np.percentile(took, [50, 99]) * 1e3)
    p50, p99 = np.median(laps, axis=0).tolist()
    return {"p50_ms": p50, "p99_ms": p99}


async def _paced(server: Server, shop: Shop, rate: float, seconds: int, seed: int) -> list[float]:
    """Seconds that each request took."""
    generator = np.random.default_rng(seed)
    users = generator.integers(shop.shoppers, size=round(rate * seconds)).tolist()
    n_batches = EVENTS_A_SECOND * seconds // EVENTS_AT_ONCE
    batches = [_events(shop, generator) for _ in range(n_batches)]
    async with aiohttp.ClientSession(server.url) as session:

        async def post(due: float, path: str, body: object) -> float:
            await asyncio.sleep(due - time.perf_counter())
            async with session.post(path, json=body) as answer:
                answer.raise_for_status()
                await answer.read()
            return time.perf_counter() - due

        begin = time.perf_counter() + 1
        asked = [
            post(begin + place / rate, "/recommend", {"user_id": _user(user), "k": 20})
            for place, user in enumerate(users)
        ]
        told = [
            post(begin + place * EVENTS_AT_ONCE / EVENTS_A_SECOND, "/events", {"events": batch})
            for place, batch in enumerate(batches)
        ]
        took = await asyncio.gather(*asked, *told)
    return took[: len(asked)]


def _events(shop: Shop, generator: np.random.Generator) -> list[dict[str, str]]:
    return [
        {
            "event_time": datetime.now(UTC).isoformat(),
            "event_type": "view",
            "user_id": _user(int(generator.integers(shop.shoppers))),
            "product_id": _product(int(generator.integers(shop.products))),
        }
        for _ in range(EVENTS_AT_ONCE)
    ]


def main(seconds: Annotated[int, typer.Option(help="Of each phase.")] = 10) -> None:
    """Prints one JSON object."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder))
        make(shop)
        report = throughput(shop, seconds) | latency(shop, seconds)
        report["scoring_speedup"] = aside(scoring.speedup, shop.folder / "bundle")
    typer.echo(json.dumps(report))


if __name__ == "__main__":
    typer.run(main)
