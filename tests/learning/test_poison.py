"""Days that no shop wishes for: each ends in a bundle that can be served."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from learning.shop import Checkerboard, Event, days_after, delta_of
from progrec.errors import InputError
from progrec.learning.bundle import Bundle

N = 100_000
DAY = "2020-02-02"
HISTORY = Checkerboard()
BEFORE, AFTER = days_after(1), [("2020-02-03", *event[1:]) for event in days_after(1, seed=1)]
Updated = Callable[..., Bundle]
Poisoned = Callable[[list[Event]], Path]


@pytest.fixture(params=["fusion", "side"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Bundle:
    """The cold model, where it lies: of a shop, or one with side inputs and no fusion."""
    name = {"fusion": "cold", "side": "bundle_with_side"}[request.param]
    bundle: Bundle = request.getfixturevalue(name)
    return bundle.save(tmp_path / "model")


def write(folder: Path, poison: list[Event]) -> Path:
    """A day of poison between two like any other."""
    return delta_of(folder, [*BEFORE, *poison, *AFTER], HISTORY.events)


def assert_sane(bundle: Bundle) -> None:
    """Its weights are numbers and its probabilities such; loaded it has been."""
    for name, value in bundle.network.state_dict().items():
        assert torch.isfinite(value).all(), name
    scores = bundle.scores(list(bundle.users.ids))
    if bundle.network.fusion:
        assert ((scores > 0) & (scores < 1)).all()
    # The weights of the one with side inputs are noise: what is far from them rounds to 0 or 1.
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scores.std() > 0
    assert np.isfinite(bundle.evidence.demand).all()
    assert bundle.evidence.demand.min() >= 0
    assert bundle.popularity.dtype == np.float64
    assert not bundle.purchases.duplicated(["user", "item"]).any()


def rewrite(folder: Path, table: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = folder / table / f"date={DAY}" / f"{table}.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)


@pytest.mark.parametrize("bot", ["u00", "bot"])
def test_a_bot_that_buys_a_few_products_over_and_over(
    model: Bundle, updated_by: Updated, tmp_path: Path, bot: str
) -> None:
    # The events are made here: the tables' naive sums would take long over so many.
    folder = write(tmp_path / "delta", [(DAY, bot, f"p{n % 3:02}", "purchase") for n in range(30)])
    events = folder / "enriched" / f"date={DAY}" / "enriched.parquet"
    rows = pd.read_parquet(events)
    rows.iloc[np.arange(N) % len(rows)].to_parquet(events, index=False)
    for table, column in (("user_features", "total_purchases"), ("item_features", "total_sales")):
        rewrite(folder, table, lambda rows, column=column: rows.assign(**{column: N}))

    bundle = updated_by(folder)

    assert_sane(bundle)
    assert bundle.provenance.watermark == date(2020, 2, 3)
    history = bundle.evidence.touches.table()
    own = history[history["user"] == bundle.users.rows([bot])[0]]
    assert own["num_purchases"].sum() >= N
    # It counts once a day and product.
    assert bundle.popularity.max() < 30


@pytest.mark.parametrize("bot", ["u00", "bot"])
def test_a_bot_that_buys_everything_there_is_and_more(
    cold: Bundle, updated_by: Updated, tmp_path: Path, bot: str
) -> None:
    cold.save(tmp_path / "model")
    folder = write(tmp_path / "delta", [(DAY, bot, "p00", "purchase")])
    items = [f"p{number:06}" for number in range(N)]
    rewrite(
        folder,
        "enriched",
        lambda rows: rows.iloc[np.zeros(N, np.int64)].assign(item_id=items, price=1.0),
    )
    rewrite(
        folder,
        "item_features",
        lambda rows: rows.iloc[np.zeros(N, np.int64)].assign(item_id=items, category="many"),
    )

    bundle = updated_by(folder, "update.epochs=1")

    assert len(bundle.items) > N
    weights = bundle.network.state_dict().values()
    assert all(torch.isfinite(value).all() for value in weights)
    scores = bundle.scores([bot, "u01"])
    assert ((scores > 0) & (scores < 1)).all()
    # It makes nothing that nobody else touched sell.
    assert bundle.popularity[bundle.vocabulary.rows(items)].max() == 1


def test_a_day_of_random_pairs(model: Bundle, updated_by: Updated, tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    pairs = [
        (DAY, f"u{user:02}", f"p{item:02}", "purchase")
        for user, item in zip(*generator.integers(0, 99, (2, 2000)), strict=True)
    ]

    assert_sane(updated_by(write(tmp_path / "delta", pairs)))


@pytest.mark.parametrize("price", [None, -1.0, 0.0, 1e9])
def test_a_day_whose_prices_are_none(
    model: Bundle, updated_by: Updated, tmp_path: Path, price: float | None
) -> None:
    day = [(DAY, *event[1:]) for event in days_after(1, seed=2)]
    folder = write(tmp_path / "delta", day)
    # A missing one is what ingest leaves of an event without a price; it rejects one that is NaN.
    prices = pd.array([price] * len(day), dtype="Float64")
    rewrite(folder, "enriched", lambda rows: rows.assign(price=prices))
    rewrite(folder, "user_features", lambda rows: rows.assign(total_spent=price or 0.0))
    rewrite(folder, "item_features", lambda rows: rows.assign(revenue=price or 0.0))

    assert_sane(updated_by(folder))


@pytest.mark.parametrize("price", [np.nan, np.inf])
def test_a_price_that_ingest_would_have_rejected_is_named_and_leaves_the_day_before(
    model: Bundle, updated_by: Updated, tmp_path: Path, price: float
) -> None:
    folder = write(tmp_path / "delta", [(DAY, "u00", "p00", "purchase")])
    events = folder / "enriched" / f"date={DAY}" / "enriched.parquet"
    rows = pq.read_table(events)
    place = rows.schema.get_field_index("price")
    pq.write_table(rows.set_column(place, "price", pa.array([price])), events)

    with pytest.raises(InputError, match="enriched cannot be read"):
        updated_by(folder)

    left = Bundle.load(tmp_path / "updated")
    assert_sane(left)
    assert left.provenance.watermark == date(2020, 2, 1)


def test_a_day_without_events(model: Bundle, updated_by: Updated, tmp_path: Path) -> None:
    folder = write(tmp_path / "delta", [(DAY, "u00", "p00", "purchase")])
    for table in ("enriched", "user_features", "item_features"):
        rewrite(folder, table, lambda rows: rows[:0])

    bundle = updated_by(folder)

    assert_sane(bundle)
    _, nothing, _ = bundle.provenance.chain
    assert (nothing.date, nothing.users) == (date(2020, 2, 2), 0)
    assert (nothing.figures, nothing.losses) == ({}, {})


def test_a_day_that_is_not_there(model: Bundle, updated_by: Updated, tmp_path: Path) -> None:
    bundle = updated_by(write(tmp_path / "delta", []))

    assert_sane(bundle)
    assert [link.date.day for link in bundle.provenance.chain] == [1, 3]


@pytest.mark.parametrize("also", ["products of old", "new products, too"])
def test_a_day_on_which_every_user_is_new(
    model: Bundle, updated_by: Updated, tmp_path: Path, also: str
) -> None:
    first = 0 if also == "products of old" else 50
    day = [
        (DAY, f"v{n:02}", f"p{first + n % 4:02}", kind)
        for n in range(40)
        for kind in ("view", "purchase")
    ]

    bundle = updated_by(write(tmp_path / "delta", day))

    assert_sane(bundle)
    assert all(bundle.knows(f"v{n:02}") for n in range(40))


def test_a_day_of_nothing_but_removals(model: Bundle, updated_by: Updated, tmp_path: Path) -> None:
    day = [(DAY, f"u{n:02}", f"p{n:02}", "remove_from_cart") for n in range(12)]

    assert_sane(updated_by(write(tmp_path / "delta", day)))
