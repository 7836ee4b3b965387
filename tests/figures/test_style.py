from __future__ import annotations

import subprocess
import sys

import pytest

from progrec.figures import style


def test_a_figure_is_800_pixels_wide_and_titled() -> None:
    figure, axes = style.figure("What there is", n=3)

    assert len(axes) == 3
    assert figure.get_size_inches()[0] * figure.dpi == 800
    assert figure.get_suptitle() == "What there is"


def test_a_dressed_panel_names_its_axes() -> None:
    _, (axes,) = style.figure("What there is")

    style.dress(axes, x="time, days", y="NDCG@20", title="Towers")

    assert axes.get_xlabel() == "time, days"
    assert axes.get_ylabel() == "NDCG@20"
    assert axes.get_title(loc="left") == "Towers"


@pytest.mark.parametrize(
    ("metric", "name"),
    [("ndcg@20", "NDCG@20"), ("mrr", "MRR"), ("hr@10", "HR@10"), ("recall@5", "Recall@5")],
)
def test_a_metric_is_named_as_people_do(metric: str, name: str) -> None:
    assert style.spoken(metric) == name


def test_naming_the_figures_imports_no_matplotlib_and_drawing_one_no_pyplot() -> None:
    modules = "curves, comparison, days, exposure, reliability, shop, style"
    code = f"""
import sys
from progrec.figures import {modules}
assert "matplotlib" not in sys.modules
style.figure("x")
assert "matplotlib.pyplot" not in sys.modules
"""

    subprocess.run([sys.executable, "-c", code], check=True)
