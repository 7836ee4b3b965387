"""The page that describes the service, in a browser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect
from starlette.testclient import TestClient

from progrec.serving import openapi

expect.set_options(timeout=30_000)  # milliseconds: the machine may have other things to do

ELSEWHERE = "http://shop.example"
"""Not this machine: there Swagger UI does what it would not do on a developer's own."""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures for docs/ are put."""
    return Path(os.environ.get("PROGREC_SCREENSHOTS", tmp_path))


def test_the_home_page_leads_to_it(client: TestClient):
    answer = client.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "docs")


def test_it_describes_each_endpoint_and_sends_an_example(live_url: str, page: Page, pictures: Path):
    page.goto(f"{live_url}/docs")
    expect(page.get_by_role("heading", name="progrec")).to_be_visible()
    paths = page.locator(".opblock-summary-path")
    expect(paths).to_have_text([*openapi.EXAMPLES, *openapi.HEALTH])

    operation = page.locator("#operations-shoppers-recommend")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .response").first
    expect(answer.locator(".response-col_status")).to_contain_text("200")
    expect(answer).to_contain_text('"user_id": "400023651"')
    expect(answer).to_contain_text('"product_id"')
    page.set_viewport_size({"width": 1000, "height": 1330})
    operation.evaluate("each => each.scrollIntoView()")
    page.screenshot(path=pictures / "api.png")


def test_wherever_it_is_served_the_browser_asks_nobody_else(live_url: str, page: Page):
    def served(route: Route) -> None:
        url = route.request.url.replace(ELSEWHERE, live_url)
        route.fulfill(response=route.fetch(url=url))

    page.route(f"{ELSEWHERE}/**", served)
    page.goto(f"{ELSEWHERE}/docs")
    expect(page.locator(".opblock")).to_have_count(len(openapi.EXAMPLES) + len(openapi.HEALTH))
    page.wait_for_load_state("networkidle")
    # The fixture fails if anything else was asked for; and the browser itself would refuse.
    blocked = page.evaluate("fetch('https://elsewhere.example').then(() => false, () => true)")
    assert blocked
