"""The shop page of the published model, in a browser."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

if TYPE_CHECKING:
    from conftest import Project


@pytest.fixture
def shop(service: httpx.Client, page: Page) -> Page:
    page.goto(str(service.base_url))
    return page


def cards(shop: Page) -> Locator:
    return shop.locator("article")


def names(shop: Page) -> list[str]:
    return cards(shop).locator(".product").all_inner_texts()


def do(shop: Page, product_id: str, what: str) -> None:
    card = cards(shop).filter(has=shop.get_by_text(product_id, exact=True))
    card.get_by_role("button", name=what).click()
    done = shop.locator(".lately > :nth-child(-n + 3)")
    expect(done).to_have_text([str(datetime.now(UTC).date()), what, product_id])


@pytest.mark.slow
def test_a_known_shopper_clicks_through_a_purchase_and_it_never_returns(
    shop: Page, project: Project
) -> None:
    expect(cards(shop)).to_have_count(12)
    expect(shop.locator(".badge")).to_have_text(["model"] * 12)
    facts = shop.locator(".facts")
    expect(facts).to_contain_text(str(project.lock()["update"]["outs"][0]["md5"])[:8])  # type: ignore[index]
    expect(facts).to_contain_text(re.compile(r"gate\s*version \d+ (promoted|rejected)"))
    hint = shop.get_by_text("never recommended")
    bought = int(re.findall(r"\d+", hint.inner_text())[0])

    first = names(shop)
    do(shop, first[1], "view")
    do(shop, first[2], "cart")
    expect(cards(shop).first).to_contain_text(first[2])
    expect(cards(shop).first).to_contain_text("score 3")
    do(shop, first[2], "buy")
    expect(hint).to_have_text(f"never recommended: {bought + 1} bought")

    for _ in range(8):
        before = names(shop)
        assert first[2] not in before
        shop.get_by_role("button", name="Next").click()
        expect(cards(shop).first).not_to_contain_text(before[0])
        assert first[2] not in shop.locator("tbody").inner_text()
