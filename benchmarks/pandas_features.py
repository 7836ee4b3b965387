"""The tables of history in plain pandas: a second opinion on what they hold, and on their cost.

Each table is as its definition reads: the rows of one user, item or session, and what they come to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from progrec import settings

Row = dict[str, Any]

_READ = [
    "event_time",
    "event_type",
    "user_id",
    "product_id",
    "price",
    "category_id",
    "category_code",
    "brand",
    "source",
]


def compute(
    events_folder: Path, catalogue_file: Path, weights: Mapping[str, float], gap_minutes: float
) -> dict[str, pd.DataFrame]:
    """Computes every table of history from the events that ingest wrote.

    Args:
        events_folder: holds `date=YYYY-MM-DD/events.parquet`, in order of time and arrival.
        catalogue_file: the products, one row each.
        weights: of each event type in a matrix cell's score.
        gap_minutes: a longer pause opens a session.

    Returns:
        The tables by name, in their order.
    """
    events = pd.read_parquet(events_folder, columns=_READ)
    events = events.rename(columns={"product_id": "item_id"})
    events["spent"] = events["price"].where(events["event_type"] == "purchase")
    enriched = enrich(events)
    visits = sessions(enriched, gap_minutes)
    return {
        "purchases": purchases(events),
        "enriched": enriched,
        "sessions": visits,
        "user_profiles": user_profiles(visits),
        "user_item_matrix": user_item_matrix(events, weights),
        "user_features": user_features(events),
        "item_features": item_features(events, pd.read_parquet(catalogue_file)),
    }


def purchases(events: pd.DataFrame) -> pd.DataFrame:
    """One row a purchase."""
    bought = events[events["event_type"] == "purchase"]
    bought = bought.rename(columns={"price": "purchase_amount", "event_time": "purchase_date"})
    columns = ["user_id", "item_id", "purchase_amount", "purchase_date"]
    return bought[columns].reset_index(drop=True)


def enrich(events: pd.DataFrame) -> pd.DataFrame:
    """Gives each event what its user had bought strictly before."""
    past = {}
    for _, rows in events.groupby("user_id"):
        seen = zip(rows["event_time"], rows["event_type"], rows["price"], strict=True)
        bought = [(time, price) for time, event_type, price in seen if event_type == "purchase"]
        for event, now in rows["event_time"].items():
            past[event] = _past([price for time, price in bought if time < now])
    columns = ["event_time", "event_type", "user_id", "item_id", "price", "source"]
    return events[columns].join(pd.DataFrame.from_dict(past, orient="index"))


def _past(amounts: list[float]) -> Row:
    known = [amount for amount in amounts if pd.notna(amount)]
    return {
        "avg_purchase_amount": fmean(known) if known else np.nan,
        "past_purchases": len(amounts),
    }


def sessions(enriched: pd.DataFrame, gap_minutes: float) -> pd.DataFrame:
    """One row a visit: events of a user without a longer pause between them."""
    users = enriched["user_id"]
    pauses = enriched.groupby(users)["event_time"].diff()
    numbers = (pauses > pd.Timedelta(minutes=gap_minutes)).groupby(users).cumsum()
    return pd.DataFrame(
        [
            {"user_id": user, "session_id": number, **_session(rows)}
            for (user, number), rows in enriched.groupby([users, numbers])
        ]
    )


def _session(events: pd.DataFrame) -> Row:
    count = Counter(events["event_type"])
    first, last = events.iloc[0], events.iloc[-1]
    length = (last["event_time"] - first["event_time"]).total_seconds()
    return {
        "num_clicks": count["click"],
        "num_views": count["view"],
        "num_carts": count["cart"],
        "num_removes": count["remove_from_cart"],
        "num_purchases": count["purchase"],
        "session_start": first["event_time"],
        "session_length": length,
        "avg_time_gap": length / (len(events) - 1) if len(events) > 1 else 0.0,
        "last_event": last["event_type"],
        "avg_purchase_amount": last["avg_purchase_amount"],
        "past_purchases": last["past_purchases"],
    }


def user_profiles(visits: pd.DataFrame) -> pd.DataFrame:
    """One row a user: the visits on average, and the last one."""
    return pd.DataFrame(
        [{"user_id": user, **_profile(rows)} for user, rows in visits.groupby("user_id")]
    )


def _profile(visits: pd.DataFrame) -> Row:
    last = visits.iloc[-1]
    return {
        "total_sessions": len(visits),
        "avg_clicks_per_session": visits["num_clicks"].mean(),
        "avg_views_per_session": visits["num_views"].mean(),
        "avg_session_length": visits["session_length"].mean(),
        "avg_time_gap": visits["avg_time_gap"].mean(),
        "avg_purchase_amount": visits["avg_purchase_amount"].mean(),
        "max_past_purchases": visits["past_purchases"].max(),
        "last_session_clicks": last["num_clicks"],
        "last_session_views": last["num_views"],
        "last_session_length": last["session_length"],
        "last_session_event": last["last_event"],
    }


def user_item_matrix(events: pd.DataFrame, weights: Mapping[str, float]) -> pd.DataFrame:
    """One row a user and item that met: what happened between them, and its score."""
    return pd.DataFrame(
        [
            {"user_id": user, "item_id": item, **_cell(rows, weights)}
            for (user, item), rows in events.groupby(["user_id", "item_id"])
        ]
    )


def _cell(events: pd.DataFrame, weights: Mapping[str, float]) -> Row:
    count = Counter(events["event_type"])
    return {
        "purchase_count": count["purchase"],
        "total_spent": events["spent"].sum(),
        "num_clicks": count["click"],
        "num_views": count["view"],
        "num_carts": count["cart"],
        "num_removes": count["remove_from_cart"],
        "interaction_score": sum(weights[kind] * times for kind, times in count.items()),
    }


def user_features(events: pd.DataFrame) -> pd.DataFrame:
    """One row a user: what was bought and done in all."""
    return pd.DataFrame(
        [{"user_id": user, **_user(rows)} for user, rows in events.groupby("user_id")]
    )


def _user(events: pd.DataFrame) -> Row:
    count = Counter(events["event_type"])
    priced = events["spent"].count()
    return {
        "total_purchases": count["purchase"],
        "total_spent": events["spent"].sum(),
        "avg_spent": events["spent"].mean() if priced else 0.0,
        "views": count["view"],
        "clicks": count["click"],
        "carts": count["cart"],
        "removes": count["remove_from_cart"],
        "priced_purchases": priced,
    }


def item_features(events: pd.DataFrame, catalogue: pd.DataFrame) -> pd.DataFrame:
    """One row an item that was seen: its sales, and what it is."""
    listed = catalogue.set_index("product_id").to_dict("index")
    table = pd.DataFrame(
        [
            {"item_id": item, **_item(rows, listed.get(item, {}))}
            for item, rows in events.groupby("item_id")
        ]
    )
    # Also where not a single one is known.
    return table.astype(dict.fromkeys(["category", "brand", "category_code"], "str"))


def _item(events: pd.DataFrame, listed: Mapping[Any, str | None]) -> Row:
    count = Counter(events["event_type"])
    code = _first_known(listed.get("category_code"), _latest(events, "category_code"))
    number = _first_known(listed.get("category_id"), _latest(events, "category_id"))
    return {
        "total_sales": count["purchase"],
        "revenue": events["spent"].sum(),
        "avg_price": events["spent"].mean(),
        "views": count["view"],
        "carts": count["cart"],
        "cart_to_purchase_rate": count["purchase"] / count["cart"] if count["cart"] else np.nan,
        "category": _first_known(code, number),
        "brand": _first_known(listed.get("brand"), _latest(events, "brand")),
        "category_code": code,
        "priced_sales": events["spent"].count(),
    }


def _latest(events: pd.DataFrame, column: str) -> str | None:
    """The last known value; of several at one moment, the greatest."""
    said = zip(events["event_time"], events[column], strict=True)
    _, value = max(((time, word) for time, word in said if pd.notna(word)), default=(None, None))
    return value


def _first_known(*values: str | None) -> str | None:
    return next((value for value in values if pd.notna(value)), None)


def main(
    events: Annotated[Path, typer.Option()],
    catalogue: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    params: Annotated[Path, typer.Option()],
) -> None:
    """Writes every table of history, a file each."""
    config = settings.load(params)
    weights = {str(name): weight for name, weight in config.interactions.weights.items()}
    tables = compute(events, catalogue, weights, config.sessions.gap_minutes)
    out.mkdir()
    for name, table in tables.items():
        table.to_parquet(out / f"{name}.parquet", index=False)


if __name__ == "__main__":
    typer.run(main)
