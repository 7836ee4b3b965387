from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from progrec.learning import calibration


def drawn(slope: float, intercept: float, n: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and outcomes with sigmoid(slope logit + intercept) for their probability."""
    generator = np.random.default_rng(1)
    logits = generator.normal(size=n).astype(np.float32) * 2
    return logits, generator.random(n) < 1 / (1 + np.exp(-(slope * logits + intercept)))


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0.5, -3), (3, 2), (-1, 1), (0, -2)])
def test_slope_and_intercept_of_known_odds_are_found(slope: float, intercept: float) -> None:
    found = calibration.platt(*drawn(slope, intercept))

    assert found == pytest.approx((slope, intercept), abs=0.1)


def test_what_is_found_makes_the_probabilities_come_true() -> None:
    logits, outcomes = drawn(0.5, -3)
    slope, intercept = calibration.platt(logits, outcomes)

    probabilities = 1 / (1 + np.exp(-(slope * logits + intercept)))
    bins = calibration.reliability(probabilities, outcomes, 10)

    # The smoothing moves the mean by less than a pair.
    assert probabilities.sum() == pytest.approx(outcomes.sum(), abs=1)
    assert calibration.expected_calibration_error(bins) < 0.01
    raw = calibration.reliability(1 / (1 + np.exp(-logits)), outcomes, 10)
    assert calibration.expected_calibration_error(raw) > 0.3


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.floats(-30, 30), st.booleans()), min_size=1, max_size=30),
    st.sampled_from([1e-3, 1.0, 100.0]),
)
def test_platt_is_finite_whatever_the_outcomes(
    pairs: list[tuple[float, bool]], magnitude: float
) -> None:
    logits = np.array([logit for logit, _ in pairs]) * magnitude

    assert np.isfinite(calibration.platt(logits, np.array([true for _, true in pairs]))).all()


@pytest.mark.parametrize(("outcome", "odds"), [(False, 1 / 11), (True, 11)])
def test_one_outcome_only_has_odds_that_no_logit_changes(outcome: bool, odds: float) -> None:
    logits = np.linspace(-5, 3, 10)

    slope, intercept = calibration.platt(logits, np.full(10, outcome))

    assert (slope, intercept) == pytest.approx((0, np.log(odds)), abs=1e-6)


def test_one_logit_only_has_the_odds_of_the_smoothed_outcomes() -> None:
    slope, intercept = calibration.platt(np.full(4, 2.0), np.array([True, False, False, False]))

    mean = (2 / 3 + 3 * 1 / 5) / 4
    assert 2 * slope + intercept == pytest.approx(np.log(mean / (1 - mean)))


def test_hand_worked_reliability_and_its_error() -> None:
    probabilities = np.array([0.9, 0.1, 0.5, 0.3, 0.7])
    outcomes = np.array([True, False, True, False, False])

    bins = calibration.reliability(probabilities, outcomes, 2)

    # The lowest three are 0.1, 0.3 and 0.5, of which the last came true.
    expected = pd.DataFrame({"pairs": [3, 2], "predicted": [0.3, 0.8], "observed": [1 / 3, 0.5]})
    pd.testing.assert_frame_equal(bins, expected)
    error = calibration.expected_calibration_error(bins)
    assert error == pytest.approx((3 * (1 / 3 - 0.3) + 2 * 0.3) / 5)


def test_fewer_pairs_than_bins_have_a_bin_each() -> None:
    bins = calibration.reliability(np.array([0.6, 0.2]), np.array([True, False]), 10)

    assert bins.to_numpy().tolist() == [[1, 0.2, 0], [1, 0.6, 1]]


def test_if_nothing_comes_true_the_error_is_the_mean_probability() -> None:
    probabilities = np.random.default_rng(0).random(101)

    bins = calibration.reliability(probabilities, np.zeros(101, bool), 7)

    assert bins["pairs"].sum() == 101
    assert bins["pairs"].max() - bins["pairs"].min() <= 1
    assert not bins["observed"].any()
    assert calibration.expected_calibration_error(bins) == pytest.approx(probabilities.mean())


def test_certainty_that_comes_true_has_no_error() -> None:
    outcomes = np.array([True, False, True])

    bins = calibration.reliability(outcomes.astype(float), outcomes, 3)

    assert calibration.expected_calibration_error(bins) == 0


def test_nothing_foretold_makes_no_bin() -> None:
    assert len(calibration.reliability(np.array([]), np.array([], bool), 5)) == 0
