from __future__ import annotations

import numpy as np
import pytest

from progrec.figures import shop


def test_the_busiest_shopper_and_the_best_liked_product_are_first() -> None:
    # Shopper 7 has to do with three products, 5 with two, 9 with one; product 2 with all three.
    users = np.array([5, 5, 7, 7, 7, 9])
    items = np.array([2, 8, 2, 8, 4, 2])

    axes, bar = shop.heat_map(users, items).axes

    (mesh,) = axes.collections
    np.testing.assert_array_equal(
        np.ma.filled(mesh.get_array(), 0), [[1, 1, 1], [1, 1, 0], [1, 0, 0]]
    )
    assert axes.yaxis_inverted()
    assert axes.figure.get_suptitle() == "6 pairs of 3 shoppers and 3 products"
    assert bar.get_ylabel() == "pairs a cell"


def test_many_are_counted_in_groups() -> None:
    users, items = np.divmod(np.arange(120 * 90), 90)

    axes, _ = shop.heat_map(users, items).axes

    (mesh,) = axes.collections
    counts = np.ma.filled(mesh.get_array(), 0)
    assert counts.shape == (60, 60)
    # Two shoppers a row; one or two products a column.
    assert counts.sum() == 120 * 90
    assert set(np.unique(counts)) == {2, 4}


def test_a_sum_of_purchases_counts_as_so_many_of_its_mean() -> None:
    spent = np.array([10.0, 30.0, 0.0, 160.0])
    purchases = np.array([1, 3, 2, 1])

    (axes,) = shop.amounts(spent, purchases).axes

    heights = [bar.get_height() for bar in axes.patches]
    assert heights[0] == 4
    assert heights[-1] == 1
    assert sum(heights) == 5
    assert axes.patches[0].get_x() == pytest.approx(10)
    assert axes.patches[-1].get_x() + axes.patches[-1].get_width() == pytest.approx(160)
    assert axes.get_xscale() == "log"
    assert axes.get_legend().get_texts()[0].get_text() == "median 10.00"
    assert axes.figure.get_suptitle() == "What 5 purchases cost"


def test_a_shop_of_one_price_and_one_without_prices_have_a_figure() -> None:
    (one,) = shop.amounts(np.array([5.0, 5.0]), np.array([1, 1])).axes
    (none,) = shop.amounts(np.array([0.0]), np.array([3])).axes

    assert sum(bar.get_height() for bar in one.patches) == 2
    assert len(none.patches) == 0
