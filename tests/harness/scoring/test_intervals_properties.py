"""Intervals of random errors: what must hold for any of them, and the formula of the textbook where there is one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from harness.scoring.clusters import Clusters
from harness.scoring.influences import MoleculeSums
from harness.scoring.intervals import IntervalSettings, compare_models, quotient_interval, ratio_interval

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(8, 20)


def sums(seed: int, n: int, weight: float | None = None) -> MoleculeSums:
    """Errors of molecules of different size."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(3, 90, n).astype(float) if weight is None else np.full(n, weight)
    return MoleculeSums(weights * rng.lognormal(-3.0, 0.6, n), weights, "nothing")


def alone(n: int, part: str = "test_ood") -> Clusters:
    """Each molecule drawn by itself."""
    return Clusters(part, "molecule", tuple((f"m{place}",) for place in range(n)))


def shared(seed: int, n: int, part: str = "test_ood") -> Clusters:
    """Molecules that share seven fragments."""
    drawn = np.random.default_rng(seed).integers(0, 7, n - 7)
    return Clusters(part, "fragment", tuple((f"F{name}",) for name in [*range(7), *drawn]))


@given(SEEDS, SIZES, st.floats(1e-6, 1e6))
def test_an_interval_holds_its_value_and_scales_with_it(seed: int, n: int, factor: float) -> None:
    errors, clusters = sums(seed, n), shared(seed, n)
    found = ratio_interval(errors, clusters)
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert 0.0 < found.low < found.value < found.high
    scaled = ratio_interval(MoleculeSums(factor * errors.numerator, errors.weight, "nothing"), clusters)
    ends = [factor * end for end in (found.low, found.value, found.high)]
    assert [scaled.low, scaled.value, scaled.high] == pytest.approx(ends, rel=1e-9)


@given(SEEDS, SIZES, st.randoms(use_true_random=False))
def test_the_order_of_molecules_does_not_matter(seed: int, n: int, random: object) -> None:
    errors, clusters = sums(seed, n), shared(seed, n)
    order = list(range(n))
    random.shuffle(order)  # type: ignore[attr-defined]
    turned = Clusters(clusters.part, clusters.kind, tuple(clusters.names[place] for place in order))
    first, second = ratio_interval(errors, clusters), ratio_interval(errors.select(np.array(order)), turned)
    assert [second.low, second.value, second.high] == pytest.approx([first.low, first.value, first.high], rel=1e-9)


@given(SEEDS, SIZES)
def test_more_confidence_is_a_wider_interval(seed: int, n: int) -> None:
    errors, clusters = sums(seed, n), shared(seed, n)
    found = [ratio_interval(errors, clusters, settings=IntervalSettings(share)) for share in (0.5, 0.9, 0.95, 0.999)]
    lows, highs = [each.low for each in found], [each.high for each in found]
    assert lows == sorted(lows, reverse=True)
    assert highs == sorted(highs)


@given(SEEDS, SIZES)
def test_a_mean_of_equal_weights_has_the_interval_of_the_textbook(seed: int, n: int) -> None:
    """Student's t of the mean of independent numbers, on the linear scale."""
    errors = sums(seed, n, weight=3.0)
    values = errors.numerator / errors.weight
    reach = t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    found = ratio_interval(errors, alone(n), "linear")
    assert [found.low, found.high] == pytest.approx([values.mean() - reach, values.mean() + reach], rel=1e-9)


@given(SEEDS, SIZES)
def test_a_comparison_turned_around_is_the_inverse(seed: int, n: int) -> None:
    first, clusters = sums(seed, n), shared(seed, n)
    second = MoleculeSums(sums(seed + 1, n).numerator, first.weight, "nothing")
    one, other = compare_models(first, second, clusters), compare_models(second, first, clusters)
    for there, back in ((one.difference.low, other.difference.high), (one.difference.high, other.difference.low)):
        assert there is not None
        assert back is not None
        assert there == pytest.approx(-back, rel=1e-9, abs=1e-15)
    assert one.ratio.low is not None
    assert other.ratio.high is not None
    assert one.ratio.low == pytest.approx(1.0 / other.ratio.high, rel=1e-9)


@given(SEEDS, SIZES)
def test_a_model_compared_with_itself_differs_by_nothing(seed: int, n: int) -> None:
    errors, clusters = sums(seed, n), shared(seed, n)
    found = compare_models(errors, errors, clusters)
    assert (found.difference.value, found.ratio.value) == (0.0, 1.0)
    assert found.ratio.low is None
    assert found.ratio.reason == "no interval: all fragments give the same value"


@given(SEEDS, SIZES)
def test_parts_that_are_equally_hard_have_a_gap_of_one(seed: int, n: int) -> None:
    """The same molecules above and below: fragments are drawn together, so nothing varies."""
    errors = sums(seed, n)
    found = quotient_interval((errors, shared(seed, n, "test_ood")), (errors, shared(seed, n, "test_id")))
    assert found.value == pytest.approx(1.0, rel=1e-12)
    assert found.low is None or found.low <= 1.0 + 1e-12
    assert found.high is None or found.high >= 1.0 - 1e-12
