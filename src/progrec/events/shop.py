"""The simulated shop: its products, and how busy it is.

Everything that decides is an integer. Logarithms, powers, normal draws and matrix products may
differ in the last bit from one processor to the next; sums of integers do not, and so the same
seed gives the same shop everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]

WHOLE_SHOP = 0
"""The shelf that everything stands on; the categories' shelves follow, then the brands'."""

STYLES = 4
BANDS = 3

_WEEK = (100, 96, 98, 102, 92, 84, 90)  # visits by weekday, from Monday
_CODES = (
    "appliances.environment.vacuum",
    "furniture.bathroom.bath",
    "stationery.cartrige",
    "accessories.bag",
    "apparel.glove",
    "furniture.living_room.cabinet",
    "accessories.cosmetic_bag",
    "appliances.personal.hair_cutter",
)
_SYLLABLES = ("ru", "na", "il", "gra", "col", "mi", "lo", "ven", "ta", "ste", "ko", "sha", "de")


@dataclass(frozen=True)
class Calendar:
    """How busy the days are: `reach` (days + 1,) holds cumulative weights."""

    reach: Ints

    @classmethod
    def of(cls, days: int, start: date) -> Calendar:
        """Makes the calendar of so many days from a date."""
        weight = np.array(_WEEK)[(start.weekday() + np.arange(days)) % 7]
        return cls(np.concatenate([[0], np.cumsum(weight)]))

    def draw(self, rng: Generator, first: Ints, last: Ints) -> Ints:
        """Draws (n,) days, each from `first` (n,) to `last` (n,) inclusive."""
        moment = rng.integers(self.reach[first], self.reach[last + 1])
        return np.searchsorted(self.reach, moment, side="right") - 1


@dataclass(frozen=True)
class Shop:
    """The catalogue: arrays of one entry a product.

    Attributes:
        text: its part of a raw row: id, category id, category code, brand and price.
        category: its category's shelf.
        brand: its brand's shelf.
        style: what it looks like, which no column of the log tells.
        band: its price band.
        appeal: its weight among shoppers.
        introduced: the day on which it is first sold.
        trendy: whether it comes into fashion when tastes turn.
        turn: the day on which tastes begin to turn.
    """

    text: list[str]
    category: Ints
    brand: Ints
    style: Ints
    band: Ints
    appeal: Ints
    introduced: Ints
    trendy: Bools
    turn: int

    def stock(self, day: int) -> Stock:
        """Fills the shelves with what is sold on a day."""
        weight = np.where(self.introduced <= day, self.appeal, 0)
        if day >= self.turn:
            weight[self.trendy] *= 10
        shelf = np.concatenate([np.full_like(self.brand, WHOLE_SHOP), self.category, self.brand])
        place = np.argsort(shelf, kind="stable")
        product = place % len(weight)
        reach = np.concatenate([[0], np.cumsum(weight[product])])
        first = np.searchsorted(shelf[place], np.arange(shelf.max() + 2))
        return Stock(self, product, reach, first)


@dataclass(frozen=True)
class Stock:
    """What stands on the shelves on one day.

    Attributes:
        shop: whose shelves they are.
        product: (places,) the products, shelf by shelf.
        reach: (places + 1,) cumulative weights of the places.
        first: (shelves + 1,) the place where each shelf begins.
    """

    shop: Shop
    product: Ints
    reach: Ints
    first: Ints

    def draw(self, rng: Generator, shelf: Ints) -> Ints:
        """Draws a product by its weight from each of the shelves, in the shape of `shelf`."""
        low, high = self.reach[self.first[shelf]], self.reach[self.first[shelf + 1]]
        return self.product[np.searchsorted(self.reach, rng.integers(low, high), side="right") - 1]


def open_shop(rng: Generator, products: int, days: int) -> Shop:
    """Makes a catalogue of at least ten products; a quarter of them appear over the days."""
    categories, brands = min(500, 3 + products // 50), min(300, 3 + products // 12)
    category, brand = _spread(rng, categories, products), _spread(rng, brands, products)
    late = rng.integers(100, size=products) < 27
    introduced = np.where(late, rng.integers(1, days, size=products), 0)
    for shelf in (category, brand):  # none is ever empty
        introduced[np.unique(shelf, return_index=True)[1]] = 0
    season = min(30, days // 2)
    recent = introduced >= days - 2 * season
    band = rng.integers(BANDS, size=products)
    appeal = rng.permutation(zipf(products, head=8 + products // 100))
    cents = np.array([150, 500, 1800])[band] + rng.integers(400, size=products)
    odd = np.argsort(appeal, kind="stable")[: 2 + products // 1000]
    cents[odd] *= -(np.arange(len(odd)) % 2)  # given away, or booked backwards
    return Shop(
        text=_catalogue(rng, category, brand, cents, introduced),
        category=1 + category,
        brand=1 + categories + brand,
        style=rng.integers(STYLES, size=products),
        band=band,
        appeal=appeal,
        introduced=introduced,
        trendy=recent & (rng.integers(3, size=products) == 0),
        turn=days - season,
    )


def zipf(n: int, head: int) -> Ints:
    """Weights (n,) that fall as 1 / (rank + head)."""
    return np.int64(10**9) // (np.arange(n) + head)


def draw(rng: Generator, weight: Ints, size: int | tuple[int, ...]) -> Ints:
    """Draws indices by their weights (n,), in the shape `size`."""
    reach = np.cumsum(weight)
    return np.searchsorted(reach, rng.integers(reach[-1], size=size), side="right")


def _spread(rng: Generator, groups: int, products: int) -> Ints:
    """Puts (products,) products into groups of Zipf's sizes, at least one into each."""
    rest = draw(rng, zipf(groups, head=4), products - groups)
    return rng.permutation(np.concatenate([np.arange(groups), rest]))


def _catalogue(
    rng: Generator, category: Ints, brand: Ints, cents: Ints, introduced: Ints
) -> list[str]:
    """Writes each product's part of a raw row; ids grow in the order of introduction."""
    products, categories = len(category), int(category.max()) + 1
    rank = np.argsort(np.argsort(introduced, kind="stable"), kind="stable")
    product_id = 5_600_000 + np.cumsum(rng.integers(1, 12, size=products))[rank]
    category_id = 1_487_580_000_000_000_000 + np.cumsum(rng.integers(10**13, size=categories))
    code = [_CODES[n // 12 % len(_CODES)] if n % 12 == 5 else "" for n in range(categories)]
    name = [_name(n) for n in range(brand.max() + 1)]
    unnamed = rng.integers(100, size=products) < 35
    return [
        f"{product_id[p]},{category_id[category[p]]},{code[category[p]]},"
        f"{'' if unnamed[p] else name[brand[p]]},{_money(cents[p])}"
        for p in range(products)
    ]


def _name(number: int) -> str:
    """A brand's name: the number in syllables."""
    size = len(_SYLLABLES)
    return "".join(_SYLLABLES[number // size**digit % size] for digit in range(3))


def _money(cents: np.integer[Any]) -> str:
    """Writes an amount with two decimals."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"
