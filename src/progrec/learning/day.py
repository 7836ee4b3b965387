"""One day of the deltas, as the update reads it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from progrec import content
from progrec.errors import InputError
from progrec.learning import dataset

TABLES = (dataset.EVENTS, "user_features", "item_features")


@dataclass(frozen=True, eq=False)
class Day:
    """A day's tables.

    Attributes:
        date: which day it is.
        interactions: the day's rows of the interaction table.
        user_features: one row a user whom the day touched, as of its end.
        item_features: one row an item that the day touched, as of its end.
    """

    date: datetime.date
    interactions: pd.DataFrame
    user_features: pd.DataFrame
    item_features: pd.DataFrame

    @classmethod
    def read(cls, folder: Path, day: datetime.date) -> Day:
        """Reads what the features stage wrote."""
        users, items = (dataset.read_table(_file(folder, name, day)) for name in TABLES[1:])
        return cls(day, dataset.read_day(folder / dataset.EVENTS, day), users, items)

    @property
    def bought(self) -> pd.DataFrame:
        """The rows of what was bought."""
        return self.interactions[self.interactions["num_purchases"] > 0]


def digests(folder: Path, day: datetime.date) -> dict[str, str]:
    """Hashes of a day's files, by table.

    Raises:
        InputError: one is not there.
    """
    files = {name: _file(folder, name, day) for name in TABLES}
    for file in files.values():
        if not file.exists():
            raise InputError(f"{file} does not exist; run the pipeline: `dvc repro`")
    return {name: content.digest(file) for name, file in files.items()}


def _file(folder: Path, name: str, day: datetime.date) -> Path:
    return folder / name / f"date={day}" / f"{name}.parquet"
