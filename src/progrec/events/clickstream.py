"""A clickstream: a day's events, and purchases that the shop hands over in batches."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from progrec.events import export, raw, schema

EVENTS = {
    "user_id": "user_id",
    "item_id": "product_id",
    "event_type": "event_type",
    "timestamp": "event_time",
}
"""Columns of the events: the shop's name -> ours."""

PURCHASES = {
    "user_id": "user_id",
    "item_id": "product_id",
    "purchase_amount": "price",
    "timestamp": "event_time",
}
"""Columns of the batch of purchases: the shop's name -> ours."""

HISTORY = {
    "user_id": "user_id",
    "item_id": "product_id",
    "purchase_amount": "price",
    "purchase_date": "event_time",
}
"""Columns of the historical purchases: the shop's name -> ours."""


def import_files(
    *, events: Path, purchases: Path, history: Path, out: Path, add: bool = False
) -> dict[str, int]:
    """Puts events and purchases into the folder of raw data, under our names.

    Each file is CSV, gzipped CSV or Parquet. Times without a zone are taken as UTC. No row is
    dropped: whether it can be used is decided when it is ingested.

    Args:
        events: what shoppers did: view, click, add_to_cart.
        purchases: the batch of purchases.
        history: the purchases before it.
        out: the folder of raw data.
        add: whether `out` may already hold other files.

    Returns:
        What was read and written: label -> count.

    Raises:
        InputError: a file is missing, empty, damaged or lacks a column, or `out` is not free.
            Nothing is written then.
    """
    stream = _read(events, EVENTS).replace({"event_type": {"add_to_cart": "cart"}})
    batch = _read(purchases, PURCHASES)
    past = _read(history, HISTORY)
    with raw.staged(out, add=add) as staging:
        raw.write(stream, staging / raw.EVENTS / "clickstream.csv", schema.REES46)
        raw.write(batch, staging / raw.PURCHASES / "batch.csv", schema.PURCHASES)
        raw.write(past, staging / raw.PURCHASES / "history.csv", schema.PURCHASES)
    return {
        "rows read": len(stream) + len(batch) + len(past),
        "events written": len(stream),
        "purchases of the batch written": len(batch),
        "historical purchases written": len(past),
    }


def _read(file: Path, names: dict[str, str]) -> pd.DataFrame:
    rows = export.read(file, list(names)).rename(columns=names)
    times = export.times(rows["event_time"])
    # A time that cannot be read stays as it is, for the row to be set aside when it is ingested.
    return rows.assign(event_time=raw.utc(times).where(times.notna(), rows["event_time"]))
