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
    """A step: at lag t, 100 - 2t pairs agree and t do not, so C(t) = (100 - 3t) / (100 - t), positive up to t = 33."""
    values = np.repeat([1.0, -1.0], 50)
    # The factor 1 - t/100 cancels the denominator: 1 + 2 (33 - 3 * 33 * 34 / 200).
    assert statistical_inefficiency(values) == pytest.approx(33.34)


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
