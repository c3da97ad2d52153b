import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, root_mean_squared_error
from sklearn.metrics.pairwise import paired_cosine_distances

from dataset_builders.core.errors import DataError, ShapeError
from harness.scoring import metrics
from harness.scoring.metric_terms import MIN_FORCE_LENGTH, rank, weighted_spearman

REFERENCE = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]])
PREDICTED = np.array([[4.0, 3.0, 0.0], [0.0, 0.0, -1.0]])


def random_forces(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=(50, 3))
    return reference + rng.normal(0.0, 0.1, (50, 3)), reference


def test_hand_worked_force_errors() -> None:
    # Errors 1, 1, 0, 0, 0, 3 over six components.
    assert metrics.force_mae(PREDICTED, REFERENCE) == pytest.approx(5.0 / 6.0)
    assert metrics.force_rmse(PREDICTED, REFERENCE) == pytest.approx(math.sqrt(11.0 / 6.0))
    # Lengths 5 and 5, 1 and 2; cosines 24/25 and -1.
    assert metrics.force_magnitude_mae(PREDICTED, REFERENCE) == pytest.approx(0.5)
    assert metrics.force_cosine(PREDICTED, REFERENCE) == pytest.approx((0.96 - 1.0) / 2.0)
    assert metrics.zero_force_mae(REFERENCE) == pytest.approx(9.0 / 6.0)
    assert metrics.force_error_fraction(PREDICTED, REFERENCE) == pytest.approx(5.0 / 9.0)


def test_force_metrics_agree_with_scikit_learn() -> None:
    predicted, reference = random_forces(1)
    assert metrics.force_mae(predicted, reference) == pytest.approx(mean_absolute_error(reference, predicted))
    assert metrics.force_rmse(predicted, reference) == pytest.approx(
        root_mean_squared_error(reference.ravel(), predicted.ravel())
    )
    cosine = float(np.mean(1.0 - paired_cosine_distances(predicted, reference)))
    assert metrics.force_cosine(predicted, reference) == pytest.approx(cosine)


def test_float32_forces_are_summed_in_float64() -> None:
    reference = np.full((100_000, 3), 0.1, dtype=np.float32)
    expected = float(np.float64(np.float32(0.1)))
    assert metrics.zero_force_mae(reference) == pytest.approx(expected, rel=1e-12)


def test_cosine_leaves_out_and_counts_short_forces() -> None:
    short = MIN_FORCE_LENGTH / 2.0
    predicted = np.array([[1.0, 0.0, 0.0], [short, 0.0, 0.0], [0.0, 1.0, 0.0]])
    reference = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, -short, 0.0]])
    assert metrics.force_cosine(predicted, reference) == 1.0
    assert metrics.force_cosine_left_out(predicted, reference) == pytest.approx(2.0 / 3.0)


def test_force_of_exactly_the_shortest_length_counts() -> None:
    forces = np.array([[MIN_FORCE_LENGTH, 0.0, 0.0]])
    assert metrics.force_cosine(forces, forces) == 1.0


def test_zero_forces_have_no_cosine_and_an_error_fraction_of_one() -> None:
    assert metrics.force_cosine(np.zeros((2, 3)), REFERENCE) is None
    assert metrics.force_cosine_left_out(np.zeros((2, 3)), REFERENCE) == 1.0
    assert metrics.force_error_fraction(np.zeros((2, 3)), REFERENCE) == 1.0
    assert metrics.force_error_fraction(PREDICTED, np.zeros((2, 3))) is None


def test_wrong_forces_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"predicted forces has shape \(2, 3\); expected \(1, 3\)"):
        metrics.force_mae(PREDICTED, REFERENCE[:1])
    with pytest.raises(ShapeError, match="reference forces has shape"):
        metrics.force_mae(PREDICTED.ravel(), REFERENCE.ravel())
    with pytest.raises(DataError, match=r"predicted forces is nan at index \(1, 2\)"):
        metrics.force_rmse(np.where(PREDICTED == -1.0, np.nan, PREDICTED), REFERENCE)
    with pytest.raises(DataError, match="no data"):
        metrics.force_mae(np.zeros((0, 3)), np.zeros((0, 3)))


def test_hand_worked_energy_errors() -> None:
    reference = np.array([-10.0, -11.0, -20.0, -22.0])
    predicted = np.array([-10.5, -10.5, -19.0, -23.0])
    n_atoms = np.array([5, 5, 10, 10])
    molecule_idx = np.array([0, 0, 1, 1])
    assert metrics.raw_energy_mae(predicted, reference) == pytest.approx(0.75)
    assert metrics.energy_mae_per_atom(predicted, reference, n_atoms) == pytest.approx(0.1)
    # Centred: reference 0.5 -0.5 1 -1, predicted 0 0 2 -2.
    assert metrics.centred_energy_mae(predicted, reference, molecule_idx) == pytest.approx(0.75)
    # Ranks: reference 3 2 4 1, predicted 2.5 2.5 4 1.
    expected = spearmanr([3, 2, 4, 1], [2.5, 2.5, 4, 1]).statistic
    assert metrics.centred_energy_spearman(predicted, reference, molecule_idx) == pytest.approx(expected)


def test_molecule_with_one_frame_has_no_relative_energy() -> None:
    reference, predicted = np.array([0.0, 1.0, 5.0]), np.array([0.0, 3.0, 50.0])
    molecule_idx = np.array([0, 0, 1])
    assert metrics.centred_energy_mae(predicted, reference, molecule_idx) == pytest.approx(1.0)
    assert metrics.centred_energy_mae(predicted, reference, np.array([0, 1, 2])) is None
    assert metrics.centred_energy_spearman(predicted, reference, np.array([0, 1, 2])) is None


@pytest.mark.parametrize("constant", [0.0, 0.1, -4321.123456789])
def test_constant_energies_have_no_rank_correlation(constant: float) -> None:
    reference = np.random.default_rng(0).normal(size=21)
    molecule_idx = np.repeat(np.arange(3), 7)
    predicted = np.full(21, constant) + 0.7 * molecule_idx
    assert metrics.centred_energy_spearman(predicted, reference, molecule_idx) is None
    assert metrics.centred_energy_spearman(reference, predicted, molecule_idx) is None


def test_wrong_energies_are_refused() -> None:
    energies = np.array([1.0, 2.0])
    with pytest.raises(DataError, match="n_atoms is 0"):
        metrics.energy_mae_per_atom(energies, energies, np.array([1, 0]))
    assert metrics.energy_mae_per_atom(energies, energies + 1.0, np.array([1, 1])) == pytest.approx(1.0)
    with pytest.raises(DataError, match="molecule_idx is of type float64"):
        metrics.centred_energy_mae(energies, energies, np.array([0.0, 1.0]))
    with pytest.raises(DataError, match="minimum -1"):
        metrics.centred_energy_mae(energies, energies, np.array([0, -1]))
    with pytest.raises(DataError, match=r"reference energies is inf at index \(0,\)"):
        metrics.raw_energy_mae(energies, np.array([np.inf, 0.0]))


energy_lists = hnp.arrays(np.float64, 12, elements=st.integers(-50, 50).map(float))


@settings(deadline=None)
@given(predicted=energy_lists, reference=energy_lists, order=st.permutations(range(12)))
def test_order_of_frames_does_not_matter(predicted: np.ndarray, reference: np.ndarray, order: list[int]) -> None:
    molecule_idx = np.repeat(np.arange(3), 4)
    for metric in (metrics.centred_energy_mae, metrics.centred_energy_spearman):
        before = metric(predicted, reference, molecule_idx)
        after = metric(predicted[order], reference[order], molecule_idx[order])
        assert after == (None if before is None else pytest.approx(before))


@settings(deadline=None)
@given(
    predicted=energy_lists, reference=energy_lists, shifts=st.lists(st.integers(-5000, 5000), min_size=3, max_size=3)
)
def test_constants_per_molecule_do_not_matter(predicted: np.ndarray, reference: np.ndarray, shifts: list[int]) -> None:
    molecule_idx = np.repeat(np.arange(3), 4)
    shifted = predicted + np.array(shifts, dtype=np.float64)[molecule_idx]
    for metric in (metrics.centred_energy_mae, metrics.centred_energy_spearman):
        assert metric(shifted, reference, molecule_idx) == metric(predicted, reference, molecule_idx)


@settings(deadline=None)
@given(first=energy_lists, second=energy_lists, copies=hnp.arrays(np.int64, 12, elements=st.integers(0, 4)))
def test_weighted_spearman_is_that_of_the_copies(first: np.ndarray, second: np.ndarray, copies: np.ndarray) -> None:
    x, y = np.repeat(first, copies), np.repeat(second, copies)
    found = weighted_spearman(rank(first), rank(second), copies[np.newaxis].astype(np.float64))[0]
    if len(x) < 2 or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_spearman_is_exact_for_order_kept_and_reversed() -> None:
    energy = np.random.default_rng(0).normal(size=30)
    molecule_idx = np.repeat([0, 1], 15)
    assert metrics.centred_energy_spearman(energy, energy, molecule_idx) == 1.0
    assert metrics.centred_energy_spearman(-energy, energy, molecule_idx) == -1.0


def test_hand_worked_scores() -> None:
    # From 1 eV/Å down to 1 meV/Å are three decades.
    assert metrics.task_score(0.1, 1.0) == pytest.approx(100.0 / 3.0)
    assert metrics.task_score(0.01, 1.0) == pytest.approx(200.0 / 3.0)
    assert metrics.task_score(0.061, 0.61) == pytest.approx(100.0 * math.log(10.0) / math.log(610.0))


@pytest.mark.parametrize(("error", "score"), [(0.0, 100.0), (1e-9, 100.0), (1e-3, 100.0), (0.61, 0.0), (5.0, 0.0)])
def test_score_is_clipped(error: float, score: float) -> None:
    assert metrics.task_score(error, 0.61) == pytest.approx(score)


@settings(deadline=None)
@given(st.floats(0.0, 10.0), st.floats(0.0, 10.0), st.floats(0.01, 10.0))
def test_score_falls_with_the_error(first: float, second: float, scale: float) -> None:
    low, high = sorted((first, second))
    better, worse = metrics.task_score(low, scale), metrics.task_score(high, scale)
    assert 0.0 <= worse <= better <= 100.0


@pytest.mark.parametrize(("error", "scale"), [(-0.1, 1.0), (float("nan"), 1.0), (0.1, 0.001), (0.1, float("inf"))])
def test_score_of_impossible_errors_is_refused(error: float, scale: float) -> None:
    with pytest.raises(DataError, match="MAE is"):
        metrics.task_score(error, scale)
