from __future__ import annotations

import numpy as np
import pytest

from progrec.figures import exposure


def test_shares_are_cumulated_from_the_best_seller_on() -> None:
    purchases = np.array([1, 6, 3, 0])
    shown = {"ncf": np.array([4, 2, 2, 2]), "popularity": np.array([0, 5, 5, 0])}

    (axes,) = exposure.concentration(purchases, shown, 20).axes

    lines = {line.get_label(): line.get_xydata() for line in axes.lines}
    assert list(lines) == [
        "what was bought",
        "shown by ncf",
        "shown by popularity",
        "all alike",
    ]
    # The best seller is the second product, then the third, the first and the fourth.
    assert lines["what was bought"][:, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert lines["what was bought"][:, 1] == pytest.approx([0, 0.6, 0.9, 1, 1])
    assert lines["shown by ncf"][:, 1] == pytest.approx([0, 0.2, 0.4, 0.8, 1])
    assert lines["shown by popularity"][:, 1] == pytest.approx([0, 0.5, 1, 1, 1])


def test_where_nothing_was_bought_the_line_stays_at_nothing() -> None:
    (axes,) = exposure.concentration(np.zeros(2), {"ncf": np.array([1, 1])}, 1).axes

    assert axes.lines[0].get_ydata().tolist() == [0, 0, 0]
