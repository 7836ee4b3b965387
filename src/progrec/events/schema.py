"""The canonical event, and the folder that raw data lies in."""

from __future__ import annotations

from typing import get_args

from progrec.settings import EventType

EVENT_TYPES: tuple[str, ...] = get_args(EventType)

REQUIRED = ("user_id", "product_id", "event_time", "event_type")
"""Columns that a log must have; a batch of purchases needs all but the event type."""

COLUMNS = (
    "event_id",
    "event_time",
    "event_type",
    "user_id",
    "product_id",
    "user_session",
    "price",
    "category_id",
    "category_code",
    "brand",
)
"""Columns of the canonical event, in order. Ids are opaque strings."""

RECEIVED_AT = "received_at"
"""A column that raw files may have beside these: when the event came in. It tells what is late."""

REES46 = (
    "event_time",
    "event_type",
    "product_id",
    "category_id",
    "category_code",
    "brand",
    "price",
    "user_id",
    "user_session",
)
"""Header of a REES46 log, the raw form of events."""

PURCHASES = ("user_id", "product_id", "event_time", "price")
"""Header of a batch of purchases, in raw form."""

CATALOGUE = ("product_id", "category_id", "category_code", "brand", "title")
"""Header of the catalogue, in raw form."""

STREAM, BATCH = "stream", "batch"
"""Where an event comes from: the log, or a batch of purchases."""
