from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from progrec.figures import reliability

BINS = pd.DataFrame({"pairs": [100, 100], "predicted": [0.02, 0.5], "observed": [0.0, 0.5]})


def test_each_bin_is_a_point_with_its_interval() -> None:
    (axes,) = reliability.diagram(BINS, 0.0125).axes

    ((points, _, (bars,)),) = axes.containers
    assert points.get_xydata().tolist() == [[0.02, 0.0], [0.5, 0.5]]
    # Wilson's interval of 0 in 100 is 0 to z²/(n + z²), of 50 in 100 it is symmetric.
    (none, half) = (ends[:, 1] for ends in bars.get_segments())
    assert none == pytest.approx([0, 1.96**2 / (100 + 1.96**2)])
    assert half == pytest.approx([0.4038, 0.5962], abs=1e-4)
    assert "expected calibration error 1.2 %" in axes.get_xlabel()


def test_what_came_true_as_foretold_lies_on_the_diagonal() -> None:
    (axes,) = reliability.diagram(BINS, 0).axes

    x, y = np.asarray(axes.lines[0].get_xydata()).T
    assert x.tolist() == y.tolist()
    assert axes.get_xlim() == axes.get_ylim() == pytest.approx((0, 1.05 * 0.59617), abs=1e-4)
