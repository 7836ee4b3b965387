"""The chain of deltas: each link a day that was learned, known by what it was made of."""

from __future__ import annotations

import datetime
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from progrec import content
from progrec.learning import config as configs
from progrec.learning import dataset, day
from progrec.learning.bundle import Bundle, BundleError, Link
from progrec.learning.config import UpdateConfig
from progrec.learning.day import Day


@dataclass(frozen=True)
class Delta:
    """A window of days that are to be learned at once; mostly of one.

    Attributes:
        folder: of the deltas' feature tables.
        dates: its days on which something happened; at least one.
        date: its last day.
        digest: of its files.
        data_digest: of all days' events up to it: the hash that DVC knows them by when it is the
            last one.
    """

    folder: Path
    dates: tuple[datetime.date, ...]
    date: datetime.date
    digest: str
    data_digest: str

    def read(self) -> Day:
        """Its tables."""
        return Day.joined([Day.read(self.folder, date) for date in self.dates], self.date)


@dataclass(frozen=True, eq=False)
class Chain:
    """What the update has to end in.

    Attributes:
        cold: the model that it starts from.
        deltas: the days, in order.
        config_digest: of the settings that each day is learned with, and of the code that does it.
    """

    cold: Bundle
    deltas: tuple[Delta, ...]
    config_digest: str

    @classmethod
    def of(cls, cold: Bundle, config: UpdateConfig, k: int) -> Chain:
        """The chain that a configuration asks for, measured by lists of k."""
        windows = _windows(config.data, cold.watermark, config.update.window_days)
        return cls(cold, tuple(_deltas(config.data, windows)), _method(config, k))

    def resumed(self, path: Path) -> tuple[Bundle, Sequence[Delta]]:
        """The bundle to go on from, and the days that it has still to learn.

        What lies at a path is gone on from if it is a beginning of this chain: made from the same
        cold model, of days that have not changed since, in the same way. Else, or if it cannot be
        read, the chain starts again.
        """
        try:
            bundle = Bundle.load(path)
        except BundleError:
            return self.cold, self.deltas
        links = bundle.provenance.chain
        if not links or not self._starts_with(links):
            return self.cold, self.deltas
        return bundle, self.deltas[len(links) :]

    def _starts_with(self, links: Sequence[Link]) -> bool:
        wanted = [(delta.date, delta.digest, self.config_digest) for delta in self.deltas]
        found = [(link.date, link.delta_digest, link.config_digest) for link in links]
        return links[0].parent_digest == self.cold.digest and found == wanted[: len(found)]


Window = tuple[datetime.date, tuple[datetime.date, ...]]
"""The last day, and those on which something happened."""


def _windows(folder: Path, start: datetime.date, days: int) -> list[Window]:
    """The windows after a day that are over, of those that the features stage has made days of."""
    dates = dataset.read_days(folder / dataset.EVENTS)
    numbered = itertools.groupby(dates, lambda date: -((start - date).days // days))
    windows = [(start + datetime.timedelta(days * n), tuple(each)) for n, each in numbered]
    return [(last, each) for last, each in windows if last <= dates[-1]]


def _deltas(folder: Path, windows: Iterable[Window]) -> list[Delta]:
    events: dict[str, str] = {}
    deltas = []
    for last, dates in windows:
        names: list[str] = []
        for date in dates:
            digests = day.digests(folder, date)
            events[f"date={date}/{dataset.EVENTS}.parquet"] = digests[dataset.EVENTS]
            names += digests.values()
        deltas.append(Delta(folder, dates, last, ".".join(names), content.folder_digest(events)))
    return deltas


def _method(config: UpdateConfig, k: int) -> str:
    """Hash of the settings, of what is measured and of this package's code."""
    code = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    settings = f"{configs.digest(config)} {k}".encode()
    return hashlib.sha256(b"\0".join([settings, *code])).hexdigest()
