from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import large_shop, scoring, serving, update
from benchmarks.serving import Shop


@pytest.fixture(scope="module")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a small shop."""
    training, _ = update.settings()
    path = tmp_path_factory.mktemp("large") / "bundle"
    large_shop.bundle_of(40, 300, training, seed=0).save(path)
    return path


def test_the_speedup_is_measured_where_the_best_are_the_same(bundle_folder: Path) -> None:
    assert scoring.speedup(bundle_folder) > 0


def test_other_best_items_are_an_error(
    bundle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = scoring.plain

    def reversed_plain(*args: object) -> np.ndarray:
        return -plain(*args)

    monkeypatch.setattr(scoring, "plain", reversed_plain)

    with pytest.raises(RuntimeError, match="user 0"):
        scoring.speedup(bundle_folder)


def test_the_best_are_in_order_and_equal_ones_by_row() -> None:
    assert scoring.best(np.array([0.1, 0.5, 0.2, 0.5])) == [1, 3, 2, 0]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_all_figures_of_a_small_shop_are_measured(tmp_path: Path) -> None:
    shop = Shop(tmp_path, users=60, products=200, shoppers=50)
    serving.make(shop)

    report = serving.throughput(shop, 4) | serving.latency(shop, 4)

    assert all(value > 0 for value in report.values())
    assert set(report) == {
        "recommend_ratio_to_empty",
        "empty_ratio_to_fastapi",
        "events_per_s",
        "rss_mb",
        "p50_ms",
        "p99_ms",
    }
