"""Sample shops of any size, made once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.processes import aside
from progrec import atomic
from progrec.events import simulate

FULL = 20_700_000  # events; with it come the users, products and days of a full-size shop
FULL_USERS = 1_640_000
LEAST = 10_000  # below, the simulator's few malformed rows are more than ingest lets pass
LEAST_USERS = 100


@dataclass(frozen=True)
class Size:
    """How large a shop is: the simulator's arguments."""

    events: int
    users: int
    products: int = 54_000
    days: int = 150
    seed: int = 0

    @staticmethod
    def of(events: int) -> Size:
        """The shop of that many events: as many to a user as in the full-size one."""
        return Size(events, max(LEAST_USERS, round(events * FULL_USERS / FULL)))


def growing(events: int) -> list[int]:
    """Three numbers of events, up to the given one, that stand as 2 : 5 : 20.7."""
    return [round(events * 2 / 20.7), round(events * 5 / 20.7), events]


def cached(size: Size, cache: Path) -> Path:
    """The folder of a shop's raw data; simulated if it is not in the cache."""
    name = "-".join(f"{key}{value}" for key, value in asdict(size).items())
    folder = cache / name
    if not folder.exists():
        aside(_make, size, folder)
    return folder


def _make(size: Size, folder: Path) -> None:
    with atomic.replacing(folder) as new:
        simulate.simulate(new, **asdict(size))
