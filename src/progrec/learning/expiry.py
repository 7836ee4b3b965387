"""Rows that nobody will ask for again: what leaves a bundle, so that its tables stay bounded."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import torch

from progrec.learning.bundle import Bundle
from progrec.learning.day import begins_week
from progrec.learning.touches import Touches
from progrec.learning.vocabulary import Rows, Vocabulary


def expired(bundle: Bundle, today: date, days: int | None) -> Bundle:
    """A bundle without the rows of who and what was not seen for some days.

    Who has bought something, and what was bought, stays: it has to be known for ever, so that it is
    never recommended again. All rows are looked at once a week: `begins_week`.

    Args:
        bundle: stays as it is.
        today: the day that is to be learned next.
        days: after how many a row expires; None if it never does.

    Returns:
        The bundle, unsaved; the one that was given if nothing has expired.
    """
    if days is None or not begins_week(today, bundle.evidence.day):
        return bundle
    rows = bundle.evidence.touches.table()
    old = rows["last"] < pd.Timestamp(today - timedelta(days))
    users, items = (
        _kept(len(table), rows.loc[old, name], rows.loc[~old, name], bundle.purchases[name])
        for name, table in (("user", bundle.users), ("item", bundle.items))
    )
    if len(users) == len(bundle.users) and len(items) == len(bundle.items):
        return bundle
    return _part(bundle, users, items)


def _kept(n: int, *seen: pd.Series[int]) -> Rows:
    """The rows, of n, but those that were seen long ago, and neither lately nor in a purchase."""
    long_ago, lately, bought = (each.to_numpy() for each in seen)
    gone = np.setdiff1d(long_ago, np.union1d(lately, bought))
    return np.setdiff1d(np.arange(n), gone)


def _part(bundle: Bundle, users: Rows, items: Rows) -> Bundle:
    """A bundle of some users and items, in their order."""
    user_places, item_places = (
        _places(kept, n) for kept, n in ((users, len(bundle.users)), (items, len(bundle.items)))
    )
    rows = _placed(bundle.evidence.touches.table(), user_places, item_places)
    evidence = replace(
        bundle.evidence,
        touches=Touches.of(rows),
        demand=bundle.evidence.demand[items],
        neighbours=bundle.evidence.neighbours[items][:, items],
        n_users=len(users),
    )
    return replace(
        bundle,
        network=bundle.network.part(torch.from_numpy(users), torch.from_numpy(items)),
        users=Vocabulary(bundle.users.ids[users]),
        items=bundle.items.iloc[items].reset_index(drop=True),
        purchases=_placed(bundle.purchases, user_places, item_places),
        evidence=evidence,
        digest="",
    )


def _places(kept: Rows, n: int) -> Rows:
    """(n,) the place of each row among those that are kept; -1 of the others."""
    places = np.full(n, -1)
    places[kept] = np.arange(len(kept))
    return places


def _placed(rows: pd.DataFrame, users: Rows, items: Rows) -> pd.DataFrame:
    """Rows of users and items by their new places, without those that have none."""
    placed = rows.assign(user=users[rows["user"]], item=items[rows["item"]])
    there = (placed["user"] >= 0) & (placed["item"] >= 0)
    return placed[there].reset_index(drop=True)
