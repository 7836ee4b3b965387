"""`dvc metrics show` and `dvc plots show`, over the reports of the sample shop."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import vl_convert
import yaml
from playwright.sync_api import Page

if TYPE_CHECKING:
    from conftest import Project


PLOTS = {
    "The model against its baselines, after the cutoff": ("NDCG@20, with 95 % interval",),
    "By how many products are recommended": ("products recommended", "NDCG"),
    "The update against the frozen model, day by day": (
        "day, measured before it was learned",
        "NDCG@20",
    ),
    "Whether the probabilities came true": (
        "predicted probability of a purchase",
        "share that was bought",
    ),
    "Training loss of the towers": ("epoch", "loss"),
    "Validation of the towers, which chooses the epoch": ("epoch", "NDCG@20"),
}


FIGURES = sorted(
    [
        "Path",
        *("ndcg@20", "recall@20", "hr@10", "coverage@20", "over_baseline"),
        *("days", "updated", "frozen", "popularity"),
        "validation",
    ]
)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url(reported: Project) -> Iterator[str]:
    """The page of plots on the loopback address."""
    reported.run("dvc plots show")
    handler = partial(Quiet, directory=str(reported.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/dvc_plots/index.html"
        server.shutdown()


def test_the_metrics_are_few_and_rounded(reported: Project) -> None:
    header, *rows = reported.run("dvc metrics show").strip().splitlines()

    assert sorted(header.split()) == FIGURES
    assert sorted(row.split()[0] for row in rows) == [
        f"reports/{name}.json" for name in ("prequential", "test", "training")
    ]
    figures = [cell for row in rows for cell in row.split()[1:] if cell not in ("-", "27")]
    assert len(figures) == 9
    assert all(len(figure) <= len("0.1234") for figure in figures)


def test_each_plot_has_a_template_and_labels() -> None:
    root = Path(__file__).parents[2]
    plots = [
        plot
        for named in yaml.safe_load((root / "dvc.yaml").read_text())["plots"]
        for plot in named.values()
    ]

    shown = {plot["title"]: (plot["x_label"], plot.get("y_label")) for plot in plots}
    assert {title: tuple(filter(None, labels)) for title, labels in shown.items()} == PLOTS
    for plot in plots:
        template = json.loads((root / f".dvc/plots/{plot['template']}.json").read_text())
        assert template["title"]["text"] == "<DVC_METRIC_TITLE>"


@pytest.mark.slow
def test_the_page_of_plots_has_titles_and_axes(page: Page, url: str, tmp_path: Path) -> None:
    # In place of the network that DVC's pages load Vega from.
    names = "window.vega = vega; window.vegaLite = vegaLite; window.vegaEmbed = vegaEmbed;"
    vega = vl_convert.javascript_bundle(names)
    page.route(
        "https://cdn.jsdelivr.net/npm/vega*",
        lambda route: route.fulfill(
            content_type="text/javascript", body=vega if "vega@" in route.request.url else ""
        ),
    )
    page.goto(url)
    plots = page.locator("svg.marks")
    page.wait_for_function(f"document.querySelectorAll('svg.marks').length === {len(PLOTS)}")

    texts = [plot.locator("text").all_text_contents() for plot in plots.all()]

    shown = {title: names for names in texts for title in PLOTS if title in names}
    assert list(shown) == list(PLOTS)
    for title, axes in PLOTS.items():
        assert set(axes) <= set(shown[title]), title
    assert {"ncf", "queue_rules", "popularity"} <= set(texts[0])
    assert {"updated", "frozen", "popularity"} <= set(texts[2])
    folder = Path(os.environ.get("PROGREC_SCREENSHOTS", tmp_path))
    page.screenshot(path=folder / "dvc-plots.png")
