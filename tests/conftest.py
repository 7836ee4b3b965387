"""What tests of several rooms need."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the public data sets, which are not part of this repository."""
    folder = os.environ.get("PROGREC_REAL_DATA")
    if not folder:
        pytest.skip("PROGREC_REAL_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium: the system's, because Playwright's own would be downloaded.

    Not for the whole session: while Playwright runs, no other test may start an event loop.
    """
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        # As root, as in a container, Chromium starts without its sandbox only.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab that reaches this machine only; the test fails if the page asks for more."""
    elsewhere = []

    def local(route: Route) -> None:
        if urlsplit(route.request.url).hostname in ("127.0.0.1", "localhost"):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.route("**/*", local)
    yield page
    page.close()
    assert elsewhere == []
