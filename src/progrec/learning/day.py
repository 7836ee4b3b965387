"""A day of the deltas, or a few, as the update reads them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from progrec import content
from progrec.errors import InputError
from progrec.learning import dataset

WEEK = 7
TABLES = (dataset.EVENTS, "user_features", "item_features")


@dataclass(frozen=True, eq=False)
class Day:
    """A day's tables, or those of a few days that are learned as if they were one.

    Attributes:
        date: the last day.
        interactions: the days' rows of the interaction table.
        user_features: one row a user whom the days touched, as of the end of the last that did.
        item_features: one row an item that the days touched, likewise.
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

    @classmethod
    def joined(cls, days: Sequence[Day], last: datetime.date) -> Day:
        """Some days, in order, as one that ends with a last day, on which nothing need happen."""
        users, items = (
            pd.concat(tables).drop_duplicates(name, keep="last", ignore_index=True)
            for name, tables in (
                ("user_id", [day.user_features for day in days]),
                ("item_id", [day.item_features for day in days]),
            )
        )
        interactions = pd.concat([day.interactions for day in days], ignore_index=True)
        return cls(last, interactions, users, items)

    @property
    def bought(self) -> pd.DataFrame:
        """The rows of what was bought."""
        return self.interactions[self.interactions["num_purchases"] > 0]


def begins_week(day: datetime.date, before: datetime.date) -> bool:
    """Whether a day is the first of its week, which begins on Sunday, after another day.

    What costs as much as the tables are large is done on such days.
    """
    return day.toordinal() // WEEK != before.toordinal() // WEEK


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
