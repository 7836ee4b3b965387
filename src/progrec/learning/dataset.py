"""Feature tables -> arrays that a network can be trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from progrec import warehouse
from progrec.errors import InputError
from progrec.learning.vocabulary import Rows, Vocabulary
from progrec.settings import EventType

EventWithWeight = Literal["view", "click", "cart", "purchase"]
"""An event type that speaks for an item."""

COUNTS: Mapping[EventWithWeight, str] = {
    "view": "num_views",
    "click": "num_clicks",
    "cart": "num_carts",
    "purchase": "num_purchases",
}
"""Its column in the interaction table."""

ALL_COUNTS: Mapping[EventType, str] = {
    "view": "num_views",
    "click": "num_clicks",
    "cart": "num_carts",
    "purchase": "num_purchases",
    "remove_from_cart": "num_removes",
}
"""The same of every event type."""

EVENTS = "enriched"
"""Where the dated events lie among the feature tables."""

INTERACTIONS = """
    select
        cast(event_time as date) as date,
        user_id,
        item_id,
        count(*) filter (where event_type = 'view') as num_views,
        count(*) filter (where event_type = 'click') as num_clicks,
        count(*) filter (where event_type = 'cart') as num_carts,
        count(*) filter (where event_type = 'remove_from_cart') as num_removes,
        count(*) filter (where event_type = 'purchase') as num_purchases,
        -- Decimals add up to the same sum in any order; floats do not.
        cast(coalesce(
            sum(cast(price as decimal(18, 6))) filter (where event_type = 'purchase'), 0
        ) as double) as total_spent
    from {events}
    group by cast(event_time as date), user_id, item_id
    order by date, user_id, item_id
"""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Distinct (user, item) pairs that speak for the item.

    Attributes:
        users: (n,) user rows.
        items: (n,) item rows.
        weights: (n,) how much each pair counts in the loss, above 0.
    """

    users: Rows
    items: Rows
    weights: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.users)


def read_table(path: Path) -> pd.DataFrame:
    """One file of the features stage.

    Raises:
        InputError: it is not there, or no Parquet file.
    """
    try:
        # The columns are the file's: a folder called a=b above it shall not add one.
        frame: pd.DataFrame = pq.read_table(path, partitioning=None).to_pandas()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run the pipeline: `dvc repro`") from None
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    return frame


def read_interactions(folder: Path) -> pd.DataFrame:
    """The interaction table of all days: what each user did with each item on each day.

    Args:
        folder: the enriched events, partitioned by date.

    Returns:
        Columns date, user_id, item_id (together the key and the order), num_views, num_clicks,
        num_carts, num_removes, num_purchases and total_spent.

    Raises:
        InputError: there is no day, or a day cannot be read.
    """
    days = read_days(folder)
    if not days:
        raise InputError(f"{folder} holds no events; run the pipeline: `dvc repro`")
    return _interactions([_events(folder, day) for day in days])


def read_before(features: Path, day: date) -> pd.DataFrame:
    """The interaction table of the days before a day, history's and the deltas'.

    Args:
        features: the folder of both.
        day: the first day that is not read.

    Raises:
        InputError: there is no day before, or one cannot be read.
    """
    folders = (features / "history" / EVENTS, features / "delta" / EVENTS)
    days = [(folder, each) for folder in folders for each in read_days(folder) if each < day]
    if not days:
        raise InputError(f"{features} holds no events before {day}; run the pipeline: `dvc repro`")
    return _interactions([_events(*each) for each in days])


def read_days(folder: Path) -> list[date]:
    """The days that the enriched events hold, in order; none where there is no such folder."""
    return sorted(
        date.fromisoformat(path.name.removeprefix("date=")) for path in folder.glob("date=*")
    )


def read_day(folder: Path, day: date) -> pd.DataFrame:
    """The interaction table of one day."""
    return _interactions([_events(folder, day)])


def _events(folder: Path, day: date) -> Path:
    return folder / f"date={day}" / "enriched.parquet"


def _interactions(files: Sequence[Path]) -> pd.DataFrame:
    query = INTERACTIONS.format(events=warehouse.parquet(files))
    try:
        with warehouse.connect() as connection:
            frame: pd.DataFrame = connection.sql(query).to_arrow_table().to_pandas()
    except duckdb.Error as error:
        raise InputError(f"{files[0].parents[1]} cannot be read: {error}") from None
    return frame


def pairs(
    interactions: pd.DataFrame,
    users: Vocabulary,
    items: Vocabulary,
    event_weights: Mapping[EventWithWeight, float],
    half_life_days: float | None = None,
) -> Pairs:
    """The pairs in which a user did something that has a weight.

    A pair weighs as much as the heaviest thing that the user did, however often. If weights fade,
    they are what is left of them on the last day on which something has a weight.

    Args:
        interactions: rows of the interaction table.
        users: the users' rows.
        items: the items' rows.
        event_weights: event type -> weight; types without one, or with 0, do not count.
        half_life_days: after how many days an event weighs half as much; None if it never does.
    """
    weights = heaviest(interactions, event_weights)
    kept, weights = interactions.loc[weights > 0], weights[weights > 0]
    if half_life_days is not None:
        weights = _faded(weights, kept["date"], half_life_days)
    keys = users.rows(kept["user_id"]) * len(items) + items.rows(kept["item_id"])
    distinct, inverse = np.unique(keys, return_inverse=True)
    most = np.zeros(len(distinct), np.float32)
    np.maximum.at(most, inverse, weights)
    return Pairs(distinct // len(items), distinct % len(items), most)


def heaviest(
    counts: pd.DataFrame, event_weights: Mapping[EventWithWeight, float]
) -> npt.NDArray[np.float32]:
    """(n,) the weight of the heaviest event that each row counts; 0 if it counts none."""
    weights = np.zeros(len(counts), np.float32)
    for event_type, weight in event_weights.items():
        happened = counts[COUNTS[event_type]].to_numpy() > 0
        np.maximum(weights, happened * np.float32(weight), out=weights)
    return weights


def _faded(
    weights: npt.NDArray[np.float32], days: pd.Series[Any], half_life_days: float
) -> npt.NDArray[np.float32]:
    dates = pd.to_datetime(days)
    ages = (dates.max() - dates).dt.days.to_numpy()
    left = (weights * 0.5 ** (ages / half_life_days)).astype(np.float32)
    # However long ago it was, a pair is known, and a batch of such has a mean.
    return np.maximum(left, np.finfo(np.float32).tiny)


def matrix(users: Rows, items: Rows, shape: tuple[int, int]) -> csr_array:
    """A sparse 0/1 matrix of pairs; pairs with an unknown side (-1) are left out."""
    known = (users >= 0) & (items >= 0)
    keys = np.unique(users[known] * shape[1] + items[known])
    ones = np.ones(len(keys), np.float32)
    return csr_array((ones, (keys // shape[1], keys % shape[1])), shape=shape)


def bought(interactions: pd.DataFrame, users: Vocabulary, items: Vocabulary) -> csr_array:
    """(n_users, n_items) 0/1: who bought what."""
    purchases = interactions.loc[interactions["num_purchases"] > 0]
    return matrix(
        users.rows(purchases["user_id"]),
        items.rows(purchases["item_id"]),
        (len(users), len(items)),
    )


def purchases(interactions: pd.DataFrame, users: Vocabulary, items: Vocabulary) -> pd.DataFrame:
    """One row a (user, item) bought: their rows `user` and `item`, and the first `date`."""
    rows = interactions.loc[interactions["num_purchases"] > 0]
    frame = pd.DataFrame(
        {
            "user": users.rows(rows["user_id"]),
            "item": items.rows(rows["item_id"]),
            "date": rows["date"],
        }
    )
    return frame.groupby(["user", "item"])["date"].min().reset_index()
