"""A sample shop's event log in REES46's form: something to learn, and something to follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.random import PCG64, Generator
from rich.console import Console
from rich.progress import track

from progrec.errors import InputError
from progrec.events import raw
from progrec.events.schema import REES46
from progrec.events.shop import Bools, Calendar, Ints, Shop, Stock, open_shop
from progrec.events.shoppers import (
    MOODS,
    PURCHASE,
    STEPS,
    Memory,
    Shoppers,
    Tastes,
    Visits,
    invite,
    plan_visits,
)

_KINDS = ("view", "cart", "remove_from_cart", "purchase")
_RECALLS = 20  # per cent of looks that go to something thought about before
_RECALLS_TO_BUY = 45  # and of those that end in a purchase
_REPLACES = 45  # per cent of purchases that may be of something bought before
_RETHINKS = 6  # times that the other purchases are chosen anew
_CHECKOUT = 30  # seconds
_LAST_SECOND = 24 * 3600 - 1
_HOURS = (2, 1, 1, 1, 2, 5, 9, 12, 15, 18, 20, 20, 20, 20, 19, 19, 20, 22, 24, 25, 23, 16, 8, 4)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_BREAKS = (
    ("event_type", "wishlist"),
    ("event_time", "2019-13-45 99:00:00 UTC"),
    ("user_id", ""),
    ("price", "nan"),
    ("price", "inf"),
)


@dataclass(frozen=True)
class Looks:
    """One day's looks at products: (looks,) each, visit by visit.

    Attributes:
        visit: the visit's number on that day.
        shopper: who looks.
        outcome: how it will end.
    """

    visit: Ints
    shopper: Ints
    outcome: Ints

    @property
    def buys(self) -> Bools:
        """(looks,) whether it will end in a purchase."""
        buys: Bools = (STEPS == PURCHASE).any(axis=1)[self.outcome]
        return buys


@dataclass(frozen=True)
class Events:
    """One day's events in order of time: (events,) each.

    Attributes:
        second: of the day.
        kind: a number in the list of event types.
        product: what it is about.
        shopper: whose it is.
        visit: the visit's number on that day.
    """

    second: Ints
    kind: Ints
    product: Ints
    shopper: Ints
    visit: Ints


@dataclass(frozen=True)
class Flaws:
    """What is wrong with the log: numbers of events, sorted.

    Attributes:
        repeated: those that are written twice.
        broken: those that are written as malformed rows.
    """

    repeated: Ints
    broken: Ints


def simulate(
    out: Path,
    *,
    users: int,
    products: int,
    events: int,
    days: int,
    seed: int,
    start: date = date(2019, 10, 1),
) -> None:
    """Writes a sample shop's log, a CSV a month, into `out/events`.

    The bytes depend on the arguments alone. Of the rows, 0.2 % repeat another one and 0.005 %, or
    five, are malformed.

    Args:
        out: the folder of raw data; empty, or not there yet.
        users: how many shoppers there are, at least 1.
        products: how many products there are, at least 10.
        events: how many rows are written in all, at least 100 and two a shopper.
        days: how many days the log covers, at least 2.
        seed: of all chance, at least 0.
        start: the first day.

    Raises:
        InputError: an argument is out of its range, or `out` is not empty. Nothing is written.
    """
    _check(users=users, products=products, events=events, days=days, seed=seed)
    with raw.staged(out) as staging:
        rng = Generator(PCG64(seed))
        calendar = Calendar.of(days, start)
        flaws = _plan_flaws(rng, events)
        shop = open_shop(rng, products, days)
        shoppers = invite(rng, shop, users, calendar)
        visits = plan_visits(rng, shoppers, calendar, events - len(flaws.repeated))
        log = _Log(staging / raw.EVENTS, shop, shoppers, flaws)
        for day, today in enumerate(_track(_live(rng, shop, shoppers, visits), days)):
            session_ids = _session_ids(rng, today.visit.max(initial=-1) + 1)
            log.add(start + timedelta(day), today, session_ids)


def _check(*, users: int, products: int, events: int, days: int, seed: int) -> None:
    for name, value, least in (
        ("users", users, 1),
        ("products", products, 10),
        ("days", days, 2),
        ("seed", seed, 0),
        ("events", events, 100),
    ):
        if value < least:
            raise InputError(f"{name} is {value}; make it at least {least}")
    if events < 2 * users:
        raise InputError(f"events is {events}; make it at least {2 * users}, two for each user")


def _track(history: Iterator[Events], days: int) -> Iterator[Events]:
    console = Console(stderr=True)
    yield from track(
        history, "simulate", total=days, console=console, disable=not console.is_terminal
    )


def _plan_flaws(rng: Generator, events: int) -> Flaws:
    repeated, broken = events // 500, max(5, events // 20_000)
    rows = rng.choice(events - repeated, repeated + broken, replace=False)
    return Flaws(np.sort(rows[:repeated]), np.sort(rows[repeated:]))


def _live(rng: Generator, shop: Shop, shoppers: Shoppers, visits: Visits) -> Iterator[Events]:
    """Lets the shoppers shop, day by day."""
    memory = Memory(len(shoppers.arrival), len(shop.text))
    for day in range(len(visits.first_visit) - 1):
        looks = _looks(visits, day)
        tastes = shoppers.tastes(looks.shopper, day)
        product = _choose(rng, shop.stock(day), tastes, memory, looks)
        memory.consider(rng, looks.shopper[~looks.buys], product[~looks.buys])
        memory.buy(looks.shopper[looks.buys], product[looks.buys])
        yield _happen(rng, looks, product)


def _looks(visits: Visits, day: int) -> Looks:
    first, last = visits.first_visit[day : day + 2]
    bounds = visits.first_look[first : last + 1]
    visit = np.repeat(np.arange(last - first), np.diff(bounds))
    outcome = visits.outcome[bounds[0] : bounds[-1]]
    return Looks(visit, visits.shopper[first:last][visit], outcome)


def _choose(rng: Generator, stock: Stock, tastes: Tastes, memory: Memory, looks: Looks) -> Ints:
    """Chooses a product for each look (looks,); what is bought already is seldom bought again."""
    size = len(looks.shopper)
    mood = rng.choice(MOODS, size)[looks.visit]  # one for the whole visit, from which some stray
    shelf = np.where(rng.integers(4, size=size) == 0, rng.choice(MOODS, size), mood)
    found = tastes.browse(rng, stock, shelf)
    thought_of = memory.recall(rng, looks.shopper)
    recalls = rng.integers(100, size=size) < np.where(looks.buys, _RECALLS_TO_BUY, _RECALLS)
    product = np.where(recalls & (thought_of >= 0), thought_of, found)

    buying = np.flatnonzero(looks.buys)
    wants_new = rng.integers(100, size=len(buying)) >= _REPLACES
    for _ in range(_RETHINKS):
        owned = memory.owns(looks.shopper[buying], product[buying])
        again = buying[owned & wants_new | _repeated(looks.visit[buying], product[buying])]
        product[again] = tastes[again].browse(rng, stock, rng.choice(MOODS, len(again)))
    return product


def _repeated(visit: Ints, product: Ints) -> Bools:
    """Whether an earlier purchase of the same visit is of the same product, for (n,) of them."""
    first = np.unique(product * len(visit) + visit, return_index=True)[1]
    return ~np.isin(np.arange(len(visit)), first)


def _happen(rng: Generator, looks: Looks, product: Ints) -> Events:
    """Turns looks (looks,) into events in time; a visit's purchases are its last."""
    look, step = np.nonzero(STEPS[looks.outcome] >= 0)
    kind, visit = STEPS[looks.outcome[look], step], looks.visit[look]

    visits = int(visit.max(initial=-1)) + 1
    clock = np.cumsum(600 // rng.integers(1, 121, size=len(look)))  # seconds; most pauses are short
    begin = clock[np.flatnonzero(np.diff(visit, prepend=-1))]
    length = clock[np.flatnonzero(np.diff(visit, append=visits))] - begin + _CHECKOUT
    opening = rng.choice(np.repeat(np.arange(24), _HOURS), visits) * 3600
    opening = np.minimum(opening + rng.integers(3600, size=visits), _LAST_SECOND - length)
    elapsed = np.where(kind == PURCHASE, length[visit], clock - begin[visit])
    second = np.clip(opening[visit] + elapsed, 0, _LAST_SECOND)

    order = np.argsort(second, kind="stable")
    look = look[order]
    return Events(second[order], kind[order], product[look], looks.shopper[look], visit[order])


class _Log:
    """The files: a CSV a month, to which days are added."""

    def __init__(self, folder: Path, shop: Shop, shoppers: Shoppers, flaws: Flaws) -> None:
        folder.mkdir()
        self._folder = folder
        self._flaws = flaws
        self._events = 0  # written so far
        minutes = [f"{minute // 60:02d}:{minute % 60:02d}" for minute in range(24 * 60)]
        self._clock = pa.array([f"{m}:{second:02d} UTC" for m in minutes for second in range(60)])
        self._kinds = pa.array(_KINDS)
        self._products = pa.array(shop.text)
        self._user_ids = shoppers.user_id

    def add(self, moment: date, today: Events, session_ids: list[str]) -> None:
        """Writes a day's events; the session ids are those of its visits."""
        time = self._clock.take(pa.array(today.second))
        lines = pc.binary_join_element_wise(
            pc.binary_join_element_wise(moment.isoformat(), time, " "),
            self._kinds.take(pa.array(today.kind)),
            self._products.take(pa.array(today.product)),
            pa.array(self._user_ids[today.shopper]).cast(pa.string()),
            pa.array(session_ids, pa.string()).take(pa.array(today.visit)),
            ",",
        )
        path = self._folder / f"{moment.year}-{_MONTHS[moment.month - 1]}.csv"
        with path.open("ab") as file:
            if not file.tell():
                file.write(f"{','.join(REES46)}\n".encode())
            file.write(_text(self._spoil(lines)))

    def _spoil(self, lines: Any) -> Any:
        """Breaks and repeats the lines (an Arrow array) that are to be."""
        before, self._events = self._events, self._events + len(lines)
        numbers = slice(*np.searchsorted(self._flaws.broken, [before, self._events]))
        broken = self._flaws.broken[numbers] - before
        mask = np.zeros(len(lines), np.bool_)
        mask[broken] = True
        intact = lines.take(pa.array(broken)).to_pylist()
        malformed = [_break(line, numbers.start + i) for i, line in enumerate(intact)]
        lines = pc.replace_with_mask(lines, pa.array(mask), pa.array(malformed, pa.string()))

        copies = slice(*np.searchsorted(self._flaws.repeated, [before, self._events]))
        rows = np.concatenate([np.arange(len(lines)), self._flaws.repeated[copies] - before])
        return lines.take(pa.array(np.sort(rows)))


def _text(lines: Any) -> Any:
    """The bytes of all lines (an Arrow array), without a Python string for each."""
    return pc.binary_join(pa.ListArray.from_arrays([0, len(lines)], lines), "")[0].as_buffer()


def _break(line: str, number: int) -> str:
    """Makes a line malformed, in the manner that its number has."""
    fields = dict(zip(REES46, line.rstrip("\n").split(","), strict=True))
    manner = number % (len(_BREAKS) + 1)
    if manner == len(_BREAKS):
        return ",".join(list(fields.values())[:4]) + "\n"
    column, value = _BREAKS[manner]
    return ",".join((fields | {column: value}).values()) + "\n"


def _session_ids(rng: Generator, visits: int) -> list[str]:
    """Makes ids that look like UUIDs, each with its line's end."""
    text = rng.bytes(16 * visits).hex()
    ids = (text[at : at + 32] for at in range(0, len(text), 32))
    return [f"{i[:8]}-{i[8:12]}-{i[12:16]}-{i[16:20]}-{i[20:]}\n" for i in ids]
