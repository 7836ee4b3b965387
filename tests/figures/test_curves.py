from __future__ import annotations

from progrec.figures import curves

TOWERS = [
    {"epoch": 0, "ndcg@3": 0.25},
    {"epoch": 1, "loss": 0.5, "ndcg@3": 0.5},
    {"epoch": 2, "loss": 0.25, "ndcg@3": 0.375},
]
FUSION = [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0}, {"epoch": 3, "loss": 2.5}]


def test_each_curve_has_a_panel_with_its_epochs() -> None:
    metric, loss, fusion = curves.training(TOWERS, FUSION, "ndcg@3").axes

    assert metric.lines[0].get_xydata().tolist() == [[0, 0.25], [1, 0.5], [2, 0.375]]
    assert loss.lines[0].get_xydata().tolist() == [[1, 0.5], [2, 0.25]]
    assert fusion.lines[0].get_xydata().tolist() == [[1, 3.0], [2, 2.0], [3, 2.5]]
    assert [axes.get_xlabel() for axes in (metric, loss, fusion)] == ["epoch"] * 3
    assert metric.get_ylabel() == "NDCG@3, end of history"


def test_the_epoch_that_decided_is_marked() -> None:
    metric, loss, fusion = curves.training(TOWERS, FUSION, "ndcg@3").axes

    assert metric.lines[1].get_xydata().tolist() == [[1, 0.5]]
    assert fusion.lines[1].get_xydata().tolist() == [[2, 2.0]]
    # The training loss decides nothing.
    assert len(loss.lines) == 1


def test_what_was_not_measured_has_no_panel() -> None:
    lonely = [{"epoch": 1, "loss": 0.5}]

    (only,) = curves.training(lonely, [], "ndcg@3").axes

    assert only.get_title(loc="left") == "Towers: training loss"


def test_without_any_epoch_the_figure_is_empty() -> None:
    (axes,) = curves.training([], [], "ndcg@3").axes

    assert len(axes.lines) == 0
