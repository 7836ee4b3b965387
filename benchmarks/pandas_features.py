"""The tables of history in plain pandas: a second opinion on what they hold, and on their cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from progrec import settings

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
_COUNTS = {
    "num_clicks": "click",
    "num_views": "view",
    "num_carts": "cart",
    "num_removes": "remove_from_cart",
    "num_purchases": "purchase",
}


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
    bought = purchases(events)
    enriched = enrich(events, bought)
    visits = sessions(enriched, gap_minutes)
    return {
        "purchases": bought,
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


def enrich(events: pd.DataFrame, bought: pd.DataFrame) -> pd.DataFrame:
    """Gives each event what its user had bought strictly before."""
    amount = bought["purchase_amount"]
    users = bought["user_id"]
    past = bought[["user_id"]].assign(
        event_time=bought["purchase_date"],
        past_purchases=bought.groupby("user_id").cumcount() + 1,
        avg_purchase_amount=amount.fillna(0).groupby(users).cumsum()
        / amount.notna().groupby(users).cumsum(),
    )
    # Of purchases at one moment, the last knows them all.
    past = past.drop_duplicates(["user_id", "event_time"], keep="last")
    enriched = pd.merge_asof(
        events, past, on="event_time", by="user_id", allow_exact_matches=False
    ).fillna({"past_purchases": 0})
    columns = ["event_time", "event_type", "user_id", "item_id", "price", "source"]
    columns += ["avg_purchase_amount", "past_purchases"]
    return enriched[columns].astype({"past_purchases": "int64"})


def sessions(enriched: pd.DataFrame, gap_minutes: float) -> pd.DataFrame:
    """One row a visit: events of a user without a longer pause between them."""
    pause = enriched.groupby("user_id")["event_time"].diff()
    opens = pause > pd.Timedelta(minutes=gap_minutes)
    events = _counted(enriched).assign(session_id=opens.groupby(enriched["user_id"]).cumsum())
    keys = ["user_id", "session_id"]
    grouped = events.groupby(keys)
    table = grouped[list(_COUNTS)].sum()
    table["session_start"] = grouped["event_time"].first()
    length = grouped["event_time"].last() - table["session_start"]
    table["session_length"] = length.dt.total_seconds()
    pauses = grouped.size() - 1
    table["avg_time_gap"] = (table["session_length"] / pauses).where(pauses > 0, 0.0)
    last = events.drop_duplicates(keys, keep="last").set_index(keys)
    table["last_event"] = last["event_type"]
    table["avg_purchase_amount"] = last["avg_purchase_amount"]
    table["past_purchases"] = last["past_purchases"]
    return table.reset_index()


def user_profiles(visits: pd.DataFrame) -> pd.DataFrame:
    """One row a user: the visits on average, and the last one."""
    table = visits.groupby("user_id").agg(
        total_sessions=("session_id", "size"),
        avg_clicks_per_session=("num_clicks", "mean"),
        avg_views_per_session=("num_views", "mean"),
        avg_session_length=("session_length", "mean"),
        avg_time_gap=("avg_time_gap", "mean"),
        avg_purchase_amount=("avg_purchase_amount", "mean"),
        max_past_purchases=("past_purchases", "max"),
    )
    last = visits.drop_duplicates("user_id", keep="last").set_index("user_id")
    table["last_session_clicks"] = last["num_clicks"]
    table["last_session_views"] = last["num_views"]
    table["last_session_length"] = last["session_length"]
    table["last_session_event"] = last["last_event"]
    return table.reset_index()


def user_item_matrix(events: pd.DataFrame, weights: Mapping[str, float]) -> pd.DataFrame:
    """One row a user and item that met: what happened between them, and its score."""
    table = _counted(events).groupby(["user_id", "item_id"])[[*_COUNTS, "spent"]].sum()
    table["interaction_score"] = sum(
        weights[event_type] * table[column] for column, event_type in _COUNTS.items()
    )
    table = table.rename(columns={"num_purchases": "purchase_count", "spent": "total_spent"})
    columns = ["purchase_count", "total_spent", "num_clicks", "num_views", "num_carts"]
    return table[[*columns, "num_removes", "interaction_score"]].reset_index()


def user_features(events: pd.DataFrame) -> pd.DataFrame:
    """One row a user: what was bought and done in all."""
    grouped = _counted(events).groupby("user_id")
    counts = grouped[list(_COUNTS)].sum()
    table = pd.DataFrame(
        {
            "total_purchases": counts["num_purchases"],
            "total_spent": grouped["spent"].sum(),
            "avg_spent": grouped["spent"].mean().fillna(0.0),
            "views": counts["num_views"],
            "clicks": counts["num_clicks"],
            "carts": counts["num_carts"],
            "removes": counts["num_removes"],
        }
    )
    return table.reset_index()


def item_features(events: pd.DataFrame, catalogue: pd.DataFrame) -> pd.DataFrame:
    """One row an item that was seen: its sales, and what it is."""
    grouped = _counted(events).groupby("item_id")
    counts = grouped[list(_COUNTS)].sum()
    carts = counts["num_carts"]
    listed = catalogue.set_index("product_id").reindex(counts.index)
    code = listed["category_code"].combine_first(_latest(events, "category_code"))
    number = listed["category_id"].combine_first(_latest(events, "category_id"))
    table = pd.DataFrame(
        {
            "total_sales": counts["num_purchases"],
            "revenue": grouped["spent"].sum(),
            "avg_price": grouped["spent"].mean(),
            "views": counts["num_views"],
            "carts": carts,
            "cart_to_purchase_rate": counts["num_purchases"] / carts.where(carts > 0),
            "category": code.combine_first(number),
            "brand": listed["brand"].combine_first(_latest(events, "brand")),
        }
    )
    return table.reset_index()


def _counted(events: pd.DataFrame) -> pd.DataFrame:
    """Events with a column for each type, 1 where it is the event's own, and with money spent."""
    marks = {
        column: (events["event_type"] == event_type).astype("int64")
        for column, event_type in _COUNTS.items()
    }
    spent = events["price"].where(events["event_type"] == "purchase", np.nan)
    return events.assign(**marks, spent=spent)


def _latest(events: pd.DataFrame, column: str) -> pd.Series[str]:
    """The last known value by item; of two at one moment, the greater."""
    known = events.dropna(subset=[column]).sort_values(["event_time", column])
    return known.drop_duplicates("item_id", keep="last").set_index("item_id")[column]


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
