"""The business rules of a shopper's queue, as pure functions on an immutable pool."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from operator import attrgetter
from typing import Annotated

import msgspec

from progrec.errors import InputError
from progrec.settings import QueueSettings

Allowed = Callable[[str], bool]
"""Whether a product may be shown this time."""


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One product that waits in a shopper's queue."""

    product_id: str
    counter: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
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
    for place, entry in enumerate(pool):
        if entry.product_id == product_id:
            scored = Entry(product_id, entry.counter, entry.score + weight)
            return (*pool[:place], scored, *pool[place + 1 :])
    return (*pool, Entry(product_id, 0, weight)) if weight > 0 else pool


def due(pool: Pool, k: int, allowed: Allowed | None = None) -> Sequence[Entry]:
    """The at most `k` entries whose turn it is, in order, of those that are allowed.

    The lowest counter comes first, then the highest score, then the pool's order: there a refill
    stands in the order of the model's probability, and what was shown in the order of showing.
    """
    ready = pool if allowed is None else [entry for entry in pool if allowed(entry.product_id)]
    # Two sorts by what C can fetch are quicker than one by a function, and each keeps the order.
    return sorted(sorted(ready, key=_score, reverse=True), key=_counter)[:k]


def show(pool: Pool, entries: Sequence[Entry]) -> Pool:
    """The pool once entries of it were shown: at the end, their counters up by one."""
    moved = set(map(_product, entries))
    rest = [entry for entry in pool if entry.product_id not in moved]
    shown = [Entry(entry.product_id, entry.counter + 1, entry.score) for entry in entries]
    return (*rest, *shown)


def shortfall(pool: Pool, k: int, settings: QueueSettings, allowed: Allowed | None = None) -> int:
    """How many products to look for before `k` are taken from the pool.

    Whoever returns is to see what they have not seen: only entries that were never shown count. If
    only some products are allowed, what the list lacks is looked for, and no supply.
    """
    fresh = [entry.product_id for entry in pool if entry.counter == 0]
    if allowed is not None:
        return max(0, k - sum(map(allowed, fresh)))
    if len(fresh) >= k and len(pool) >= settings.min_pool:
        return 0
    return max(settings.min_pool, settings.refill_to, k) - len(fresh)


def refill(pool: Pool, product_ids: Iterable[str]) -> Pool:
    """The pool with new products at the end, in the order given."""
    return (*pool, *[Entry(product_id, 0, 0.0) for product_id in product_ids])


def without(pool: Pool, product_ids: Collection[str]) -> Pool:
    """The pool without some products."""
    return tuple(entry for entry in pool if entry.product_id not in product_ids)


def joined(pool: Pool, other: Pool) -> Pool:
    """Two pools of one shopper: counters and scores add up, what only `other` has comes last."""
    more = {entry.product_id: entry for entry in other}
    both = [
        Entry(entry.product_id, entry.counter + its.counter, entry.score + its.score)
        if (its := more.get(entry.product_id))
        else entry
        for entry in pool
    ]
    here = set(map(_product, pool))
    return (*both, *[entry for entry in other if entry.product_id not in here])


def evict(pool: Pool, room: int, spared: int = 0) -> Pool:
    """The pool without its worst, so that it has at most `room` entries.

    The worst has the highest counter; of these, the lowest score; of these, it was shown the
    longest ago or, if they were never shown, stands last.

    Args:
        pool: the pool.
        room: how many entries are to be left; at least `spared`.
        spared: so many at the end stay: they have just been shown or added.
    """
    old = range(len(pool) - spared)
    worst = sorted(
        old,
        key=lambda place: (
            -pool[place].counter,
            pool[place].score,
            place if pool[place].counter else -place,
        ),
    )
    gone = set(worst[: max(0, len(pool) - room)])
    return tuple(entry for place, entry in enumerate(pool) if place not in gone)


class _Queue(msgspec.Struct, forbid_unknown_fields=True):
    """What is stored."""

    pool: Pool


_ENCODER, _DECODER = msgspec.json.Encoder(), msgspec.json.Decoder(_Queue)


def dumps(pool: Pool) -> str:
    """The pool as it is stored: `{"pool":[["product",0,1.0],...]}`."""
    return _ENCODER.encode(_Queue(pool)).decode()


def loads(text: str) -> Pool:
    """The pool that `dumps` wrote, or that the store's triggers have let in.

    Raises:
        ValueError: it is no queue: the triggers look at its products only, and at each by itself.
    """
    pool = _DECODER.decode(text).pool
    if len(set(map(_product, pool))) < len(pool):
        raise ValueError("it holds a product twice")
    return pool


def checked(text: str) -> Pool:
    """The pool of a text from elsewhere.

    Raises:
        InputError: the text has another shape, a product twice, or one whose id is empty or has
            control characters.
    """
    try:
        # Pairs, because a dictionary would hide that a key stands there twice.
        ((key, entries),) = json.loads(text, object_pairs_hook=tuple)
        pool = tuple(_entry(*entry) for entry in _list(entries))
    except (ValueError, TypeError, OverflowError):
        key, pool = None, ()
    if key != "pool" or len(set(map(_product, pool))) < len(pool):
        raise InputError(f'not a queue, {{"pool": [[product, counter, score], ...]}}: {text[:200]}')
    return pool


_product, _counter, _score = map(attrgetter, Entry.__struct_fields__)


def _list(value: object) -> list[list[object]]:
    if not (isinstance(value, list) and all(isinstance(entry, list) for entry in value)):
        raise TypeError
    return value


def _entry(product_id: object, counter: object, score: object) -> Entry:
    # type() and not isinstance(): True is an int.
    if not (
        type(product_id) is str
        and product_id
        and min(product_id) >= " "
        and product_id.encode()
        and type(counter) is int
        and 0 <= counter < 2**63
        and type(score) in (int, float)
        and math.isfinite(number := float(score))  # type: ignore[arg-type]  # it is a number
    ):
        raise TypeError
    return Entry(product_id, counter, number)
