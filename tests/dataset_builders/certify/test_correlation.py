"""The statistical inefficiency against processes whose value is known."""

import numpy as np
import pytest

from dataset_builders.certify.correlation import (
    LEAST_FRAMES,
    TimeCorrelation,
    correlation_notes,
    correlation_rows,
    statistical_inefficiency,
)


def autoregressive(coefficient, n_values, seed=0):
    """A process whose autocorrelation at lag t is coefficient**t, so its inefficiency is (1 + c) / (1 - c)."""
    random = np.random.default_rng(seed)
    values = [random.normal()]
    for noise in random.normal(size=n_values - 1):
        values.append(coefficient * values[-1] + np.sqrt(1.0 - coefficient**2) * noise)
    return np.array(values)


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 0.9])
def test_of_autoregressive_processes(coefficient):
    found = [statistical_inefficiency(autoregressive(coefficient, 4000, seed)) for seed in range(20)]
    assert np.mean(found) == pytest.approx((1.0 + coefficient) / (1.0 - coefficient), rel=0.1)


def test_by_hand():
    # Mean 0, variance 1: C(1) = 1/3 (two of three pairs of a run agree), and so on; a square wave of period 4.
    values = np.tile([1.0, 1.0, -1.0, -1.0], 25)
    lag_1, lag_2, lag_3 = 1.0 / 99.0, -1.0, -1.0 / 97.0
    lag_4 = 1.0
    by_hand = 1.0 + 2.0 * (0.99 * lag_1 + 0.98 * lag_2 + 0.97 * lag_3 + 0.96 * lag_4)
    assert statistical_inefficiency(values) == pytest.approx(max(1.0, by_hand + tail(values)))


def tail(values):
    """The terms from lag 5 up to the first that is not positive."""
    total = 0.0
    for lag in range(5, len(values)):
        pairs = [float(values[index] * values[index + lag]) for index in range(len(values) - lag)]
        if sum(pairs) <= 0.0:
            break
        total += 2.0 * (1.0 - lag / len(values)) * sum(pairs) / len(pairs)
    return total


def test_too_few_or_equal_values_have_none():
    assert statistical_inefficiency(np.arange(LEAST_FRAMES - 1.0)) is None
    assert statistical_inefficiency(np.ones(LEAST_FRAMES)) is None


def test_rows_and_notes():
    found = [
        TimeCorrelation("task2-pbe", "primary", (2000, 1000), (10.0, 20.0), None),
        TimeCorrelation("task2-pbe", "secondary", (), (), 100),
    ]
    assert correlation_rows(found) == [
        ("task2-pbe", "primary", "2", "1,500", "15.0", "125", "50"),
        ("task2-pbe", "secondary", "0", "-", "-", "-", "-"),
    ]
    assert "the first 100 secondary frames" in correlation_notes(found)[-1]
    assert correlation_notes([]) == []
