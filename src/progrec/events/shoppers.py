"""The simulated shoppers: what they like, when they come, and what they remember."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from progrec.events.shop import (
    BANDS,
    STYLES,
    WHOLE_SHOP,
    Bools,
    Calendar,
    Ints,
    Shop,
    Stock,
    draw,
    zipf,
)

VIEW, CART, REMOVE, PURCHASE = range(4)

# What becomes of a look at a product, from the idlest to the keenest, and how many such looks make
# a hundred events: 47 views, 28 carts, 19 removals and 6 purchases, as in the real log.
_OUTCOMES = (
    ((VIEW,), 28),
    ((VIEW, CART), 3),
    ((CART, REMOVE), 7),
    ((VIEW, CART, REMOVE), 12),
    ((CART, PURCHASE), 2),
    ((VIEW, CART, PURCHASE), 4),
)
_LOOKS_PER_VISIT = 3

STEPS = np.array([steps + (-1,) * (3 - len(steps)) for steps, _ in _OUTCOMES])
"""(outcomes, 3) the events of each outcome in order, filled up with -1."""

MOODS = np.array([0, 0, 0, 0, 1, 1, 2, 3, 3, 4, 5, 5])
"""A shopper's favourite shelves, each as often as it is chosen."""

_CATEGORIES = slice(0, 3)  # of the favourite shelves
_BRANDS = slice(3, 5)
_SHELVES = 6  # the last is the whole shop
_CANDIDATES = 4  # products that a shopper compares before looking at the one that fits best
_KEPT_IN_MIND = 4


@dataclass(frozen=True)
class Tastes:
    """What n shoppers like.

    Attributes:
        shelves: (n, 6) three favourite categories, two favourite brands, and the whole shop.
        style: (n,) the style they like.
        band: (n,) the price band they buy in.
    """

    shelves: Ints
    style: Ints
    band: Ints

    def __getitem__(self, shopper: Ints) -> Tastes:
        return Tastes(self.shelves[shopper], self.style[shopper], self.band[shopper])

    def browse(self, rng: Generator, stock: Stock, slot: Ints) -> Ints:
        """Finds (n,) products: for each shopper the best of a few from the shelf in `slot` (n,)."""
        shop, rows = stock.shop, np.arange(len(slot))
        shelf = self.shelves[rows, slot]
        found = stock.draw(rng, np.repeat(shelf[:, None], _CANDIDATES, axis=1))
        brands = self.shelves[:, None, _BRANDS]
        fit = 3 * (shop.brand[found][:, :, None] == brands).any(axis=2)
        fit += 2 * (shop.style[found] == self.style[:, None])
        fit += shop.band[found] == self.band[:, None]
        best: Ints = found[rows, fit.argmax(axis=1)]
        return best


@dataclass(frozen=True)
class Shoppers:
    """Everybody who will come, in the order of their first visit.

    Attributes:
        user_id: (users,) their ids in the log.
        arrival: (users,) the day of the first visit.
        departure: (users,) the last day on which a visit is possible.
        returning: (users,) whether they come more than once.
        turn: (users,) the day on which their taste changes; for some after the last.
        earlier: their tastes before that day.
        later: their tastes from that day on.
    """

    user_id: Ints
    arrival: Ints
    departure: Ints
    returning: Bools
    turn: Ints
    earlier: Tastes
    later: Tastes

    def tastes(self, shopper: Ints, day: int) -> Tastes:
        """What some of the shoppers like on a day."""
        before, after = self.earlier[shopper], self.later[shopper]
        turned = day >= self.turn[shopper]
        return Tastes(
            np.where(turned[:, None], after.shelves, before.shelves),
            np.where(turned, after.style, before.style),
            after.band,
        )


@dataclass(frozen=True)
class Visits:
    """Who comes when, and how each look at a product will end; ordered by day.

    Attributes:
        shopper: (visits,) who comes.
        first_visit: (days + 1,) the visit with which each day begins.
        first_look: (visits + 1,) the look with which each visit begins.
        outcome: (looks,) rows of the table of outcomes.
    """

    shopper: Ints
    first_visit: Ints
    first_look: Ints
    outcome: Ints


class Memory:
    """What the shoppers remember: a few products that they thought about, and all they bought."""

    def __init__(self, users: int, products: int) -> None:
        self._considered = np.full((users, _KEPT_IN_MIND), -1, np.int32)
        self._bought = np.array([np.iinfo(np.int64).max])  # sorted; the last is nobody's
        self._products = products

    def recall(self, rng: Generator, shopper: Ints) -> Ints:
        """A product (n,) that each shopper (n,) has thought about, or -1."""
        return self._considered[shopper, rng.integers(_KEPT_IN_MIND, size=len(shopper))]

    def consider(self, rng: Generator, shopper: Ints, product: Ints) -> None:
        """Keeps products (n,) in the minds of shoppers (n,), each in place of another."""
        self._considered[shopper, rng.integers(_KEPT_IN_MIND, size=len(shopper))] = product

    def buy(self, shopper: Ints, product: Ints) -> None:
        """Remembers purchases (n,); what is bought is no longer thought about."""
        key = np.sort(shopper * self._products + product)
        self._bought = np.insert(self._bought, np.searchsorted(self._bought, key), key)
        purchase, place = np.nonzero(self._considered[shopper] == product[:, None])
        self._considered[shopper[purchase], place] = -1

    def owns(self, shopper: Ints, product: Ints) -> Bools:
        """Whether each shopper (n,) has bought the product (n,)."""
        key = shopper * self._products + product
        owned: Bools = self._bought[np.searchsorted(self._bought, key)] == key
        return owned


def invite(rng: Generator, shop: Shop, users: int, calendar: Calendar) -> Shoppers:
    """Makes the shoppers: half of them come once, and most change their tastes in the end."""
    days = len(calendar.reach) - 1
    first, last = np.zeros(users, np.int64), np.full(users, days - 1)
    returning = np.arange(users) % 2 == 1
    arrival = calendar.draw(rng, first, last)
    for _ in range(2):  # those who return have mostly known the shop for long
        arrival[returning] = np.minimum(arrival, calendar.draw(rng, first, last))[returning]
    order = np.argsort(arrival, kind="stable")
    arrival, returning = arrival[order], returning[order]
    leaves = rng.integers(3, size=users) == 0
    changes = rng.integers(5, size=users) < 3
    turn = shop.turn + rng.integers(days - shop.turn, size=users) * 2 // 3
    popularity = zipf(int(shop.category.max()), head=4)
    band = rng.integers(BANDS, size=users, dtype=np.int8)
    return Shoppers(
        user_id=400_000_000 + np.cumsum(rng.integers(1, 100, size=users)),
        arrival=arrival,
        departure=np.where(leaves, calendar.draw(rng, arrival, last), last),
        returning=returning,
        turn=np.where(changes, turn, days),
        earlier=_tastes(rng, shop, popularity, band),
        later=_tastes(rng, shop, rng.permutation(popularity), band),
    )


def plan_visits(rng: Generator, shoppers: Shoppers, calendar: Calendar, events: int) -> Visits:
    """Plans visits that make so many events, in exactly the real log's mix."""
    deck = _deck(events)
    day, shopper = _plan_days(rng, shoppers, calendar, len(deck) // _LOOKS_PER_VISIT)
    looks = 1 + _allot(rng, 100 // rng.integers(2, 101, size=len(day)), len(deck) - len(day))

    keen = rng.integers(1000, size=len(day)) + 300 * shoppers.returning[shopper]
    keen = np.repeat(keen.astype(np.int16), looks)
    keen += rng.integers(800, size=len(deck), dtype=np.int16)
    outcome = np.empty_like(deck)
    outcome[np.argsort(keen, kind="stable")] = deck
    return Visits(
        shopper=shopper,
        first_visit=np.searchsorted(day, np.arange(len(calendar.reach))),
        first_look=np.concatenate([[0], np.cumsum(looks)]),
        outcome=outcome,
    )


def _tastes(rng: Generator, shop: Shop, popularity: Ints, band: Ints) -> Tastes:
    """Draws tastes for price bands (users,); `popularity` (categories,) weighs the categories."""
    categories, brands = len(popularity), int(shop.brand.max()) - len(popularity)
    shelves = np.full((len(band), _SHELVES), WHOLE_SHOP, np.int16)
    shelves[:, _CATEGORIES] = 1 + draw(rng, popularity, shelves[:, _CATEGORIES].shape)
    shelves[:, _BRANDS] = 1 + categories + draw(rng, zipf(brands, 6), shelves[:, _BRANDS].shape)
    return Tastes(shelves, rng.integers(STYLES, size=len(band), dtype=np.int8), band)


def _deck(events: int) -> Ints:
    """The outcomes (looks,) that make so many events, from the idlest to the keenest."""
    count = np.array([count for _, count in _OUTCOMES]) * events // 100
    count[0] += events - (count * (STEPS >= 0).sum(axis=1)).sum()
    return np.repeat(np.arange(len(count), dtype=np.int8), count)


def _plan_days(
    rng: Generator, shoppers: Shoppers, calendar: Calendar, visits: int
) -> tuple[Ints, Ints]:
    """Plans about so many visits, at most one a shopper and day; returns days and shoppers."""
    users = len(shoppers.arrival)
    again = np.flatnonzero(shoppers.returning)[: max(visits - users, 0)]
    if len(again):
        more = _allot(
            rng, 100 // rng.integers(5, 101, size=len(again)), visits - users - len(again)
        )
        again = np.repeat(again, 1 + more)
    day = calendar.draw(rng, shoppers.arrival[again], shoppers.departure[again])
    first, later = shoppers.arrival * users + np.arange(users), day * users + again
    key = np.unique(np.concatenate([first, later]))
    return key // users, key % users


def _allot(rng: Generator, weight: Ints, total: int) -> Ints:
    """Shares a total out by chance, in proportion to the weights (n,)."""
    return np.bincount(draw(rng, weight, total), minlength=len(weight))
