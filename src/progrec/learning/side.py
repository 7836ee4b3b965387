"""What is known of users and items besides who liked what: the network's side inputs.

All of it is made of totals up to a moment, and of an item's category and brand. History's totals
are summed up from its interactions, so that a search that knows only what went before a day sees
nothing later in them; the deltas' are the features stage's, whose sums are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

UserNumber = Literal[
    "total_purchases", "total_spent", "avg_spent", "views", "clicks", "carts", "removes"
]
ItemNumber = Literal[
    "total_sales", "revenue", "avg_price", "views", "carts", "cart_to_purchase_rate"
]
Attribute = Literal["category", "brand"]

RATIOS = {
    "avg_spent": ("total_spent", "total_purchases"),
    "avg_price": ("revenue", "total_sales"),
    "cart_to_purchase_rate": ("total_sales", "carts"),
}
"""Number -> the totals whose ratio it is: made here, so that they agree whoever made the totals."""

USER_TOTALS = {
    "total_purchases": "num_purchases",
    "total_spent": "total_spent",
    "views": "num_views",
    "clicks": "num_clicks",
    "carts": "num_carts",
    "removes": "num_removes",
}
ITEM_TOTALS = {
    "total_sales": "num_purchases",
    "revenue": "total_spent",
    "views": "num_views",
    "carts": "num_carts",
}
"""Column of the features stage's table -> what of the interaction table it is the sum of."""


def user_totals(interactions: pd.DataFrame) -> pd.DataFrame:
    """One row a user_id, which is the index: the sums that the table of user features has."""
    return _totals(interactions, "user_id", USER_TOTALS)


def item_totals(interactions: pd.DataFrame) -> pd.DataFrame:
    """One row an item_id, which is the index: the sums that the table of item features has."""
    return _totals(interactions, "item_id", ITEM_TOTALS)


def _totals(interactions: pd.DataFrame, key: str, columns: dict[str, str]) -> pd.DataFrame:
    sums = interactions.groupby(key)[list(columns.values())].sum()
    return sums.set_axis(list(columns), axis=1)


def numbers(totals: pd.DataFrame, names: Sequence[str]) -> Tensor:
    """Totals and ratios as a network takes them.

    Args:
        totals: one row each.
        names: the f numbers to take of it.

    Returns:
        (n, f) log(1 + |number|) with the number's sign: they span magnitudes, and a shop's refunds
        are below 0. NaN where a ratio has nothing to be one of.
    """
    columns = np.empty((len(totals), len(names)), np.float32)
    for place, name in enumerate(names):
        number = _number(totals, name)
        columns[:, place] = np.sign(number) * np.log1p(np.abs(number))
    return torch.from_numpy(columns)


def _number(totals: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    if name not in RATIOS:
        return totals[name].to_numpy(np.float64)
    part, whole = (totals[column].to_numpy(np.float64) for column in RATIOS[name])
    ratio = np.full(len(totals), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def codes(items: pd.DataFrame, attributes: Sequence[str]) -> Tensor:
    """The items' attributes as numbers.

    Args:
        items: one row an item.
        attributes: the a columns to take of it.

    Returns:
        (n, a) a word's number, counted from 1 in the order of first appearance: items added after
        the others change no code. 0 where the attribute is unknown.
    """
    columns = np.empty((len(items), len(attributes)), np.int64)
    for place, name in enumerate(attributes):
        columns[:, place] = pd.factorize(items[name])[0] + 1
    return torch.from_numpy(columns)
