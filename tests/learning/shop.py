"""Events small enough to know every answer, and what the features stage makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from progrec.learning import dataset, ials
from progrec.learning.bundle import Bundle, Provenance
from progrec.learning.config import IALSConfig, ModelConfig, NeighboursConfig, Recipe
from progrec.learning.day import Day
from progrec.learning.evidence import Evidence
from progrec.learning.ncf import NCF
from progrec.learning.vocabulary import Vocabulary
from progrec.settings import SplitSettings

COUNTS = {
    "view": "num_views",
    "click": "num_clicks",
    "cart": "num_carts",
    "remove_from_cart": "num_removes",
    "purchase": "num_purchases",
}

FILES = {
    "config.json",
    "demand.parquet",
    "history.parquet",
    "items.parquet",
    "model.safetensors",
    "neighbours.parquet",
    "provenance.json",
    "purchases.parquet",
    "recipe.json",
    "users.parquet",
}
"""Of a bundle."""

Event = tuple[str, str, str, str]
"""Day, user, item and event type."""


def bought(*pairs: str, day: str = "2020-02-01") -> list[Event]:
    """Purchases: "ann p01" is one."""
    return [(day, *pair.split(), "purchase") for pair in pairs]


class Checkerboard:
    """Two kinds of shoppers and two kinds of products; nobody looks at the other kind.

    Each shopper buys four of their kind's six products early, a fifth on the first day of
    history's last week, and never the sixth, which others of the kind have bought.
    """

    users = tuple(f"u{number:02}" for number in range(24))
    items = tuple(f"p{number:02}" for number in range(12))
    split = SplitSettings(cutoff=date(2020, 2, 1), validation_days=7, horizon_days=7)

    def own(self, user: str) -> list[str]:
        """The products of a shopper's kind, in the order in which they buy them."""
        number = int(user[1:])
        items = [item for item in self.items if int(item[1:]) % 2 == number % 2]
        start = (number // 2) % len(items)
        return items[start:] + items[:start]

    def others(self, user: str) -> list[str]:
        """The products of the other kind."""
        return [item for item in self.items if item not in self.own(user)]

    @property
    def events(self) -> list[Event]:
        """History."""
        days = ("2020-01-03", "2020-01-06", "2020-01-09", "2020-01-12", "2020-01-25")
        return [
            (day, user, item, "purchase")
            for user in self.users
            for day, item in zip(days, self.own(user), strict=False)
        ]


EVENT_TYPES = ("view", "view", "click", "cart", "remove_from_cart", "purchase", "purchase")


def days_after(n_days: int, seed: int = 0) -> list[Event]:
    """What shoppers do after the checkerboard's history: some of them, and some things, are new."""
    generator = np.random.default_rng(seed)
    events = []
    for day in range(1, n_days + 1):
        users = generator.integers(0, 24 + 2 * day, size=30)
        items = generator.integers(0, 12 + day, size=30)
        types = generator.integers(0, len(EVENT_TYPES), size=30)
        events += [
            (f"2020-02-{day:02}", f"u{user:02}", f"p{item:02}", EVENT_TYPES[kind])
            for user, item, kind in zip(users, items, types, strict=True)
        ]
    return events


def cold_model() -> Bundle:
    """A bundle of the checkerboard's history, as a training would leave it but for its fusion."""
    history = Checkerboard()
    table = interactions_of(history.events)
    users, items = Vocabulary.of(history.users), Vocabulary.of(history.items)
    start = IALSConfig(regularization=0.05, unobserved_weight=0.2, iterations=3, deviation=0.5)
    day = date(2020, 1, 31)
    known = Evidence.of(table, users, items, day)
    config = NeighboursConfig(regularizations=(1.0,), max_items=12, kept=4)
    torch.manual_seed(3)
    network = NCF(
        len(users),
        len(items),
        ModelConfig(towers=("gmf", "mlp"), factors=4, layers=(4, 3), fusion=(4,)),
    )
    network.start_from(*ials.fit(known.likes(), 4, start, seed=0, quiet=True))
    return Bundle(
        network.eval(),
        users,
        item_features_of(history.events)[["item_id", "category", "brand"]],
        dataset.purchases(table, users, items),
        Provenance(
            data_digest="0" * 32 + ".dir",
            config_digest="1" * 64,
            parent_digest=None,
            watermark=day,
        ),
        known.with_neighbours(config),
        Recipe(start=start, epochs=1, neighbours=config),  # a day takes gradient steps, too
    )


def price_of(item: str) -> float:
    """What an item costs: p03 costs 3.5, and what has no number 0.5."""
    return int(item[1:] if item[1:].isdigit() else 0) + 0.5


def interactions_of(events: Sequence[Event]) -> pd.DataFrame:
    counts = Counter(events)
    keys = sorted({event[:3] for event in events})
    frame = pd.DataFrame(keys, columns=["date", "user_id", "item_id"], dtype=object)
    for event_type, column in COUNTS.items():
        frame[column] = np.array([counts[*key, event_type] for key in keys], np.int64)
    frame["total_spent"] = frame["num_purchases"] * [price_of(item) for _, _, item in keys]
    frame["date"] = [date.fromisoformat(day) for day, _, _ in keys]
    return frame


def enriched_of(folder: Path, events: Sequence[Event]) -> None:
    """Writes the enriched events, a file a day, as far as learning reads them."""
    for day in sorted({event[0] for event in events}):
        rows = [event for event in events if event[0] == day]
        frame = pd.DataFrame(
            {
                "event_time": pd.to_datetime([day] * len(rows)).astype("datetime64[us]"),
                "event_type": [event_type for *_, event_type in rows],
                "user_id": [user for _, user, _, _ in rows],
                "item_id": [item for _, _, item, _ in rows],
                "price": [price_of(item) for _, _, item, _ in rows],
            }
        )
        path = folder / "enriched" / f"date={day}" / "enriched.parquet"
        path.parent.mkdir(parents=True)
        frame.to_parquet(path, index=False)


def user_features_of(events: Sequence[Event]) -> pd.DataFrame:
    """The table of user features, as far as learning reads it."""
    counts = Counter((user, event_type) for _, user, _, event_type in events)
    users = sorted({user for _, user, _, _ in events})
    spent = [
        sum(
            price_of(item) for _, buyer, item, kind in events if (buyer, kind) == (user, "purchase")
        )
        for user in users
    ]
    return pd.DataFrame(
        {
            "user_id": pd.Series(users, dtype=object),
            "total_purchases": [counts[user, "purchase"] for user in users],
            "total_spent": np.array(spent, np.float64),
            "views": [counts[user, "view"] for user in users],
            "clicks": [counts[user, "click"] for user in users],
            "carts": [counts[user, "cart"] for user in users],
            "removes": [counts[user, "remove_from_cart"] for user in users],
        }
    )


def item_features_of(events: Sequence[Event]) -> pd.DataFrame:
    """The table of item features, as far as learning reads it: even and odd items are two kinds."""
    counts = Counter((item, event_type) for _, _, item, event_type in events)
    items = sorted({item for _, _, item, _ in events})
    sales = np.array([counts[item, "purchase"] for item in items], np.int64)
    return pd.DataFrame(
        {
            "item_id": pd.Series(items, dtype=object),
            "total_sales": sales,
            "revenue": sales * np.array([price_of(item) for item in items], np.float64),
            "views": [counts[item, "view"] for item in items],
            "carts": [counts[item, "cart"] for item in items],
            "category": pd.Series([f"kind {int(item[1:]) % 2}" for item in items], dtype=object),
            "brand": pd.Series([None] * len(items), dtype=object),
        }
    )


def day_of(events: Sequence[Event], history: Sequence[Event] = ()) -> Day:
    """What the update reads of one day's events that come after others."""
    (day,) = {event[0] for event in events}
    users, items = (table([*history, *events]) for table in (user_features_of, item_features_of))
    return Day(
        date.fromisoformat(day),
        interactions_of(events),
        users[users["user_id"].isin({event[1] for event in events})],
        items[items["item_id"].isin({event[2] for event in events})],
    )


def history_of(folder: Path, events: Sequence[Event]) -> Path:
    """Writes history's tables."""
    folder.mkdir(parents=True)
    enriched_of(folder, events)
    item_features_of(events).to_parquet(folder / "item_features.parquet", index=False)
    return folder


def delta_of(folder: Path, events: Sequence[Event], history: Sequence[Event] = ()) -> Path:
    """Writes the deltas' tables: of each day, the rows it touched as of its end."""
    folder.mkdir(parents=True)
    enriched_of(folder, events)
    for day in {event[0] for event in events}:
        until = [*history, *(event for event in events if event[0] <= day)]
        touched = [event for event in events if event[0] == day]
        users, items = user_features_of(until), item_features_of(until)
        for name, rows in (
            ("user_features", users[users["user_id"].isin({event[1] for event in touched})]),
            ("item_features", items[items["item_id"].isin({event[2] for event in touched})]),
        ):
            path = folder / name / f"date={day}" / f"{name}.parquet"
            path.parent.mkdir(parents=True)
            rows.to_parquet(path, index=False)
    return folder
