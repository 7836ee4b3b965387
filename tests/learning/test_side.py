from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from progrec.learning import side
from progrec.learning.day import Day

Interactions = Callable[[list[tuple[str, str, str, str]]], pd.DataFrame]

# p02 costs 2.5, p03 costs 3.5.
EVENTS = [
    ("2020-01-01", "ann", "p02", "view"),
    ("2020-01-01", "ann", "p02", "cart"),
    ("2020-01-02", "ann", "p02", "purchase"),
    ("2020-01-03", "ann", "p03", "purchase"),
    ("2020-01-03", "bob", "p03", "click"),
    ("2020-01-04", "bob", "p03", "remove_from_cart"),
    ("2020-01-04", "bob", "p03", "cart"),
    ("2020-01-04", "bob", "p03", "cart"),
]


def test_a_users_totals_are_the_sums_over_the_days(interactions: Interactions) -> None:
    totals = side.user_totals(interactions(EVENTS))

    assert totals.loc["ann"].to_dict() == {
        "total_purchases": 2,
        "total_spent": 6.0,
        "views": 1,
        "clicks": 0,
        "carts": 1,
        "removes": 0,
    }
    assert totals.loc["bob"].tolist() == [0, 0.0, 0, 1, 2, 1]


def test_an_items_totals_are_the_sums_over_the_days(interactions: Interactions) -> None:
    totals = side.item_totals(interactions(EVENTS))

    assert totals.loc["p02"].to_dict() == {
        "total_sales": 1,
        "revenue": 2.5,
        "views": 1,
        "carts": 1,
    }
    assert totals.loc["p03"].tolist() == [1, 3.5, 0, 2]


def test_sums_over_the_interactions_are_what_the_tables_of_features_say(
    interactions: Interactions, deltas: Callable[..., Path]
) -> None:
    day = Day.read(deltas(EVENTS), date(2020, 1, 4))

    for totals, table in (
        (side.user_totals(interactions(EVENTS)), day.user_features.set_index("user_id")),
        (side.item_totals(interactions(EVENTS)), day.item_features.set_index("item_id")),
    ):
        pd.testing.assert_frame_equal(totals.loc[table.index], table[totals.columns])


def test_numbers_are_logarithms_in_the_order_of_their_names() -> None:
    totals = pd.DataFrame({"views": [0, 9], "carts": [1, 3]})

    numbers = side.numbers(totals, ["carts", "views"])

    np.testing.assert_allclose(numbers, np.log([[2, 1], [4, 10]]), rtol=1e-6)


def test_a_refund_is_below_nothing() -> None:
    numbers = side.numbers(pd.DataFrame({"revenue": [-9.0, 9.0, 0.0]}), ["revenue"])

    np.testing.assert_allclose(numbers[:, 0], [-np.log(10), np.log(10), 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "totals", "ratio"),
    [
        ("avg_spent", {"total_spent": [6.0, 0.0], "total_purchases": [2, 0]}, 3.0),
        ("avg_price", {"revenue": [7.0, 0.0], "total_sales": [2, 0]}, 3.5),
        ("cart_to_purchase_rate", {"total_sales": [1, 1], "carts": [4, 0]}, 0.25),
    ],
)
def test_a_ratio_to_nothing_is_missing(
    name: str, totals: dict[str, list[float]], ratio: float
) -> None:
    known, missing = side.numbers(pd.DataFrame(totals), [name])[:, 0].tolist()

    assert known == pytest.approx(np.log1p(ratio))
    assert np.isnan(missing)


def test_no_names_make_no_numbers_and_no_codes() -> None:
    table = pd.DataFrame({"views": [1, 2, 3]})

    assert side.numbers(table, []).shape == (3, 0)
    assert side.codes(table, []).shape == (3, 0)


def test_codes_count_from_one_in_the_order_of_appearance_and_0_is_unknown() -> None:
    items = pd.DataFrame({"category": ["b", None, "a", "b"], "brand": [None, "x", "x", "y"]})

    assert side.codes(items, ["category", "brand"]).tolist() == [[1, 0], [0, 1], [2, 1], [1, 2]]


def test_more_items_change_no_code() -> None:
    items = pd.DataFrame({"category": ["b", None, "a", "0", "b"]})

    codes = [side.codes(items[:length], ["category"]).tolist() for length in (3, 5)]

    assert codes[1][:3] == codes[0]
    assert codes[1][3:] == [[3], [1]]
