"""Metrics of random frames: a plain NumPy reference that shares no code, and what must not change them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.stats import spearmanr

from harness.results.result import SplitResult
from harness.scoring.influences import sum_by_molecule
from harness.scoring.metric_terms import force_terms
from harness.scoring.metrics import (
    centred_energy_mae,
    centred_energy_spearman,
    energy_mae_per_atom,
    force_cosine,
    force_cosine_left_out,
    force_mae,
    force_magnitude_mae,
    force_rmse,
    zero_force_mae,
)
from harness.scoring.paired_frames import FrameIndex, Labels, SplitFrames
from harness.scoring.totals import SplitTotals, TotalsBuilder
from tests.harness.frame_tables import OOD_WORDS, evaluate_frames, make_split, make_task, permute

SEEDS = st.integers(0, 2**32 - 1)
SCALES = st.sampled_from([1e-9, 1e-3, 0.05, 1.0, 1e4])


def random_forces(seed: int, scale: float, n_atoms: int = 17) -> tuple[np.ndarray, np.ndarray]:
    """Forces and predictions; some are exactly zero, and some are exactly right."""
    rng = np.random.default_rng(seed)
    reference = rng.normal(0.0, 0.7, (n_atoms, 3))
    predicted = reference + rng.normal(0.0, scale, (n_atoms, 3))
    reference[rng.random(n_atoms) < 0.1] = 0.0
    exact = rng.random(n_atoms) < 0.1
    predicted[exact] = reference[exact]
    return predicted, reference


@given(SEEDS, SCALES)
def test_force_metrics_are_those_of_plain_loops(seed: int, scale: float) -> None:
    """Component by component and atom by atom, as docs/metrics.md defines them."""
    predicted, reference = random_forces(seed, scale)
    errors = [abs(float(p) - float(r)) for p, r in zip(predicted.flat, reference.flat, strict=True)]
    cosines, lengths = [], []
    for p, r in zip(predicted, reference, strict=True):
        of_p, of_r = sum(x * x for x in p) ** 0.5, sum(x * x for x in r) ** 0.5
        lengths.append(abs(of_p - of_r))
        if min(of_p, of_r) >= 1e-6:
            cosines.append(sum(x * y for x, y in zip(p, r, strict=True)) / (of_p * of_r))
    assert force_mae(predicted, reference) == pytest.approx(sum(errors) / len(errors), rel=1e-12)
    assert force_rmse(predicted, reference) == pytest.approx(
        (sum(e * e for e in errors) / len(errors)) ** 0.5, rel=1e-12
    )
    assert force_magnitude_mae(predicted, reference) == pytest.approx(sum(lengths) / len(lengths), rel=1e-9, abs=1e-15)
    assert force_cosine_left_out(predicted, reference) == pytest.approx(1.0 - len(cosines) / len(reference), abs=1e-15)
    found = force_cosine(predicted, reference)
    assert (found is None) == (not cosines)
    if found is not None:
        assert found == pytest.approx(sum(cosines) / len(cosines), rel=1e-12)
    assert zero_force_mae(reference) == pytest.approx(np.abs(reference).sum() / reference.size, rel=1e-12)


@given(SEEDS, SCALES, st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_energy_metrics_are_those_of_plain_loops(seed: int, scale: float, frames: list[int]) -> None:
    """Centred by the mean of each molecule; a molecule with one frame says nothing."""
    rng = np.random.default_rng(seed)
    molecule = rng.permutation(np.repeat(np.arange(len(frames)), frames))
    reference = rng.normal(-4000.0, 0.3, len(molecule)) - 500.0 * molecule
    predicted = reference + rng.normal(0.0, scale, len(molecule)) + 7.0 * molecule
    first, second = [], []
    for name in range(len(frames)):
        rows = [row for row in range(len(molecule)) if molecule[row] == name]
        if len(rows) > 1:
            first += [predicted[row] - predicted[rows].mean() for row in rows]
            second += [reference[row] - reference[rows].mean() for row in rows]
    found = centred_energy_mae(predicted, reference, molecule)
    assert (found is None) == (not first)
    if found is not None:
        expected = sum(abs(p - r) for p, r in zip(first, second, strict=True)) / len(first)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-11)
    if len(first) > 2 and scale >= 1e-3:
        spearman = centred_energy_spearman(predicted, reference, molecule)
        assert spearman == pytest.approx(float(spearmanr(first, second).statistic), abs=1e-9)
    n_atoms = rng.integers(1, 60, len(molecule))
    plain = sum(abs(p - r) / n for p, r, n in zip(predicted, reference, n_atoms, strict=True)) / len(molecule)
    assert energy_mae_per_atom(predicted, reference, n_atoms) == pytest.approx(plain, rel=1e-12)


@given(SEEDS, SCALES)
def test_rotated_molecules_have_the_same_lengths_and_angles(seed: int, scale: float) -> None:
    """The MAE over components alone depends on the axes, by less than a factor of the square root of three."""
    predicted, reference = random_forces(seed, scale)
    turned = [Rotation.random(random_state=seed).apply(forces) for forces in (predicted, reference)]
    assert force_rmse(*turned) == pytest.approx(force_rmse(predicted, reference), rel=1e-6)
    assert force_magnitude_mae(*turned) == pytest.approx(force_magnitude_mae(predicted, reference), rel=1e-6, abs=1e-12)
    cosine = force_cosine(predicted, reference)
    assert cosine is None or force_cosine(*turned) == pytest.approx(cosine, abs=1e-9)
    ratio = force_mae(*turned) / force_mae(predicted, reference)
    assert 3**-0.5 - 1e-9 < ratio < 3**0.5 + 1e-9


def pieces_of(frames: SplitFrames, cuts: list[int]) -> list[SplitFrames]:
    """The frames in successive pieces, each with the molecules that it has, as a reader gives them."""
    index, first_atom = frames.index, np.concatenate([[0], np.cumsum(frames.index.n_atoms)])
    bounds = sorted({0, index.n_frames, *(cut % (index.n_frames + 1) for cut in cuts)})
    found = []
    for start, stop in pairwise(bounds):
        atoms = slice(first_atom[start], first_atom[stop])
        present, own = np.unique(index.molecule_idx[start:stop], return_inverse=True)
        part = FrameIndex(
            split=index.split,
            molecules=tuple(index.molecules[place] for place in present),
            molecule_idx=own,
            trajectory=index.trajectory[start:stop],
            frame=index.frame[start:stop],
            n_atoms=index.n_atoms[start:stop],
            atomic_numbers=index.atomic_numbers[atoms],
        )
        labels = [Labels(each.energy[start:stop], each.forces[atoms]) for each in (frames.reference, frames.predicted)]
        found.append(SplitFrames(part, *labels))
    return found


def summed(pieces: list[SplitFrames], n_frames: int) -> SplitTotals:
    builder = TotalsBuilder("test_ood", n_frames)
    for piece in pieces:
        builder.add(piece)
    return builder.finish()


@given(SEEDS, st.lists(st.integers(0, 100), max_size=5), st.randoms(use_true_random=False))
def test_sums_do_not_depend_on_the_pieces_that_were_added(seed: int, cuts: list[int], order: object) -> None:
    """Nor on their order: the partial sums of molecules merge."""
    whole = permute(make_split("test_ood", OOD_WORDS, 3, 0.1, np.random.default_rng(seed)), _shuffled(12, seed))
    pieces = pieces_of(whole, cuts)
    order.shuffle(pieces)  # type: ignore[attr-defined]
    first, second = summed([whole], 12), summed(pieces, 12)
    assert [each.molecule_id for each in first.molecules] == [each.molecule_id for each in second.molecules]
    np.testing.assert_array_equal(first.n_frames, second.n_frames)
    np.testing.assert_array_equal(first.composition, second.composition)
    for name, sums in first.forces.items():
        np.testing.assert_allclose(second.forces[name].numerator, sums.numerator, rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(second.forces[name].weight, sums.weight, rtol=1e-12, err_msg=name)
    for one, other in ((first, second), (second, first)):
        pairs = set(zip(one.molecule_idx, one.predicted_energy, one.reference_energy, strict=True))
        assert pairs == set(zip(other.molecule_idx, other.predicted_energy, other.reference_energy, strict=True))


@given(SEEDS, st.integers(1, 16))
def test_partial_sums_add_up_to_those_of_all_atoms(seed: int, cut: int) -> None:
    predicted, reference = random_forces(seed, 0.1)
    molecule = np.random.default_rng(seed).integers(0, 3, len(reference))
    for name, whole in force_terms(predicted, reference).items():
        found = [
            sum_by_molecule(force_terms(predicted[rows], reference[rows])[name], molecule[rows], 3)
            for rows in (slice(cut), slice(cut, None))
        ]
        merged, expected = found[0].added(found[1]), sum_by_molecule(whole, molecule, 3)
        np.testing.assert_allclose(merged.numerator, expected.numerator, rtol=1e-12, atol=1e-15)
        assert merged.value == pytest.approx(expected.value, rel=1e-12)


@given(SEEDS)
def test_results_of_a_task_are_those_of_its_frames(seed: int) -> None:
    """From the frames to the result: what a table shows is what plain means over all atoms and molecules give."""
    task = make_task(seed=seed, frames_each=3)
    result = evaluate_frames(task)
    for part in (task.test_id, task.test_ood):
        shown: SplitResult = result.splits[part.index.split]  # type: ignore[index]
        predicted, reference = part.predicted, part.reference
        expected = {
            "force_mae": np.abs(predicted.forces - reference.forces).mean(),
            "force_rmse": np.sqrt(((predicted.forces - reference.forces) ** 2).mean()),
            "raw_energy_mae": np.abs(predicted.energy - reference.energy).mean(),
            "force_error_fraction": np.abs(predicted.forces - reference.forces).sum() / np.abs(reference.forces).sum(),
        }
        for name, value in expected.items():
            assert shown.metrics[name].value == pytest.approx(value, rel=1e-9), name
        assert shown.zero_force_mae.value == pytest.approx(np.abs(reference.forces).mean(), rel=1e-9)
        assert (shown.n_frames, shown.n_atoms) == (part.index.n_frames, len(reference.forces))
    gap = result.splits["test_ood"].metrics["force_mae"].value / result.splits["test_id"].metrics["force_mae"].value  # type: ignore[operator]
    assert result.gap.value == pytest.approx(gap, rel=1e-12)


@given(SEEDS)
def test_order_of_frames_changes_no_number_of_a_task(seed: int) -> None:
    """Values and ends of all intervals, of splits, spacers, pairs and molecules."""
    task = make_task(seed=seed, frames_each=2)
    turned = permute(task.test_ood, _shuffled(task.test_ood.index.n_frames, seed))
    first, second = (
        evaluate_frames(each).model_dump(mode="json")
        for each in (task, type(task)(task.task, task.protocol, task.train, task.test_id, turned, task.training_parts))
    )
    assert list(_leaves(first)) == pytest.approx(list(_leaves(second)), rel=1e-9, abs=1e-12)


def _leaves(document: object) -> list[float]:
    """All numbers of a document, in order."""
    if isinstance(document, dict):
        return [number for each in document.values() for number in _leaves(each)]
    if isinstance(document, list):
        return [number for each in document for number in _leaves(each)]
    return [float(document)] if isinstance(document, int | float) else []


def _shuffled(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n)
