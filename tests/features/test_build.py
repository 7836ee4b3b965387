from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from progrec import settings, warehouse
from progrec.features import build as features
from progrec.features.build import Part

PARAMS = Path(__file__).parents[2] / "params.yaml"
ALL_TIME = (date(2000, 1, 1), date(2099, 12, 31))

# The columns and types that ingest writes.
EVENT = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_time", pa.timestamp("us")),
        ("event_type", pa.string()),
        ("user_id", pa.string()),
        ("product_id", pa.string()),
        ("user_session", pa.string()),
        ("price", pa.float64()),
        ("category_id", pa.string()),
        ("category_code", pa.string()),
        ("brand", pa.string()),
        ("source", pa.string()),
    ]
)
CATALOGUE = pa.schema(
    [
        (name, pa.string())
        for name in ("product_id", "category_id", "category_code", "brand", "title")
    ]
)


class Tables:
    """Events and a catalogue, and the tables that are built from them."""

    def __init__(self, folder: Path) -> None:
        self.events, self.out = folder / "events/history", folder / "features"
        self.catalogue = folder / "catalogue.parquet"
        self.events.mkdir(parents=True)
        self.list_products()

    def list_products(self, *products: dict[str, str]) -> None:
        pq.write_table(pa.Table.from_pylist(list(products), CATALOGUE), self.catalogue)

    def log(self, *events: dict[str, Any]) -> None:
        """Writes events as ingest does: a folder a day."""
        days: dict[date, list[dict[str, Any]]] = {}
        for event in events:
            days.setdefault(event["event_time"].date(), []).append(event)
        for day, rows in days.items():
            folder = self.events / f"date={day}"
            folder.mkdir()
            pq.write_table(pa.Table.from_pylist(rows, EVENT), folder / "events.parquet")

    def build(self, window: tuple[date, date] = ALL_TIME) -> dict[str, int]:
        return features.build(self.events, self.catalogue, self.out, window)

    def read(self, table: str) -> list[dict[str, Any]]:
        return pq.read_table(self.out / f"{table}.parquet").to_pylist()

    def values(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        return [tuple(row[column] for column in columns) for row in self.read(table)]

    def daily(self) -> dict[str, list[tuple[Any, ...]]]:
        return {
            file.parent.name: [
                tuple(row.values()) for row in pq.read_table(file, partitioning=None).to_pylist()
            ]
            for file in sorted((self.out / "interactions").glob("*/interactions.parquet"))
        }

    def bytes(self) -> dict[str, bytes]:
        files = (path for path in self.out.rglob("*") if path.is_file())
        return {path.relative_to(self.out).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path)


def event(
    time: str, kind: str, user: str, item: str, price: float | None = None, **more: str
) -> dict[str, Any]:
    return {
        "event_time": datetime.fromisoformat(time),
        "event_type": kind,
        "user_id": user,
        "product_id": item,
        "price": price,
        **more,
    }


# Three shoppers over three days, and what can be counted by hand


@pytest.fixture
def worked(tables: Tables) -> Tables:
    tables.log(
        event("2020-01-01T10:00", "view", "ann", "cup", 5.0, brand="old", category_id="7"),
        event("2020-01-01T10:01", "view", "ann", "cup", 5.0, brand="new", category_id="8"),
        event("2020-01-01T10:02", "cart", "ann", "cup", 5.0),
        event("2020-01-01T10:03", "purchase", "ann", "cup", 5.0),
        event("2020-01-01T11:00", "click", "bob", "pan", 20.1, category_code="kitchen.pan"),
        event("2020-01-02T00:00", "purchase", "ann", "cup", 4.0),
        event("2020-01-02T09:00", "purchase", "ann", "cup", 4.0),
        event("2020-01-02T09:30", "cart", "bob", "pan", 20.2),
        event("2020-01-02T23:59:59.999999", "remove_from_cart", "bob", "pan"),
        event("2020-01-03T08:00", "purchase", "bob", "pan", 19.99),
        event("2020-01-03T08:00", "purchase", "bob", "lid"),
        event("2020-01-03T12:00", "view", "cid", "lid", 3.0),
    )
    tables.list_products(
        {"product_id": "pan", "brand": "acme"},
        {"product_id": "lid", "category_id": "9"},
        {"product_id": "never seen", "brand": "none"},
    )
    return tables


def test_the_counts_of_rows_are_returned(worked: Tables) -> None:
    assert worked.build() == {
        "interactions": 7,
        "user_features": 3,
        "item_features": 3,
        "targets": 3,
    }


def test_interactions_are_what_a_user_did_with_an_item_on_a_day(worked: Tables) -> None:
    worked.build()

    # user, item, views, clicks, carts, removes, purchases, spent
    assert worked.daily() == {
        "date=2020-01-01": [
            ("ann", "cup", 2, 0, 1, 0, 1, 5.0),
            ("bob", "pan", 0, 1, 0, 0, 0, 0.0),
        ],
        "date=2020-01-02": [
            ("ann", "cup", 0, 0, 0, 0, 2, 8.0),
            ("bob", "pan", 0, 0, 1, 1, 0, 0.0),
        ],
        "date=2020-01-03": [
            ("bob", "lid", 0, 0, 0, 0, 1, 0.0),
            ("bob", "pan", 0, 0, 0, 0, 1, 19.99),
            ("cid", "lid", 1, 0, 0, 0, 0, 0.0),
        ],
    }


def test_interactions_have_names_and_types_that_can_be_relied_on(worked: Tables) -> None:
    worked.build()
    file = worked.out / "interactions/date=2020-01-01/interactions.parquet"
    assert [(field.name, str(field.type)) for field in pq.ParquetFile(file).schema_arrow] == [
        ("user_id", "string"),
        ("item_id", "string"),
        *(
            (f"num_{what}", "int64")
            for what in ("views", "clicks", "carts", "removes", "purchases")
        ),
        ("total_spent", "double"),
    ]


def test_user_features_are_a_users_totals(worked: Tables) -> None:
    worked.build()

    names = ("user_id", "total_purchases", "total_spent", "avg_spent")
    counts = ("views", "clicks", "carts", "removes")
    assert worked.read("user_features") == [
        dict(zip((*names, *counts), row, strict=True))
        for row in [
            ("ann", 3, 13.0, 13.0 / 3, 2, 0, 1, 0),
            ("bob", 2, 19.99, 19.99 / 2, 0, 1, 1, 1),
            ("cid", 0, 0.0, 0.0, 1, 0, 0, 0),
        ]
    ]


def test_item_features_are_an_items_totals_and_what_it_is(worked: Tables) -> None:
    worked.build()

    names = ("item_id", "total_sales", "revenue", "avg_price", "views", "carts")
    more = ("cart_to_purchase_rate", "category", "brand")
    assert worked.read("item_features") == [
        dict(zip((*names, *more), row, strict=True))
        for row in [
            ("cup", 3, 13.0, pytest.approx(28 / 6), 2, 1, 3.0, "8", "new"),
            ("lid", 1, 0.0, 3.0, 1, 0, None, "9", None),
            ("pan", 1, 19.99, pytest.approx(60.29 / 3), 0, 1, 1.0, "kitchen.pan", "acme"),
        ]
    ]


def test_targets_are_the_purchases_within_the_window(worked: Tables) -> None:
    worked.build((date(2020, 1, 1), date(2020, 1, 2)))
    assert worked.values("targets", "user_id", "item_id") == [("ann", "cup")]

    worked.build((date(2020, 1, 2), date(2020, 1, 3)))
    assert worked.values("targets", "user_id", "item_id") == [
        ("ann", "cup"),
        ("bob", "lid"),
        ("bob", "pan"),
    ]


# Rules, one by one


def test_the_windows_first_and_last_day_are_within_it(tables: Tables) -> None:
    tables.log(
        event("2020-01-09T23:59:59.999999", "purchase", "u", "the day before"),
        event("2020-01-10", "purchase", "u", "at its first moment"),
        event("2020-01-12T23:59:59.999999", "purchase", "u", "at its last moment"),
        event("2020-01-13", "purchase", "u", "the day after"),
    )

    tables.build((date(2020, 1, 10), date(2020, 1, 12)))

    assert tables.values("targets", "item_id") == [
        ("at its first moment",),
        ("at its last moment",),
    ]


@pytest.mark.parametrize(
    ("part", "window"),
    [
        (Part.HISTORY, (date(2020, 1, 18), date(2020, 1, 31))),
        (Part.DELTA, (date(2020, 2, 1), date(2020, 2, 14))),
    ],
)
def test_the_window_ends_or_starts_at_the_cutoff(part: Part, window: tuple[date, date]) -> None:
    split = settings.load(PARAMS).split
    assert (split.cutoff, split.validation_days, split.horizon_days) == (date(2020, 2, 1), 14, 14)
    assert features.window(part, split) == window


def test_a_window_of_one_day_is_that_day() -> None:
    split = settings.load(PARAMS).split.model_copy(update={"validation_days": 1, "horizon_days": 1})
    assert features.window(Part.HISTORY, split) == (date(2020, 1, 31),) * 2
    assert features.window(Part.DELTA, split) == (date(2020, 2, 1),) * 2


def test_without_events_every_table_is_there_and_empty(tables: Tables) -> None:
    assert tables.build() == dict.fromkeys(
        ("interactions", "user_features", "item_features", "targets"), 0
    )
    assert sorted(path.name for path in tables.out.iterdir()) == [
        "interactions",
        "item_features.parquet",
        "targets.parquet",
        "user_features.parquet",
    ]
    assert [tables.read(name) for name in features.TABLES] == [[], [], []]


def test_empty_tables_have_the_columns_and_types_of_full_ones(tmp_path: Path) -> None:
    empty, full = Tables(tmp_path / "empty"), Tables(tmp_path / "full")
    full.log(event("2020-01-01", "purchase", "u", "p", 1.0, brand="b", category_id="c"))
    empty.build()
    full.build()

    for name in features.TABLES:
        file = f"{name}.parquet"
        assert pq.read_schema(empty.out / file) == pq.read_schema(full.out / file)


def test_sums_of_prices_are_exact(tables: Tables) -> None:
    prices = [0.1, 0.2, 0.3, 1e9 + 0.01, -1e9, *[0.01] * 997]
    tables.log(
        *(event("2020-01-01", "purchase", "u", f"p{n % 3}", x) for n, x in enumerate(prices))
    )

    tables.build()

    exact = sum((Decimal(str(price)) for price in prices), Decimal())
    assert tables.values("user_features", "total_spent") == [(float(exact),)]
    revenue = sum(Decimal(str(row[0])) for row in tables.values("item_features", "revenue"))
    assert revenue == exact


def test_sums_do_not_depend_on_the_order_of_events(tmp_path: Path) -> None:
    events = [
        event("2020-01-01", "purchase", f"u{n % 3}", f"p{n % 5}", n * 0.37 + n**3 / 100)
        for n in range(200)
    ]
    forth, back = Tables(tmp_path / "forth"), Tables(tmp_path / "back")
    forth.log(*events)
    back.log(*reversed(events))
    forth.build()
    back.build()

    assert forth.bytes() == back.bytes()


def test_the_highest_prices_fit(tables: Tables) -> None:
    tables.log(*(event("2020-01-01", "purchase", "u", "p", 1e12) for _ in range(150)))
    tables.build()

    assert tables.values("user_features", "total_spent", "avg_spent") == [(1.5e14, 1e12)]
    assert tables.values("item_features", "revenue", "avg_price") == [(1.5e14, 1e12)]


def test_only_purchases_are_spent(tables: Tables) -> None:
    kinds = ("view", "click", "cart", "remove_from_cart")
    tables.log(*(event("2020-01-01", kind, "u", "p", 5.0) for kind in kinds))
    tables.build()

    assert tables.daily() == {"date=2020-01-01": [("u", "p", 1, 1, 1, 1, 0, 0.0)]}
    assert tables.values("user_features", "total_purchases", "avg_spent") == [(0, 0.0)]
    assert tables.read("targets") == []


@pytest.mark.parametrize(
    ("logged", "listed", "category", "brand"),
    [
        ({}, {}, None, None),
        ({"category_id": "1", "brand": "b"}, {}, "1", "b"),
        ({"category_id": "1", "category_code": "a.b"}, {}, "a.b", None),
        (
            {"category_code": "a.b", "brand": "b"},
            {"category_code": "c.d", "brand": "d"},
            "c.d",
            "d",
        ),
        ({"category_code": "a.b"}, {"category_id": "9"}, "a.b", None),
        ({"category_id": "1"}, {"category_id": "9"}, "9", None),
        ({"category_id": "1", "brand": "b"}, {"category_code": "c.d"}, "c.d", "b"),
    ],
)
def test_the_catalogue_goes_before_the_log_and_codes_before_ids(
    tables: Tables,
    logged: dict[str, str],
    listed: dict[str, str],
    category: str | None,
    brand: str | None,
) -> None:
    tables.log(event("2020-01-01", "view", "u", "p", **logged))
    tables.list_products({"product_id": "p", **listed})
    tables.build()

    assert tables.values("item_features", "category", "brand") == [(category, brand)]


def test_of_the_logs_words_the_last_one_stands_and_a_gap_is_none(tables: Tables) -> None:
    tables.log(
        event("2020-01-01T12:00", "view", "u", "p", brand="z"),
        event("2020-01-02T12:00", "view", "u", "p", brand="a"),
        event("2020-01-02T12:00", "view", "u", "p", brand="b"),
        event("2020-01-03T12:00", "view", "u", "p"),
    )
    tables.build()

    assert tables.values("item_features", "brand") == [("b",)]


def test_an_item_without_a_price_has_no_average(tables: Tables) -> None:
    tables.log(event("2020-01-01", "cart", "u", "p"))
    tables.build()
    assert tables.values("item_features", "avg_price", "cart_to_purchase_rate") == [(None, 0.0)]


def test_ids_stay_as_they_are(tables: Tables) -> None:
    ids = ["007", "7", "7.0", "a'b", "é", "商品"]
    tables.log(*(event("2020-01-01", "purchase", name, name) for name in ids))
    tables.build()

    assert tables.values("targets", "user_id") == [(name,) for name in sorted(ids)]


def test_an_earlier_builds_days_are_gone(tables: Tables, tmp_path: Path) -> None:
    tables.log(event("2020-01-01", "view", "u", "p"), event("2020-01-02", "view", "u", "p"))
    tables.build()
    (tables.events / "date=2020-01-01/events.parquet").unlink()
    tables.build()

    assert list(tables.daily()) == ["date=2020-01-02"]


def test_a_build_that_fails_leaves_the_tables_as_they_were(
    worked: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked.build()
    before = worked.bytes()
    (worked.events / "date=2020-01-01/events.parquet").write_bytes(b"PAR1 and then nothing")

    with pytest.raises(duckdb.Error):
        worked.build()

    assert worked.bytes() == before
    assert sorted(path.name for path in worked.out.parent.iterdir()) == [
        "catalogue.parquet",
        "events",
        "features",
    ]


def test_folders_with_signs_of_a_pattern_are_read_as_they_stand(tmp_path: Path) -> None:
    tables = Tables(tmp_path / "[ab]*" / "date=2019-01-01")
    tables.log(event("2020-01-01", "view", "u", "p"))
    tables.build()
    assert list(tables.daily()) == ["date=2020-01-01"]


# The same bytes


def test_two_builds_write_the_same_bytes(worked: Tables) -> None:
    worked.build()
    before = worked.bytes()
    worked.build()

    assert worked.bytes() == before
    assert len(before) == 6


@pytest.mark.parametrize("price", [2.5, None])
def test_a_later_day_changes_no_byte_of_the_days_before(
    worked: Tables, price: float | None
) -> None:
    worked.build()
    before = {name: data for name, data in worked.bytes().items() if "date=" in name}

    worked.log(event("2020-01-09", "purchase", "new", "new", price))
    worked.build()

    after = worked.bytes()
    assert {name: after[name] for name in before} == before
    assert len([name for name in after if "date=" in name]) == 4


def test_one_day_is_the_same_alone_and_among_others(worked: Tables, tmp_path: Path) -> None:
    alone = Tables(tmp_path / "alone")
    alone.log(
        event("2020-01-03T08:00", "purchase", "bob", "pan", 19.99),
        event("2020-01-03T08:00", "purchase", "bob", "lid"),
        event("2020-01-03T12:00", "view", "cid", "lid", 3.0),
    )
    alone.build()
    worked.build()

    file = "interactions/date=2020-01-03/interactions.parquet"
    assert alone.bytes()[file] == worked.bytes()[file]


def test_the_number_of_threads_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, written = warehouse.connect, {}
    events = random_events(3000)
    for threads in (1, 4):

        @contextmanager
        def limited(threads: int = threads) -> Iterator[duckdb.DuckDBPyConnection]:
            with connect() as connection:
                connection.execute(f"set threads = {threads}")
                yield connection

        monkeypatch.setattr(warehouse, "connect", limited)
        tables = Tables(tmp_path / str(threads))
        tables.log(*events)
        tables.build()
        written[threads] = tables.bytes()

    assert written[1] == written[4]


# A naive twin


def random_events(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(7)
    kinds = ["view", "click", "cart", "remove_from_cart", "purchase"]
    return [
        event(
            f"2020-01-{rng.integers(1, 6):02d}T{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}",
            kinds[rng.integers(0, 5)],
            f"u{rng.integers(0, 12)}",
            f"p{rng.integers(0, 9)}",
            None if rng.random() < 0.2 else round(float(rng.uniform(-5, 500)), 2),
        )
        for _ in range(count)
    ]


def counted(events: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """How often each event type occurs by keys, and what was spent, to the cent."""
    bought = events["event_type"] == "purchase"
    cents = (events["price"].where(bought).fillna(0) * 100).round().astype(int)
    columns = {
        kind: (events["event_type"] == kind).astype(int)
        for kind in ("view", "click", "cart", "remove_from_cart", "purchase")
    }
    table = events[list(keys)].assign(**columns, cents=cents)
    return table.groupby(list(keys)).sum().sort_index().reset_index()


def test_a_naive_twin_agrees_on_every_number(tables: Tables) -> None:
    events = random_events(600)
    tables.log(*events)
    log = pd.DataFrame(events).rename(columns={"product_id": "item_id"})
    log["date"] = log["event_time"].dt.date
    first, last = date(2020, 1, 2), date(2020, 1, 4)

    tables.build((first, last))

    daily = [
        (date.fromisoformat(day.removeprefix("date=")), *row[:-1], round(row[-1] * 100))
        for day, rows in tables.daily().items()
        for row in rows
    ]
    by_day = counted(log, ["date", "user_id", "item_id"])
    assert daily == list(by_day.itertuples(index=False, name=None))

    users = counted(log, ["user_id"])
    columns = ("user_id", "views", "clicks", "carts", "removes", "total_purchases")
    assert tables.values("user_features", *columns) == list(
        users.drop(columns="cents").itertuples(index=False, name=None)
    )
    assert [row[0] for row in tables.values("user_features", "total_spent")] == [
        cents / 100 for cents in users["cents"]
    ]
    assert [row[0] for row in tables.values("user_features", "avg_spent")] == pytest.approx(
        list(users["cents"] / 100 / users["purchase"])
    )

    items = counted(log, ["item_id"])
    columns = ("item_id", "views", "carts", "total_sales")
    assert tables.values("item_features", *columns) == list(
        items[["item_id", "view", "cart", "purchase"]].itertuples(index=False, name=None)
    )
    mean = log.groupby("item_id")["price"].mean().sort_index()
    assert [row[0] for row in tables.values("item_features", "avg_price")] == pytest.approx(
        list(mean)
    )
    rate = items["purchase"] / items["cart"]
    assert [
        row[0] for row in tables.values("item_features", "cart_to_purchase_rate")
    ] == pytest.approx(list(rate))

    within = log[(log["event_type"] == "purchase") & log["date"].between(first, last)]
    assert tables.values("targets", "user_id", "item_id") == sorted(
        set(within[["user_id", "item_id"]].itertuples(index=False, name=None))
    )


def test_the_command_tells_the_counts(
    worked: Tables, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(worked.out.parent)
    Path("params.yaml").write_text(PARAMS.read_text())

    features.main(Part.HISTORY, worked.events, worked.catalogue, Path("out"))

    assert capsys.readouterr().out == (
        "features: 7 interactions, 3 user_features, 3 item_features, 0 targets\n"
    )
