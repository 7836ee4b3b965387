"""Every command that a document shows exists, with these options and settings."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from commands import WrongCommandError, parsed
from documents import MARKS, NOT_RUN, PAGES, Block, blocks, inline_code, shell_blocks

OURS = ("progrec", "make", "dvc", "python")
OTHERS = {"cp", "curl", "git", "pip", "pre-commit", "rm"}
"""Programs of which nothing but the name is checked."""

BLOCKS = shell_blocks()
NOT_RUN_HERE = 12
"""So many blocks are not run; another number means that somebody decided so."""


def name(block: Block) -> str:
    return block.name


@pytest.mark.parametrize("block", BLOCKS, ids=name)
def test_each_command_of_a_block_parses(block: Block) -> None:
    commands = block.commands()

    assert commands != []
    for words in commands:
        assert words[0] in {*OURS, *OTHERS}
        if words[0] in OURS:
            parsed(words)


@pytest.mark.parametrize("block", BLOCKS, ids=name)
def test_a_block_says_whether_it_is_run_or_why_not(block: Block) -> None:
    if block.is_run:
        assert block.mark in MARKS
    else:
        assert len(block.mark.removeprefix(NOT_RUN).split()) >= 3


def test_no_block_is_left_out_in_silence() -> None:
    assert [block.is_run for block in BLOCKS].count(False) == NOT_RUN_HERE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_stand_in_blocks_that_say_so(page: Path) -> None:
    for block in blocks(page):
        if block.language != "bash":
            first = {line.split()[0] for line in block.text.splitlines() if line.split()}
            assert first.isdisjoint({*OURS, *OTHERS}), block.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_command_of_a_sentence_exists(page: Path) -> None:
    for code in inline_code(page):
        words = code.split()
        if words[0] in OURS and len(words) > 1 and "..." not in words:
            parsed(shlex.split(code), whole=False)


@pytest.mark.parametrize(
    "line",
    [
        "progrec quue audit",
        "progrec queue audit --fast",
        "progrec model promote first",
        "progrec recommend",
        "make runn",
        "dvc repo",
        "dvc repro --nonsense",
        "python -m progrec.learning.train model.factor=8",
        "python -m progrec.learning.train loss=bbc",
        "python -m progrec.learning.train -m model.factors=8,none",
        "python -m benchmarks.update --evnts DIR",
        "python -m benchmarks.nothing",
        "conda install progrec",
    ],
)
def test_a_command_that_does_not_exist_so_is_found(line: str) -> None:
    with pytest.raises(WrongCommandError):
        parsed(shlex.split(line))


def test_a_block_is_taken_apart() -> None:
    text = """\
rm -r data     # the sample; gone
progrec import clickstream --events a.csv \\
  --purchases b.csv
cp a b && progrec queue audit > found.json   # what's wrong
curl -d '{"events": [
  {"k": 1}]}'
"""
    block = Block(PAGES[0], 1, "bash", "", text)

    assert block.commands() == [
        ["rm", "-r", "data"],
        ["progrec", "import", "clickstream", "--events", "a.csv", "--purchases", "b.csv"],
        ["cp", "a", "b"],
        ["progrec", "queue", "audit"],
        ["curl", "-d", '{"events": [\n  {"k": 1}]}'],
    ]
