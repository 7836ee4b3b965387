from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from progrec.figures import days

NAN = float("nan")


def test_points_are_the_days_and_lines_the_shoppers_of_a_week() -> None:
    dates = [date(2020, 2, 1) + timedelta(n) for n in range(9)]
    users = [1, 3, 0, 1, 1, 1, 1, 1, 1]
    values = [0.5, 0.1, NAN, 0.2, 0.2, 0.2, 0.2, 0.2, 0.4]

    (axes,) = days.prequential(dates, users, {"updated": values}, "ndcg@20").axes

    points, line = axes.lines
    np.testing.assert_array_equal(points.get_ydata(), values)
    # Three shoppers of 0.1 weigh three times as much as one of 0.5; the day of none nothing.
    smooth = line.get_ydata()
    assert smooth[:3] == pytest.approx([0.5, 0.2, 0.2])
    # The last week is of the third to the ninth day.
    assert smooth[-1] == pytest.approx((5 * 0.2 + 0.4) / 6)
    assert line.get_label() == "updated"
    assert axes.get_xlabel().startswith("2020-02-01 to 2020-02-09; ")


def test_before_anybody_was_measured_there_is_no_line() -> None:
    dates = [date(2020, 2, 1), date(2020, 2, 2)]

    (axes,) = days.prequential(dates, [0, 2], {"updated": [NAN, 0.5]}, "ndcg@20").axes

    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [NAN, 0.5])


def test_each_model_has_a_colour_of_its_own() -> None:
    models = {name: [0.1] for name in ("updated", "frozen", "popularity")}

    (axes,) = days.prequential([date(2020, 2, 1)], [1], models, "ndcg@20").axes

    colours = [line.get_color() for line in axes.lines]
    assert colours[::2] == colours[1::2]
    assert len(set(colours)) == 3
