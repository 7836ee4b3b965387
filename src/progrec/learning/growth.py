"""Rows for who and what is new: the first thing that a bundle does about a day."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from progrec.learning import dataset, side
from progrec.learning.bundle import Bundle
from progrec.learning.day import Day
from progrec.learning.embeddings import spaced
from progrec.learning.ncf import NCF
from progrec.learning.touches import COUNTED
from progrec.learning.vocabulary import Vocabulary

USER_COUNTS = ["views", "clicks", "carts", "removes", "total_purchases"]
ITEM_COUNTS = ["views", "carts", "total_sales"]


def frequent(bundle: Bundle, day: Day, min_events: int) -> Day:
    """A day without what rare users did, and what was done with rare items.

    Rare is who or what is new, has no part in the day's purchases and fewer events so far. Of an
    item, its table counts the views, carts and sales. A purchase is never left out: it has to be
    known for ever.

    Args:
        bundle: who and what is known.
        day: the day's tables.
        min_events: the fewest events that are enough for a row.
    """
    rows, bought = day.interactions, day.bought
    users = _rare(rows, day.user_features, USER_COUNTS, bundle.users, min_events)
    items = _rare(rows, day.item_features, ITEM_COUNTS, bundle.vocabulary, min_events)
    rare_users = rows["user_id"].isin(users.difference(bought["user_id"].tolist()))
    rare_items = rows["item_id"].isin(items.difference(bought["item_id"].tolist()))
    kept = rows[~(rare_users | rare_items)]
    return Day(
        day.date,
        kept,
        day.user_features[day.user_features["user_id"].isin(kept["user_id"])],
        day.item_features[day.item_features["item_id"].isin(kept["item_id"])],
    )


def _rare(
    rows: pd.DataFrame, features: pd.DataFrame, counts: list[str], known: Vocabulary, least: int
) -> pd.Index[str]:
    """The ids, as the first column of the features has them, that are new and have few events."""
    name = features.columns[0]
    own = rows.groupby(name)[COUNTED].sum().sum(axis=1)
    so_far = features.set_index(name)[counts].sum(axis=1).reindex(own.index)
    few = own.index[np.fmax(own, so_far) < least]
    return few[known.rows(few) < 0]


def grown(bundle: Bundle, day: Day) -> Bundle:
    """A bundle with rows for who and what is new on a day, that has seen what was done on it.

    New rows start from their side inputs if the network has any, else from the mean of the old: an
    item from that of its category, if there is such. Old rows are copies.

    Args:
        bundle: stays as it is.
        day: the day's tables.

    Returns:
        The bundle, unsaved, with the provenance of the one before.
    """
    users = bundle.users.grown(day.interactions["user_id"])
    items = _grown_items(bundle, day)
    vocabulary = bundle.vocabulary.grown(items["item_id"])
    codes = side.codes(items, bundle.network.config.features.attributes)
    network = bundle.network.grown(len(users), len(items), codes)
    new_users = bundle.users.rows(day.user_features["user_id"]) < 0
    new_items = bundle.vocabulary.rows(day.item_features["item_id"]) < 0
    new = replace(
        day,
        user_features=day.user_features[new_users],
        item_features=day.item_features[new_items],
    )
    tell(network, new, users, vocabulary)
    _start(network, bundle.network, items)
    evidence = bundle.evidence.after(day.interactions, users, vocabulary, day.date)
    return replace(
        bundle,
        network=network,
        users=users,
        items=items,
        purchases=_purchases(bundle, day, users, vocabulary),
        evidence=evidence,
        digest="",
    )


def _grown_items(bundle: Bundle, day: Day) -> pd.DataFrame:
    """The item table with the day's new items after the old."""
    vocabulary = bundle.vocabulary.grown(day.interactions["item_id"])
    new = pd.DataFrame({"item_id": vocabulary.ids[len(bundle.vocabulary) :]})
    attributes = day.item_features[["item_id", "category", "brand"]]
    items = pd.concat(
        [bundle.items, new.merge(attributes, on="item_id", how="left")], ignore_index=True
    )
    # Else how it is saved were to depend on whether a bundle was loaded, and on what is new.
    return items.astype(object)


@torch.no_grad()
def _start(network: NCF, before: NCF, items: pd.DataFrame) -> None:
    """Gives new rows the mean embedding: an item that of its category, if there is such.

    A row that has side inputs starts from these alone.
    """
    n_users, n_items = before.users.num_embeddings, before.n_items
    if before.users.side is None and network.users.num_embeddings > n_users:
        network.users.weight[n_users:] = spaced(before.users.weight).mean(dim=0)
    if before.items.side is None and network.n_items > n_items:
        kinds = items["category"].astype("string").fillna("")
        means = {"": before.items.weight.mean(dim=0)}
        for kind in kinds[n_items:].unique():
            alike = np.flatnonzero(kinds[:n_items] == kind)
            if kind and len(alike):
                means[kind] = before.items.weight[torch.from_numpy(alike)].mean(dim=0)
        for row, kind in enumerate(kinds[n_items:], n_items):
            network.items.weight[row] = means.get(kind, means[""])


def _purchases(bundle: Bundle, day: Day, users: Vocabulary, items: Vocabulary) -> pd.DataFrame:
    """The table of purchases with what was bought for the first time after it."""
    bought = dataset.purchases(day.interactions, users, items)
    before = bundle.evidence.touches.those_of(np.unique(bought["user"].to_numpy()))
    before = before[before["num_purchases"] > 0]
    known = before["user"] * len(items) + before["item"]
    is_first = ~(bought["user"] * len(items) + bought["item"]).isin(known)
    return pd.concat([bundle.purchases, bought[is_first]], ignore_index=True)


def tell(network: NCF, day: Day, users: Vocabulary, items: Vocabulary) -> None:
    """Gives a network the day's numbers of users and items, if it takes any."""
    features = network.config.features
    for part, table, names, rows in (
        (network.users.side, day.user_features, features.users, users),
        (network.items.side, day.item_features, features.items, items),
    ):
        if part is not None:
            places = rows.rows(table.iloc[:, 0])
            part.put(torch.from_numpy(places), side.numbers(table, names))
