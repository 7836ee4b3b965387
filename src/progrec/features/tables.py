"""Where feature tables lie: history's as one file each, the deltas' as a folder a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from progrec import warehouse


@dataclass(frozen=True)
class Tables:
    """The tables of history or of the deltas.

    Attributes:
        folder: holds `<table>.parquet`, or `<table>/date=YYYY-MM-DD/<table>.parquet`.
    """

    folder: Path

    def whole(self, name: str) -> Path:
        """The file of a table that is not cut in days."""
        return self.folder / f"{name}.parquet"

    def day(self, name: str, day: date) -> Path:
        """The file of a table's day."""
        return self.folder / name / f"date={day}" / f"{name}.parquet"

    def days(self, name: str) -> list[date]:
        """The days that a table has, in order."""
        return days(self.folder / name)

    def files(self, name: str) -> list[Path]:
        """A table's files, in order of time."""
        if self.whole(name).exists():
            return [self.whole(name)]
        return [self.day(name, day) for day in self.days(name)]


def days(folder: Path) -> list[date]:
    """The days that a folder is partitioned into, in order."""
    return sorted(
        date.fromisoformat(path.name.removeprefix("date=")) for path in folder.glob("date=*")
    )


def rows(files: Sequence[Path]) -> str:
    """SQL of the rows of files, with `position`: their order in the files, and the files' order."""
    return (
        "select *, file_index * cast(1e12 as bigint) + file_row_number as position "
        f"from {warehouse.parquet(files)}"
    )
