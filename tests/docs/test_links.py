"""What documents point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from documents import PAGES, ROOT, inline_code, links

CODE = re.compile(r"(src|tests|conf|benchmarks|docs)/[\w./-]*")

POINTED = [(page, link) for page in PAGES for link in links(page)]


@pytest.mark.parametrize(
    ("page", "link"), POINTED, ids=[f"{page.name}: {link}" for page, link in POINTED]
)
def test_a_link_leads_to_a_file(page: Path, link: str) -> None:
    file, _, _ = link.partition("#")

    assert (page.parent / file).exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_file_of_the_code_that_a_page_names_is_there(page: Path) -> None:
    named = {code for code in inline_code(page) if CODE.fullmatch(code) and "NAME" not in code}

    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_the_readme_names_every_page() -> None:
    named = {(ROOT / link).resolve() for link in links(ROOT / "README.md")}

    assert {page.resolve() for page in PAGES} - named == {(ROOT / "README.md").resolve()}


def test_every_picture_is_shown_and_says_what_it_shows() -> None:
    shown = {(page.parent / link).resolve() for page, link in POINTED if link.endswith(".png")}

    assert {path.resolve() for path in (ROOT / "docs/images").glob("*.png")} - shown == set()
