import time
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import spearmanr

from dataset_builders.core.errors import DataError, ShapeError, UsageError
from harness.scoring.intervals import (
    BootstrapSettings,
    Draws,
    MoleculeSums,
    compare_models,
    draw_molecules,
    percentile_interval,
    quotient_interval,
    ratio_interval,
    ratio_samples,
    spearman_interval,
    spearman_samples,
    sum_by_molecule,
)
from harness.scoring.metric_terms import Ratio, centre_energies, force_mae_terms, force_rmse_terms
from harness.scoring.metrics import centred_energy_spearman

SETTINGS = BootstrapSettings(n_resamples=200)


def slow_samples(draws: Draws, statistic: Callable[[list[int]], float]) -> list[float]:
    """Writes every resample out as a list of molecules and measures it from scratch."""
    return [
        statistic([molecule for molecule, copies in enumerate(row) for _ in range(int(copies))]) for row in draws.counts
    ]


def sums_of(numerator: list[float], weight: list[float]) -> MoleculeSums:
    return MoleculeSums(np.array(numerator), np.array(weight), "no data")


@pytest.mark.parametrize(("terms", "power"), [(force_mae_terms, 1), (force_rmse_terms, 2)])
def test_ratio_agrees_with_resampled_frames(terms: Callable[..., Ratio], power: int) -> None:
    rng = np.random.default_rng(3)
    owner = rng.integers(0, 6, 40)
    owner[:6] = np.arange(6)
    reference, predicted = rng.normal(size=(2, 40, 3))
    draws = draw_molecules(6, SETTINGS)

    def statistic(molecules: list[int]) -> float:
        rows = np.concatenate([np.flatnonzero(owner == molecule) for molecule in molecules])
        return float(np.mean(np.abs(predicted[rows] - reference[rows]) ** power) ** (1.0 / power))

    expected = slow_samples(draws, statistic)
    sums = sum_by_molecule(terms(predicted, reference), owner, 6)
    np.testing.assert_allclose(ratio_samples(sums, draws), expected, rtol=1e-12)
    found = ratio_interval(sums, draws)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(expected, [2.5, 97.5])))
    assert found.value == pytest.approx(statistic(list(range(6))))
    assert found.reason is None


def test_spearman_agrees_with_resampled_frames() -> None:
    rng = np.random.default_rng(4)
    owner = np.sort(rng.integers(0, 5, 30))
    reference = rng.integers(0, 6, 30).astype(float)
    predicted = reference + rng.integers(0, 4, 30).astype(float)
    centred = centre_energies(predicted, reference, owner)
    draws = draw_molecules(5, SETTINGS)

    def statistic(molecules: list[int]) -> float:
        rows = np.concatenate([np.flatnonzero(owner == molecule) for molecule in molecules])
        return float(spearmanr(centred.predicted[rows], centred.reference[rows]).statistic)

    np.testing.assert_allclose(spearman_samples(centred, owner, draws), slow_samples(draws, statistic), atol=1e-12)
    found = spearman_interval(centred, owner, draws)
    assert found.value == pytest.approx(centred_energy_spearman(predicted, reference, owner))


def test_spearman_in_pieces_is_spearman_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    owner = np.repeat(np.arange(4), 5)
    centred = centre_energies(rng.normal(size=20), rng.normal(size=20), owner)
    draws = draw_molecules(4, SETTINGS)
    monkeypatch.setattr("harness.scoring.intervals._MOMENTS_OF_MOLECULES", 0)
    at_once = spearman_samples(centred, owner, draws)
    monkeypatch.setattr("harness.scoring.intervals._CELLS_AT_ONCE", 60)
    np.testing.assert_array_equal(spearman_samples(centred, owner, draws), at_once)


def test_spearman_of_moments_is_that_of_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    owner = rng.integers(0, 6, 60)
    reference = rng.integers(0, 9, 60).astype(float)  # with ties
    centred = centre_energies(reference + rng.integers(0, 4, 60), reference, owner)
    draws = draw_molecules(6, SETTINGS)
    of_moments = spearman_samples(centred, owner, draws)
    monkeypatch.setattr("harness.scoring.intervals._MOMENTS_OF_MOLECULES", 0)
    np.testing.assert_allclose(of_moments, spearman_samples(centred, owner, draws), rtol=0, atol=1e-12)


def test_spearman_of_moments_is_undefined_where_a_side_is_constant() -> None:
    # Molecule 0 has one predicted energy for all its frames: a resample of nothing else has no order.
    predicted, reference = np.array([1.0, 1.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0, 1.0, 5.0])
    centred = centre_energies(predicted, reference, np.array([0, 0, 0, 1, 1]))
    found = spearman_samples(centred, np.array([0, 0, 0, 1, 1]), Draws(np.array([[2.0, 0.0], [1.0, 1.0]]), 0.95))
    assert np.isnan(found).tolist() == [True, False]


def test_spearman_is_fast() -> None:
    rng = np.random.default_rng(6)
    owner = np.repeat(np.arange(40), 10)
    centred = centre_energies(rng.normal(size=400), rng.normal(size=400), owner)
    draws = draw_molecules(40, BootstrapSettings(n_resamples=1000))
    begin = time.process_time()
    spearman_samples(centred, owner, draws)
    assert time.process_time() - begin < 2.0


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    settings = BootstrapSettings(n_resamples=400)
    draws = draw_molecules(40, settings)
    hits = 0
    for _ in range(300):
        # Frames share their molecule's error: an interval over frames would cover far less often.
        errors = rng.gamma(4.0, 0.25, 40)
        found = ratio_interval(MoleculeSums(10.0 * errors, np.full(40, 10.0), ""), draws)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1.0 <= found.high
    assert 0.88 <= hits / 300 <= 0.99


def test_draws_are_reproducible_and_streams_differ() -> None:
    first, again = draw_molecules(8, SETTINGS), draw_molecules(8, SETTINGS)
    np.testing.assert_array_equal(first.counts, again.counts)
    assert (first.counts.sum(axis=1) == 8).all()
    assert not np.array_equal(first.counts, draw_molecules(8, SETTINGS, stream=1).counts)
    assert not np.array_equal(first.counts, draw_molecules(8, BootstrapSettings(n_resamples=200, seed=1)).counts)


def test_one_molecule_has_no_interval() -> None:
    found = ratio_interval(sums_of([2.0], [4.0]), draw_molecules(1, SETTINGS))
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert found.reason is not None
    assert "one molecule" in found.reason


def test_no_molecule_has_no_value() -> None:
    found = ratio_interval(sums_of([], []), draw_molecules(0, SETTINGS))
    assert (found.value, found.reason) == (None, "no data")


def test_number_undefined_in_some_resamples_has_no_interval() -> None:
    found = ratio_interval(sums_of([1.0, 0.0], [2.0, 0.0]), draw_molecules(2, SETTINGS))
    assert (found.value, found.low) == (0.5, None)
    assert found.reason is not None
    assert "of 200 resamples" in found.reason


def test_confidence_sets_the_width() -> None:
    samples = np.linspace(0.0, 1.0, 101)
    found = percentile_interval(0.5, samples, Draws(np.ones((101, 2)), 0.5))
    assert (found.low, found.high) == pytest.approx((0.25, 0.75))


def test_gap_resamples_both_sides_independently() -> None:
    rng = np.random.default_rng(8)
    ood, known = (sums_of(list(rng.uniform(1.0, 2.0, 10)), [1.0] * 10) for _ in range(2))
    many = BootstrapSettings(n_resamples=4000)
    ood_draws, id_draws = draw_molecules(10, many, 1), draw_molecules(10, many, 0)
    expected = ratio_samples(ood, ood_draws) / ratio_samples(known, id_draws)
    found = quotient_interval((ood, ood_draws), (known, id_draws))
    assert found.value == pytest.approx(ood.numerator.sum() / known.numerator.sum())
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(expected, [2.5, 97.5])))
    correlation = np.corrcoef(ood_draws.counts @ ood.numerator, id_draws.counts @ ood.numerator)[0, 1]
    assert abs(correlation) < 0.1


def test_gap_over_nothing_is_undefined() -> None:
    draws = draw_molecules(2, SETTINGS)
    some, zero = sums_of([1.0, 1.0], [1.0, 1.0]), sums_of([0.0, 0.0], [1.0, 1.0])
    found = quotient_interval((some, draws), (zero, draws))
    assert (found.value, found.reason) == (None, "the error to divide by is zero")
    empty = (sums_of([], []), draw_molecules(0, SETTINGS))
    assert quotient_interval(empty, (some, draws)).reason == "no data"
    assert quotient_interval((some, draws), empty).reason == "no data"


def test_gap_needs_two_molecules_on_both_sides() -> None:
    two = (sums_of([1.0, 3.0], [1.0, 1.0]), draw_molecules(2, SETTINGS))
    one = (sums_of([1.0], [1.0]), draw_molecules(1, SETTINGS))
    for found in (quotient_interval(two, one), quotient_interval(one, two)):
        assert found.low is None
        assert found.reason is not None
        assert "one molecule" in found.reason


def test_paired_comparison_cancels_what_is_hard_for_both() -> None:
    hardness = np.random.default_rng(9).uniform(0.1, 10.0, 20)
    weight = np.full(20, 30.0)
    first, second = (MoleculeSums(factor * hardness * weight, weight, "") for factor in (0.9, 1.0))
    found = compare_models(first, second, draw_molecules(20, SETTINGS))
    assert found.difference.value == pytest.approx(-0.1 * hardness.mean())
    assert found.difference.high is not None
    assert found.difference.high < 0.0
    assert (found.ratio.low, found.ratio.high) == pytest.approx((0.9, 0.9))


def test_comparison_needs_the_same_frames() -> None:
    draws = draw_molecules(2, SETTINGS)
    with pytest.raises(DataError, match="not measured on the same frames"):
        compare_models(sums_of([1.0, 1.0], [3.0, 3.0]), sums_of([1.0, 1.0], [3.0, 6.0]), draws)


def test_terms_and_molecules_must_match() -> None:
    with pytest.raises(ShapeError, match=r"shape \(2,\); expected \(3,\)"):
        sum_by_molecule(Ratio(np.ones(3), np.ones(3), ""), np.array([0, 1]), 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [((0, 0.95, 0), "0 bootstrap resamples"), ((10, 1.0, 0), "confidence 1.0"), ((10, 0.95, -1), "seed -1")],
)
def test_impossible_settings_are_refused(values: tuple[int, float, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BootstrapSettings(*values)
