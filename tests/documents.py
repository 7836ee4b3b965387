"""The project's documents: their blocks of commands, inline code and links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

NOT_RUN = "not-run:"
MARKS = {
    "": "is run by default",
    "slow": "is run among the long tests",
    "service": "is run among the long tests, while the service runs",
    "serves": "is run among the long tests, until it answers",
    NOT_RUN: "is not run, for the reason that follows",
}
"""What may stand behind `bash` where a block begins."""

COMMENT = re.compile(r"""('[^']*'|"[^"]*")|(?<!\S)#[^\n]*""")
"""A comment or, as a group, what is quoted and therefore none."""


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        page: its page.
        line: where it begins, counted from 1.
        language: the first word behind the fence.
        mark: the others.
        text: what is in it.
    """

    page: Path
    line: int
    language: str
    mark: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_run(self) -> bool:
        return not self.mark.startswith(NOT_RUN)

    def commands(self) -> list[list[str]]:
        """The words of each simple command, without redirections and comments."""
        # shlex would take the end of the line for a part of the comment.
        text = COMMENT.sub(lambda found: found[1] or "", self.text.replace("\\\n", " "))
        lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
        lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
        found: list[list[str]] = [[]]
        for word in lexer:
            if set(word) <= set("();|&\n"):
                found.append([])
            else:
                found[-1].append(word)
        return [_unredirected(words) for words in found if words]


def _unredirected(words: list[str]) -> list[str]:
    if ">" not in words:
        return words
    place = words.index(">")
    return [*words[:place], *words[place + 2 :]]


def blocks(page: Path) -> list[Block]:
    """A page's fenced blocks, in order."""
    found = []
    for token in MarkdownIt().parse(page.read_text()):
        if token.type == "fence":
            language, _, mark = token.info.partition(" ")
            line = token.map[0] + 1 if token.map else 0
            found.append(Block(page, line, language, mark.strip(), token.content))
    return found


def shell_blocks() -> list[Block]:
    """All pages' blocks of commands."""
    return [block for page in PAGES for block in blocks(page) if block.language == "bash"]


def inline_code(page: Path) -> Iterator[str]:
    """What stands between backticks in a page's sentences and tables."""
    for token in MarkdownIt().enable("table").parse(page.read_text()):
        yield from (each.content for each in token.children or [] if each.type == "code_inline")


def links(page: Path) -> Iterator[str]:
    """What a page's links and pictures point to in this project."""
    for token in MarkdownIt().enable("table").parse(page.read_text()):
        for each in token.children or []:
            address = str(each.attrGet("href") or each.attrGet("src") or "")
            if address and not urlsplit(address).scheme:
                yield address
