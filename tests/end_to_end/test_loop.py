"""The loop: what the service accepts is exported, learned, published, and served by it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pandas as pd
import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.slow

PICKED_UP_SECONDS = 90
LONG_AGO = "2019-12-01T12:00:00Z"


@pytest.fixture(scope="module")
def bought(project: Project, service: httpx.Client) -> Iterator[tuple[str, str]]:
    """A shopper and a product, which was recommended and bought before the loop ran once."""
    # The other tests' shopper is the first.
    user = read_ids(project, "users")[-1]
    (first,) = recommended(service, user, k=1)["items"]
    product, now = first["product_id"], datetime.now(UTC).isoformat()
    with project.restored():
        sent = [
            event(user, product, "purchase", now),
            event("a new shopper", product, "purchase", LONG_AGO),
            event("a new shopper", "a new product", "cart", now),
        ]
        answer = service.post("/events", json={"events": sent}).json()
        assert answer == {"accepted": 3, "duplicates": 0, "rejected": []}
        project.run(f"progrec events export --before {tomorrow()}")
        project.run("dvc add -q data")
        project.repro()
        yield user, product


def event(user: str, product: str, kind: str, moment: str) -> dict[str, str]:
    return {"user_id": user, "product_id": product, "event_type": kind, "event_time": moment}


def recommended(service: httpx.Client, user: str, k: int) -> dict:
    return service.post("/recommend", json={"user_id": user, "k": k}).json()


def tomorrow() -> str:
    """The first day of which nothing can have come in."""
    return str((datetime.now(UTC) + timedelta(days=1)).date())


def read_ids(project: Project, table: str) -> list[str]:
    """The ids of the updated bundle's users or items."""
    path = project.folder / f"artifacts/updated/{table}.parquet"
    return pd.read_parquet(path).iloc[:, 0].tolist()


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_what_was_done_is_learned_and_published(project: Project, bought: tuple[str, str]) -> None:
    published = read(project.folder / "reports/publish.json")

    assert "a new shopper" in read_ids(project, "users")
    assert "a new product" in read_ids(project, "items")
    assert published["digest"] == project.lock()["update"]["outs"][0]["md5"]
    assert read(project.folder / "reports/ingest.json")["late"] >= 1


def test_what_was_done_long_ago_counts_for_the_day_that_received_it(
    project: Project, bought: tuple[str, str]
) -> None:
    events = project.folder / "artifacts/events"
    late = pd.read_parquet(events / "late.parquet").set_index("user_id").loc["a new shopper"]

    *_, last = sorted(path.name for path in (events / "delta").iterdir())
    assert str(late["event_time"]) == "2019-12-01 12:00:00"
    assert last == f"date={late['received_at'].date()}"
    assert not (events / "delta/date=2019-12-01").exists()


def test_what_was_bought_never_comes_back(
    project: Project, service: httpx.Client, bought: tuple[str, str], tmp_path: Path
) -> None:
    user, product = bought

    project.run(f"progrec recommend --k 100 --out {tmp_path / 'recs.parquet'}")

    recs = pd.read_parquet(tmp_path / "recs.parquet")
    own = recs[recs["user_id"] == user]["product_id"]
    assert len(own) > 0
    assert product not in set(own)
    served = recommended(service, user, k=100)["items"]
    assert product not in {item["product_id"] for item in served}


def test_a_second_turn_finds_nothing_new(project: Project, bought: tuple[str, str]) -> None:
    data = (project.folder / "data.dvc").read_bytes()

    said = project.run(f"progrec events export --before {tomorrow()}")
    project.run("dvc add -q data")

    assert said.startswith("nothing is new")
    assert (project.folder / "data.dvc").read_bytes() == data
    assert project.repro() == ["publish"]


def test_the_running_service_takes_the_new_champion(
    project: Project, service: httpx.Client, bought: tuple[str, str]
) -> None:
    digest = project.lock()["update"]["outs"][0]["md5"]
    user, product = bought
    deadline = time.monotonic() + PICKED_UP_SECONDS

    answer = recommended(service, user, k=100)
    while answer["model"]["digest"] != digest and time.monotonic() < deadline:
        time.sleep(1)
        answer = recommended(service, user, k=100)

    assert answer["model"]["digest"] == digest
    assert product not in {item["product_id"] for item in answer["items"]}
