"""The chain of deltas: each link a day that was learned, known by what it was made of."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
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
    """A day that is to be learned.

    Attributes:
        folder: of the deltas' feature tables.
        date: which day.
        digest: of its files.
        data_digest: of all days' events up to it: the hash that DVC knows them by when it is the
            last one.
    """

    folder: Path
    date: datetime.date
    digest: str
    data_digest: str

    def read(self) -> Day:
        """Its tables."""
        return Day.read(self.folder, self.date)


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
        return cls(cold, tuple(_deltas(config.data)), _method(config, k))

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


def _deltas(folder: Path) -> list[Delta]:
    """The days that the features stage has made."""
    events: dict[str, str] = {}
    deltas = []
    for date in dataset.read_days(folder / dataset.EVENTS):
        digests = day.digests(folder, date)
        events[f"date={date}/{dataset.EVENTS}.parquet"] = digests[dataset.EVENTS]
        name = ".".join(digests.values())
        deltas.append(Delta(folder, date, name, content.folder_digest(events)))
    return deltas


def _method(config: UpdateConfig, k: int) -> str:
    """Hash of the settings, of what is measured and of this package's code."""
    code = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    settings = f"{configs.digest(config)} {k}".encode()
    return hashlib.sha256(b"\0".join([settings, *code])).hexdigest()
