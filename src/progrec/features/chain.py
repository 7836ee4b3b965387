"""A chain of days: each is known by what it was made of, back to the beginning."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from datetime import date
from itertools import dropwhile
from pathlib import Path

from progrec import content, warehouse
from progrec.features.tables import Tables


def links(
    recipe: Iterable[str], state: Iterable[Path], days: Mapping[date, Iterable[Path]]
) -> dict[date, str]:
    """The name of each day's work: a hash of its inputs and of the day before.

    Args:
        recipe: how a day is made: code and settings.
        state: the files that the first day starts from.
        days: day -> the files that it reads of that day.
    """
    link = _hash(*recipe, *map(content.digest, state))
    found = {}
    for day in sorted(days):
        link = found[day] = _hash(link, str(day), *map(content.digest, days[day]))
    return found


def code(*modules: str) -> str:
    """The source of modules of this package."""
    folder = Path(__file__).parent
    return "".join((folder / f"{name}.py").read_text("utf-8") for name in modules)


def stale(out: Tables, name: str, links: Mapping[date, str]) -> list[date]:
    """The first day of a table that is not there as its link says, and all days after it.

    Days without a link go.
    """
    (out.folder / name).mkdir(parents=True, exist_ok=True)
    for day in out.days(name):
        if day not in links:
            shutil.rmtree(out.day(name, day).parent)
    days = sorted(links)
    return list(dropwhile(lambda day: warehouse.link(out.day(name, day)) == links[day], days))


def _hash(*parts: str) -> str:
    return hashlib.md5("\n".join(parts).encode(), usedforsecurity=False).hexdigest()
