"""Makes docs/images/terminal-run.png of the end of a run, as a terminal showed it.

script -qec "dvc repro; progrec report" run.log
python docs/terminal.py run.log
"""

from __future__ import annotations

import io
import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

COLUMNS = 120
FIRST = "Running stage 'train'"
NOISE = (
    "Updating lock file",
    "To track the changes",
    "\tgit add",
    "To enable auto",
    "\tdvc config",
    "Use `dvc push`",
)
PICTURE = Path(__file__).parent / "images" / "terminal-run.png"
PIECE = re.compile(r"\x1b\[[?\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]")


def shown(recorded: str) -> list[str]:
    """The lines that are on the screen at the end: what a bar showed, it has taken away."""
    screen: list[list[str]] = [[]]
    row, column, style = 0, 0, ""
    for piece in PIECE.findall(recorded):
        if piece == "\n":
            row += 1
            screen += [[]] * (row == len(screen))
            screen[row] = list(screen[row])
        elif piece == "\r":
            column = 0
        elif piece[0] != "\x1b":
            line = screen[row]
            line += [" "] * (column + 1 - len(line))
            line[column] = f"{style}{piece}\x1b[0m" if style else piece
            column += 1
        elif piece[-1] == "A":
            row -= int(piece[2:-1] or 1)
        elif piece[-1] == "K":
            del screen[row][0 if piece[2:-1] == "2" else column :]
        elif piece[-1] == "m":
            style = "" if piece in ("\x1b[m", "\x1b[0m") else style + piece
    return ["".join(line).rstrip() for line in screen]


def picture(told: str) -> str:
    """An SVG of a terminal with this text, which loads no font from the network."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(told))
    svg = console.export_svg(title="make run")
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace(
        "Fira Code, monospace", "DejaVu Sans Mono, monospace"
    )


def main(recorded: Path) -> None:
    """Draws what was recorded from the train stage on."""
    lines = shown(recorded.read_bytes().decode())
    start = next(place for place, line in enumerate(lines) if FIRST in line)
    stop = next(place for place, line in enumerate(lines) if "Script done" in line)
    told = "\n".join(line for line in lines[start:stop] if not line.startswith(NOISE))
    svg = picture(re.sub(r"\n{3,}", "\n\n", told))
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 860, "height": 700})
        page.set_content(f"<style>body {{ margin: 0 }} svg {{ width: 860px }}</style>{svg}")
        page.locator("svg").first.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
