"""MLflow's pages, as somebody sees them who compares settings.

On a tiny shop, or on the finished run in the folder that PROGREC_SAMPLE names: the docs' pictures
are of the sample shop.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.slow

START_SECONDS = 300
PATIENCE = 60_000  # milliseconds that a page may take
# What a person clicks away at first: a panel to chat with a language model, and the pages for it.
QUIET = """
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
localStorage.setItem("mlflow.workflowType_v1", '"machine_learning"');
"""
DECISIVE = "validation/ndcg_at_20"


@pytest.fixture(scope="module")
def ui(shop: Project) -> Iterator[str]:
    """The address of MLflow's UI on the project's store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = "--backend-store-uri sqlite:///mlflow.db --workers 1"
    server = subprocess.Popen(
        ["mlflow", "ui", *store.split(), "--port", str(port)],
        cwd=shop.folder,
        env=shop.environment | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/health")
        yield url
    finally:
        server.terminate()
        server.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(url).raise_for_status()
            return
        except httpx.HTTPError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.5)


@pytest.fixture
def client(shop: Project) -> MlflowClient:
    return MlflowClient(f"sqlite:///{shop.folder / 'mlflow.db'}")


@pytest.fixture
def tab(page: Page, ui: str) -> Page:
    """A page of MLflow's UI on models, as a person has it who has closed what is in the way."""
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page.add_init_script(QUIET)
    return page


def keep(page: Page, name: str, tmp_path: Path) -> None:
    """Takes a picture of a page, for the docs if they are being made."""
    picture = tmp_path / f"{name}.png"
    page.screenshot(path=picture)
    assert picture.stat().st_size < 150_000
    folder = os.environ.get("PROGREC_SCREENSHOTS")
    if folder:
        shutil.copy(picture, folder)


def runs(client: MlflowClient, experiment: str, where: str = "") -> list[Run]:
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id], where))


def test_each_purpose_has_an_experiment(tab: Page, ui: str) -> None:
    tab.goto(f"{ui}/#/experiments")

    for purpose in ("baselines", "train", "sweep", "update"):
        expect(tab.get_by_role("link", name=purpose, exact=True)).to_be_visible()


def test_the_baselines_stand_in_their_order(
    tab: Page, ui: str, client: MlflowClient, tmp_path: Path
) -> None:
    metric = "metrics.`test/ndcg_at_20`"
    number = client.get_experiment_by_name("baselines").experiment_id
    best = client.search_runs([number], order_by=[f"{metric} DESC"])[0]
    order = f"orderByAsc=false&orderByKey={quote(metric)}"

    tab.goto(f"{ui}/#/experiments/{number}/runs?compareRunsMode=CHART&{order}")

    first = tab.locator("[row-index='0']")
    expect(first.filter(has_text=best.info.run_name).first).to_be_visible()
    chart = tab.get_by_text("test/ndcg_at_20", exact=True).first
    chart.scroll_into_view_if_needed()
    expect(chart).to_be_visible()
    keep(tab, "mlflow-runs", tmp_path)


def test_comparing_the_runs_of_a_sweep_shows_which_setting_won(
    tab: Page, ui: str, client: MlflowClient, tmp_path: Path
) -> None:
    (sweep,) = runs(client, "sweep", "tags.sweep != ''")
    jobs = runs(client, "sweep", f"tags.`mlflow.parentRunId` = '{sweep.info.run_id}'")
    best = max(jobs, key=lambda job: job.data.metrics[DECISIVE])

    tab.goto(f"{ui}/#/experiments/{sweep.info.experiment_id}/runs")
    tab.locator(f"[row-id='{sweep.info.run_id}']").first.get_by_role("button").first.click()
    for job in jobs:
        tab.locator(f"[row-id='{job.info.run_id}']").get_by_role("checkbox").first.check()
    tab.get_by_role("button", name="Compare").click()

    expect(tab.get_by_text(f"Comparing {len(jobs)} Runs from 1 Experiment")).to_be_visible()
    # What differs against what decides, and nothing else.
    expect(tab.locator("text.axis-title")).to_have_text(["model.factors", DECISIVE])
    expect(tab.get_by_text(best.info.run_name).first).to_be_visible()
    keep(tab, "mlflow-compare", tmp_path)


def test_a_run_shows_its_figures(tab: Page, ui: str, client: MlflowClient, tmp_path: Path) -> None:
    (run, *_) = runs(client, "train")
    place = f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}"

    tab.goto(f"{ui}/#/{place}/artifacts/figures/baselines.png")

    for name in ("amounts", "history_lengths", "interactions", "popularity", "reliability"):
        expect(tab.get_by_text(f"{name}.png", exact=True)).to_be_visible()
    shown = tab.locator("img[src^='blob:']").first
    expect(shown).to_have_js_property("naturalWidth", 800)
    # It names a folder of whoever makes the picture.
    tab.get_by_text("Path:").evaluate("each => each.parentElement.style.visibility = 'hidden'")
    keep(tab, "mlflow-run", tmp_path)


def test_a_version_says_what_the_gate_decided_and_shows_its_pictures(
    tab: Page, ui: str, tmp_path: Path
) -> None:
    tab.goto(f"{ui}/#/models/progrec/versions/1")

    expect(tab.get_by_text("The gate promoted this version")).to_be_visible()
    for name in ("days", "baselines", "history_lengths", "reliability"):
        picture = tab.locator(f"img[src*='figures/{name}.png']")
        expect(picture).to_have_js_property("naturalWidth", 800)
    expect(tab.get_by_role("link", name="daily, up to").first).to_be_visible()
    keep(tab, "mlflow-version", tmp_path)
