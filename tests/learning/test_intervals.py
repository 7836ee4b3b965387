from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from progrec.learning import intervals

Floats = npt.NDArray[np.float64]

samples = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.integers(1, 3)),
    elements=st.floats(0, 1, allow_subnormal=False),
)


def naive_means(values: list[float], seed: int) -> list[float]:
    """The same draws, one resample at a time."""
    random = np.random.default_rng(seed)
    return [
        math.fsum(values[place] for place in random.integers(len(values), size=len(values)))
        / len(values)
        for _ in range(intervals.RESAMPLES)
    ]


def naive_quantile(values: list[float], share: float) -> float:
    """Between the two nearest of the ordered values, in proportion."""
    place = share * (len(values) - 1)
    below = sorted(values)[math.floor(place)]
    above = sorted(values)[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))


VALUES = [0.0, 0.0, 0.25, 1.0, 0.5, 0.125]
OTHERS = [0.0, 0.5, 0.0, 0.75, 0.25, 0.0]


def column(values: list[float]) -> Floats:
    return np.array(values)[:, None]


def test_the_interval_agrees_with_one_drawn_by_hand() -> None:
    means = naive_means(VALUES, 3)

    found = intervals.interval(column(VALUES), 3)

    assert found.mean[0] == pytest.approx(sum(VALUES) / 6)
    assert found.low[0] == pytest.approx(naive_quantile(means, 0.025))
    assert found.high[0] == pytest.approx(naive_quantile(means, 0.975))


def test_the_difference_agrees_with_one_drawn_by_hand() -> None:
    differences = [one - other for one, other in zip(VALUES, OTHERS, strict=True)]
    mean, means = sum(differences) / 6, naive_means(differences, 3)
    as_far = [abs(drawn - mean) >= abs(mean) for drawn in means]

    found = intervals.difference(column(VALUES), column(OTHERS), 3)

    assert found.mean[0] == pytest.approx(mean)
    assert found.low[0] == pytest.approx(naive_quantile(means, 0.025))
    assert found.high[0] == pytest.approx(naive_quantile(means, 0.975))
    # A resample exactly as far as the sample may be rounded to either side.
    assert found.p[0] == pytest.approx((1 + sum(as_far)) / (1 + intervals.RESAMPLES), abs=2e-3)


def test_a_large_sample_has_the_normal_interval() -> None:
    values = np.random.default_rng(0).random((4_000, 1))
    error = values.std() / math.sqrt(4_000)

    found = intervals.interval(values, 0)

    assert found.low[0] == pytest.approx(values.mean() - 1.96 * error, abs=error / 5)
    assert found.high[0] == pytest.approx(values.mean() + 1.96 * error, abs=error / 5)


def test_p_is_that_of_the_normal_test_in_a_large_sample() -> None:
    differences = np.random.default_rng(0).normal(size=(4_000, 1))
    differences += 1.5 / math.sqrt(4_000) - differences.mean()  # 1.5 standard errors: p = 0.134

    found = intervals.difference(differences, np.zeros_like(differences), 0)

    assert found.p[0] == pytest.approx(0.134, abs=0.025)


def test_95_of_100_intervals_hold_the_mean() -> None:
    random = np.random.default_rng(0)

    found = intervals.interval(random.random((200, 400)), 0)

    assert np.mean((found.low <= 0.5) & (found.high >= 0.5)) == pytest.approx(0.95, abs=0.03)


@given(samples, st.integers(0, 9))
@settings(max_examples=30)
def test_an_interval_lies_within_the_values(values: Floats, seed: int) -> None:
    found = intervals.interval(values, seed)

    assert found.mean.shape == found.low.shape == found.high.shape == (values.shape[1],)
    assert np.all(found.low <= found.high)
    assert np.all(found.low >= values.min(axis=0) - 1e-12)
    assert np.all(found.high <= values.max(axis=0) + 1e-12)
    assert np.all(np.isfinite(found))


@given(samples, st.integers(0, 9))
@settings(max_examples=30)
def test_the_other_way_round_the_difference_is_the_opposite(values: Floats, seed: int) -> None:
    others = values[::-1]

    one = intervals.difference(values, others, seed)
    other = intervals.difference(others, values, seed)

    np.testing.assert_allclose(one.mean, -other.mean, atol=1e-12)
    np.testing.assert_allclose(one.low, -other.high, atol=1e-12)
    np.testing.assert_allclose(one.p, other.p)
    assert np.all((one.p > 0) & (one.p <= 1))


def test_no_difference_is_no_evidence() -> None:
    found = intervals.difference(column(VALUES), column(VALUES), 0)

    assert found == (0, 0, 0, 1)


def test_a_difference_that_all_users_share_is_certain() -> None:
    found = intervals.difference(column(VALUES) + 1, column(VALUES), 0)

    assert (found.mean, found.low, found.high) == (1, 1, 1)
    assert found.p == 1 / (1 + intervals.RESAMPLES)


def test_a_pairing_sees_what_two_intervals_do_not() -> None:
    random = np.random.default_rng(0)
    users = random.random((300, 1))
    ours = users + random.normal(0.01, 0.02, users.shape)

    one, other = intervals.interval(ours, 0), intervals.interval(users, 0)

    assert other.high > one.low
    assert intervals.difference(ours, users, 0).p < 0.001


def test_a_seed_has_one_outcome() -> None:
    values = np.random.default_rng(0).random((50, 2))

    one, same, other = (intervals.interval(values, seed) for seed in (1, 1, 2))

    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_column_is_drawn_as_it_would_be_alone() -> None:
    values = np.random.default_rng(0).random((50, 2))

    both, alone = intervals.interval(values, 1), intervals.interval(values[:, 1:], 1)

    np.testing.assert_allclose(np.array(both)[:, 1:], np.array(alone))


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((50, 2))
    whole = intervals.interval(values, 1)

    monkeypatch.setattr(intervals, "CHUNK", 350)

    np.testing.assert_allclose(np.array(intervals.interval(values, 1)), np.array(whole))


def test_nobody_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no user"):
        intervals.interval(np.zeros((0, 2)), 0)
    with pytest.raises(ValueError, match="no user"):
        intervals.difference(np.zeros((0, 2)), np.zeros((0, 2)), 0)


def test_a_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        intervals.interval(column([0.5, math.nan]), 0)


def test_other_users_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        intervals.difference(column(VALUES), column(OTHERS[:3]), 0)
