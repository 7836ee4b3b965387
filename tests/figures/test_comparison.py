from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from progrec.figures import comparison, style

MODELS = {
    "ncf": {"mean": 0.25, "low": 0.2, "high": 0.3},
    "popularity": {"mean": 0.05, "low": 0.04, "high": 0.07},
    "ease": {"mean": 0.18, "low": 0.16, "high": 0.19},
}


def intervals(axes: Axes) -> list[tuple[list[float], list[list[float]], str]]:
    """Of each error bar: where its mean is, its two ends and its colour."""
    found = []
    for line, _, (bars,) in axes.containers:
        (ends,) = bars.get_segments()
        found.append((line.get_xydata()[0].tolist(), np.round(ends, 9).tolist(), line.get_color()))
    return found


def test_the_best_model_is_on_top_and_each_has_its_interval() -> None:
    (axes,) = comparison.ranking(MODELS, "ncf", "ndcg@20", 620).axes

    assert [label.get_text() for label in axes.get_yticklabels()] == ["popularity", "ease", "ncf"]
    assert intervals(axes) == [
        ([0.05, 0], [[0.04, 0], [0.07, 0]], style.OTHERS),
        ([0.18, 1], [[0.16, 1], [0.19, 1]], style.OTHERS),
        ([0.25, 2], [[0.2, 2], [0.3, 2]], style.OURS),
    ]
    assert [text.get_text() for text in axes.texts] == ["0.050", "0.180", "0.250"]
    assert axes.get_xlim() == pytest.approx((0, 0.336))
    assert axes.get_xlabel() == "NDCG@20, mean and 95 % interval"
    assert "620 shoppers" in axes.figure.get_suptitle()


def test_groups_of_histories_stand_side_by_side() -> None:
    groups = {
        "ncf": {
            "0": {"users": 85, "ndcg@20": {"mean": 0.3, "low": 0.2, "high": 0.4}},
            "20+": {"users": 1200, "ndcg@20": {"mean": 0.15, "low": 0.1, "high": 0.2}},
        },
        "ease": {
            "0": {"users": 85, "ndcg@20": {"mean": 0.2, "low": 0.1, "high": 0.25}},
            "20+": {"users": 1200, "ndcg@20": {"mean": 0.1, "low": 0.05, "high": 0.2}},
        },
    }

    (axes,) = comparison.by_history(groups, "ndcg@20").axes

    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "0\n85 shoppers",
        "20+\n1,200 shoppers",
    ]
    found = intervals(axes)
    assert [mean for mean, _, _ in found] == [[-0.08, 0.3], [0.92, 0.15], [0.08, 0.2], [1.08, 0.1]]
    assert found[0][1] == [[-0.08, 0.2], [-0.08, 0.4]]
    assert [colour for _, _, colour in found] == [style.OURS] * 2 + [style.RIVAL] * 2
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["ncf", "ease"]
    assert axes.get_ylim()[0] == 0


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_an_interval_without_width_is_a_point(value: float) -> None:
    alike = {"mean": value, "low": value + 1e-17, "high": value * (1 - 1e-16)}

    (axes,) = comparison.ranking({"ncf": alike}, "ncf", "ndcg@20", 1).axes

    ((mean, ends, _),) = intervals(axes)
    assert mean == [value, 0]
    assert ends == [[value, 0], [value, 0]]
