"""The shop page's pictures for docs/, of this project's own champion (`make screenshots`)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from serving.live import serving

PROJECT = Path(__file__).parents[2]
SHOPPER = 1
"""Which of the known ones: neither the busiest nor one who hardly did a thing."""


@pytest.fixture
def pictures() -> Path:
    """Where pictures for docs/ are put."""
    folder = os.environ.get("PROGREC_SCREENSHOTS")
    if not folder:
        pytest.skip("PROGREC_SCREENSHOTS is not set")
    if not (PROJECT / "mlflow.db").exists():
        pytest.skip("there is no champion; make run")
    return Path(folder)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The champion, served with a copy of the database."""
    params = (PROJECT / "params.yaml").read_text()
    store = f"sqlite:///{PROJECT / 'mlflow.db'}"
    (tmp_path / "params.yaml").write_text(params.replace("sqlite:///mlflow.db", store))
    shutil.copy(PROJECT / "recommendation.db", tmp_path)
    with serving("progrec.serving.service:Progrec", tmp_path) as url:
        yield url


def test_the_pictures_of_the_shop_page(pictures: Path, url: str, page: Page):
    page.goto(url)
    shopper = page.locator(".shoppers button").nth(SHOPPER)
    shopper.click()
    name, *_ = shopper.inner_text().split()
    expect(page.locator(".shown .title")).to_have_text(f"Next for {name}", timeout=30_000)
    cards = page.locator("article")
    for place, what in ((2, "view"), (5, "cart"), (3, "buy")):
        product = cards.nth(place).locator(".product").inner_text()
        cards.nth(place).get_by_role("button", name=what).click()
        done = page.locator(".lately > :nth-child(-n + 3)")
        expect(done).to_have_text([str(datetime.now(UTC).date()), what, product], timeout=30_000)
    save(page, pictures / "shop.png", height=800)
    save(page, pictures / "shop-phone.png", width=390, height=844)


def save(page: Page, path: Path, width: int = 1280, height: int = 900) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.mouse.move(0, 0)
    page.screenshot(path=path)
    # Fewer colours are as good, and half of the size.
    Image.open(path).quantize(256).save(path, optimize=True)
