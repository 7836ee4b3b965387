"""The business rules of a shopper's queue, as pure functions on an immutable pool."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import NamedTuple

from progrec.errors import InputError
from progrec.settings import QueueSettings


class Entry(NamedTuple):
    """One product that waits in a shopper's queue."""

    product_id: str
    counter: int
    """How often it was shown."""
    score: float
    """The sum of the weights of the shopper's events with it."""


Pool = tuple[Entry, ...]
"""A shopper's queue, in order; no product stands in it twice."""


def after_event(pool: Pool, product_id: str, weight: float) -> Pool:
    """The pool once an event with a product has added its weight to the product's score.

    A product that is not there is added at the end, unless the weight says that the shopper turned
    away from it.
    """
    if any(entry.product_id == product_id for entry in pool):
        return tuple(
            entry._replace(score=entry.score + weight) if entry.product_id == product_id else entry
            for entry in pool
        )
    return (*pool, Entry(product_id, 0, weight)) if weight > 0 else pool


def take(pool: Pool, k: int) -> tuple[Pool, Pool]:
    """Shows the next products: lowest counter first, then highest score, then the pool's order.

    Returns:
        The at most `k` entries that are shown, their counters up by one; and the pool, where they
        now stand at the end.
    """
    order = sorted(pool, key=lambda entry: (entry.counter, -entry.score))
    shown = tuple(entry._replace(counter=entry.counter + 1) for entry in order[:k])
    moved = {entry.product_id for entry in shown}
    return shown, tuple(entry for entry in pool if entry.product_id not in moved) + shown


def shortfall(pool: Pool, k: int, settings: QueueSettings) -> int:
    """How many products to add to the pool before `k` are taken from it."""
    if len(pool) >= max(settings.min_pool, k):
        return 0
    return max(settings.min_pool, settings.refill_to, k) - len(pool)


def refill(pool: Pool, product_ids: Iterable[str]) -> Pool:
    """The pool with new products at the end, in the order given."""
    return pool + tuple(Entry(product_id, 0, 0.0) for product_id in product_ids)


def dumps(pool: Pool) -> str:
    """The pool as it is stored: `{"pool":[["product",0,1.0],...]}`."""
    return json.dumps({"pool": pool}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def loads(text: str) -> Pool:
    """The pool that `dumps` wrote.

    Raises:
        InputError: the text has another shape, or a product twice.
    """
    try:
        # Pairs, because a dictionary would hide that a key stands there twice.
        ((key, entries),) = json.loads(text, object_pairs_hook=tuple)
        pool = tuple(_entry(*entry) for entry in _list(entries))
    except (ValueError, TypeError, OverflowError):
        key, pool = None, ()
    if key != "pool" or len({entry.product_id for entry in pool}) < len(pool):
        raise InputError(f'not a queue, {{"pool": [[product, counter, score], ...]}}: {text[:200]}')
    return pool


def _list(value: object) -> list[list[object]]:
    if not (isinstance(value, list) and all(isinstance(entry, list) for entry in value)):
        raise TypeError
    return value


def _entry(product_id: object, counter: object, score: object) -> Entry:
    # type() and not isinstance(): True is an int.
    if not (
        type(product_id) is str
        and product_id
        and type(counter) is int
        and counter >= 0
        and type(score) in (int, float)
        and math.isfinite(number := float(score))  # type: ignore[arg-type]  # it is a number
    ):
        raise TypeError
    return Entry(product_id, counter, number)
