from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import PurePosixPath
from typing import Any

import pytest

from progrec.learning.bundle import Bundle
from progrec.registry import description
from progrec.registry.decision import Decision

EXAM = {
    "users": 1200,
    "champion": {"ndcg": 0.21, "recall": 0.3},
    "challenger": {"ndcg": 0.2, "recall": 0.3},
    "low": -0.02,
    "high": -0.001,
}
SHOWN = {"users": 1000, "unusable": 0, "undecided": 0, "probability": 0.0051, "products": 1098}


class Made:
    """A run of a store that is not there."""

    def __init__(self, name: str, *figures: str) -> None:
        self.name = name
        self.id = f"id of {name}"
        self.address = f"#/runs/{name}"
        self.figures = [PurePosixPath(f"figures/{figure}.png") for figure in figures]


RUNS = [Made("daily", "days"), Made("hybrid", "amounts", "baselines", "reliability")]


@pytest.fixture
def lines(shop_of: Callable[..., Bundle]) -> Callable[..., list[str]]:
    """Settings of a decision -> the lines that describe a version."""

    def describe(runs: list[Made], **settings: Any) -> list[str]:
        given = {"promoted": True, "reasons": (), "figures": {"k": 20}, "champion": None}
        decision = Decision(**(given | settings), learned_up_to=date(2020, 2, 20))
        return description.markdown(shop_of(), decision, runs).splitlines()

    return describe


def test_a_first_version_says_that_there_was_none_to_compare_it_with(
    lines: Callable[..., list[str]],
) -> None:
    text = lines([], figures={"k": 20, "challenger": SHOWN})

    assert (
        text[0] == "**The gate promoted this version**, there was no champion to compare it with."
    )
    assert (
        "1,000 shoppers are shown 1,098 different products, with a mean purchase probability of "
        "0.0051." in text
    )
    assert "- learned up to **2020-02-20**: 48 shoppers and 24 products" in text
    assert not [line for line in text if line.startswith(("|", "!"))]


def test_a_rejected_version_says_why_and_what_was_measured(
    lines: Callable[..., list[str]],
) -> None:
    figures = {"k": 20, "challenger": SHOWN, "frozen": EXAM}

    text = lines(
        [], promoted=False, reasons=("it is worse", "and odd"), figures=figures, champion=3
    )

    assert text[:4] == [
        "**The gate rejected this version**, compared with version 3, the champion then.",
        "",
        "- it is worse",
        "- and odd",
    ]
    assert [line for line in text if line.startswith("|")] == [
        "| NDCG@20 | this version | version 3 | difference, 95 % | shoppers |",
        "|---|---|---|---|---|",
        "| end of history | 0.2000 | 0.2100 | -0.0200 to -0.0010 | 1,200 |",
    ]


def test_the_runs_are_linked_and_their_pictures_shown_in_order(
    lines: Callable[..., list[str]],
) -> None:
    text = lines(RUNS)

    assert "- made by the run [daily](#/runs/daily)" in text
    assert "- from what [hybrid](#/runs/hybrid) had made" in text
    assert [line for line in text if line.startswith("!")] == [
        "![days](get-artifact?path=figures/days.png&run_uuid=id of daily)",
        "![baselines](get-artifact?path=figures/baselines.png&run_uuid=id of hybrid)",
        "![reliability](get-artifact?path=figures/reliability.png&run_uuid=id of hybrid)",
    ]
