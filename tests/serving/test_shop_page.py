"""The shop page in a browser; two workers serve it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

NEXT = 6
"""More than it takes to see all eight products."""


@pytest.fixture
def shop(page: Page, live_url: str) -> Iterator[Page]:
    """The page, of somebody whom nobody has seen before; no script fails on it."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(live_url)
    somebody = title(page).inner_text()
    page.get_by_role("button", name="new").click()
    # It may take the socket a while to find the worker that made the page.
    expect(title(page)).not_to_have_text(somebody, timeout=30_000)
    expect(title(page)).to_have_text(re.compile("Next for new-"))
    yield page
    assert errors == []


def title(page: Page) -> Locator:
    return page.locator(".shown .title")


def card(page: Page, product_id: str) -> Locator:
    return page.locator("article").filter(has=page.get_by_text(product_id, exact=True))


def do(page: Page, product_id: str, what: str) -> None:
    card(page, product_id).get_by_role("button", name=what).click()
    expect(page.locator(".lately > :nth-child(-n + 3)")).to_have_text(
        [re.compile(r"\d"), what, product_id]
    )


def queue(page: Page) -> Locator:
    return page.locator("tbody tr")


def test_a_stranger_clicks_through_a_purchase_and_the_product_never_returns(shop: Page):
    expect(shop.locator("article")).to_have_count(8)
    expect(shop.locator(".badge")).to_have_text(["popular"] * 8)
    expect(queue(shop)).to_have_count(0)

    do(shop, "c1", "view")
    expect(queue(shop)).to_have_text(["c101"])
    expect(shop.locator(".badge").first).to_have_text("queue")
    expect(shop.locator(".badge").nth(1)).to_have_text("similar")
    expect(card(shop, "c2")).to_contain_text("70 % likely")
    do(shop, "c1", "cart")
    expect(queue(shop)).to_have_text(["c104"])
    do(shop, "c1", "remove")
    expect(queue(shop)).to_have_text(["c103"])
    do(shop, "c1", "buy")
    expect(queue(shop)).to_have_count(0)
    expect(shop.get_by_text("never recommended: 1 bought")).to_be_visible()

    for shown in range(1, NEXT + 1):
        shop.get_by_role("button", name="Next").click()
        expect(queue(shop)).to_have_count(7)
        expect(queue(shop).first).to_contain_text(str(shown))
        expect(shop.locator("article")).to_have_count(7)
        expect(card(shop, "c1")).to_have_count(0)


def test_a_page_that_is_loaded_again_is_of_the_same_shopper_and_counts_nothing(shop: Page):
    do(shop, "c1", "view")
    before = title(shop).inner_text()
    shop.reload()
    expect(title(shop)).to_have_text(before)
    expect(queue(shop)).to_have_text(["c101"])


def test_any_shopper_can_be_named_and_an_id_that_nobody_has_is_refused(shop: Page):
    other = shop.get_by_placeholder("any user's id")
    other.fill("ann")
    other.press("Enter")
    expect(title(shop)).to_have_text("Next for ann")
    expect(shop.locator(".badge").first).to_have_text(re.compile("model|queue"))
    other.fill("session:1")
    other.press("Enter")
    expect(shop.get_by_role("alert")).to_contain_text("no user's id begins with session:")
    shop.get_by_role("button", name="anonymous").click()
    expect(title(shop)).to_have_text("Next for somebody anonymous")


def test_the_page_says_which_model_recommends(shop: Page):
    expect(shop.locator(".facts")).to_contain_text("version 1")
    expect(shop.locator(".facts")).to_contain_text("digest-o")
    expect(shop.locator(".facts")).to_contain_text("2020-01-31")


def test_a_phone_shows_it_without_scrolling_sideways(shop: Page):
    shop.set_viewport_size({"width": 390, "height": 844})
    expect(shop.get_by_role("button", name="Next")).to_be_visible()
    assert shop.evaluate("document.documentElement.scrollWidth") == 390
