import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.core.errors import DataError
from dataset_builders.tasks.drawn import Drawn
from harness.data.dataset import open_dataset
from harness.scoring.paired_frames import SplitFrames
from harness.study.distances import (
    N_BINS,
    AtomDistances,
    error_against_distance,
    frames_digest,
    task_distances,
    typical_distances,
)
from tests.harness.frame_tables import OOD_WORDS, TRAIN_WORDS, make_split


def frames_with_errors(split: str, seed: int) -> SplitFrames:
    rng = np.random.default_rng(seed)
    words = TRAIN_WORDS if split == "test_id" else OOD_WORDS
    return make_split(split, words, 4, 0.05, rng)  # type: ignore[arg-type]


FRAMES = {"test_id": frames_with_errors("test_id", 0), "test_ood": frames_with_errors("test_ood", 1)}
DRAWN = Drawn(
    "molecule",
    {each.molecule_id: (each.molecule_id,) for part in FRAMES.values() for each in part.index.molecules},
)
ERRORS = {split: np.abs(part.predicted.forces - part.reference.forces).mean(axis=1) for split, part in FRAMES.items()}


def distances_of(values: dict[str, np.ndarray]) -> dict[str, AtomDistances]:
    return {split: AtomDistances(frames_digest(FRAMES[split].index), each) for split, each in values.items()}


def test_an_error_that_is_the_distance() -> None:
    found = error_against_distance(FRAMES, distances_of(ERRORS), DRAWN)  # type: ignore[arg-type]
    for numbers in (found.rank_correlation, found.within_elements):
        for number in numbers.values():
            assert (number.value, number.low) == (pytest.approx(1.0), None)
            assert "at the end of its range" in (number.reason or "") or "give the same value" in (number.reason or "")
    assert sum(found.n_atoms["test_id"]) == len(ERRORS["test_id"])
    assert sum(found.n_atoms["test_ood"]) == len(ERRORS["test_ood"])
    assert len(found.edges) == N_BINS + 1 == len(found.middles) + 1
    in_bins = np.array(found.n_atoms["test_id"]) + np.array(found.n_atoms["test_ood"])
    assert np.ptp(in_bins) <= 1
    assert all(
        low < middle < high for low, middle, high in zip(found.edges, found.middles, found.edges[1:], strict=False)
    )


def test_the_mean_over_bins_is_the_mean_over_atoms() -> None:
    distances = {split: np.random.default_rng(2).uniform(0.1, 1.0, len(each)) for split, each in ERRORS.items()}
    found = error_against_distance(FRAMES, distances_of(distances), DRAWN)  # type: ignore[arg-type]
    for split in FRAMES:
        counts, errors = found.n_atoms[split], found.error[split]  # type: ignore[index]
        total = sum(count * error for count, error in zip(counts, errors, strict=True) if error is not None)
        assert total / sum(counts) == pytest.approx(ERRORS[split].mean(), rel=1e-4)
    for number in found.within_elements.values():
        assert number.low is not None
        assert number.low < 0.1
        assert abs(number.value or 0.0) < 0.25


def test_elements_with_scales_of_their_own() -> None:
    """Carbon is far and badly described, hydrogen near and well: over all atoms a correlation, within elements none."""
    rng = np.random.default_rng(3)
    parts, distances = {}, {}
    for split, part in FRAMES.items():
        is_carbon = part.index.atomic_numbers == 6
        error = np.where(is_carbon, 1.0, 0.1) * rng.uniform(0.9, 1.1, len(is_carbon))
        distances[split] = np.where(is_carbon, 5.0, 1.0) * rng.uniform(0.9, 1.1, len(is_carbon))
        forces = part.reference.forces + error[:, None]
        parts[split] = dataclasses.replace(part, predicted=dataclasses.replace(part.predicted, forces=forces))
    found = error_against_distance(parts, distances_of(distances), DRAWN)  # type: ignore[arg-type]
    assert (found.rank_correlation["both"].value or 0.0) > 0.5
    assert abs(found.within_elements["both"].value or 0.0) < 0.1
    assert found.typical[6] == pytest.approx(5.0, rel=0.05)
    # In units of the typical distance of its element no atom is far.
    assert found.edges[-1] < 1.3


def test_typical_distances_by_hand() -> None:
    distance, element = np.array([0.1, 0.3, 0.2, 4.0]), np.array([1, 1, 1, 6])
    assert typical_distances(distance, element) == {1: 0.2, 6: 4.0}
    with pytest.raises(DataError, match="half of the atoms with atomic number 6 in test_id have distance 0"):
        typical_distances(np.array([0.1, 0.0]), np.array([1, 6]))


def test_errors_that_are_all_equal() -> None:
    exact = {split: dataclasses.replace(part, predicted=part.reference) for split, part in FRAMES.items()}
    found = error_against_distance(exact, distances_of(ERRORS), DRAWN)  # type: ignore[arg-type]
    assert found.rank_correlation["both"].reason == "the errors or the distances are all equal"


def test_distances_of_other_frames() -> None:
    wrong = {split: AtomDistances("0" * 64, each) for split, each in ERRORS.items()}
    with pytest.raises(DataError, match="belong to other frames than the predictions of test_id"):
        error_against_distance(FRAMES, wrong, DRAWN)  # type: ignore[arg-type]


def test_distances_of_a_data_set_are_kept(tiny_dataset: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(tiny_dataset))
    first = task_distances(dataset, "task1", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["task1.npz"]
    again = task_distances(dataset, "task1", tmp_path)
    for split, found in first.items():
        assert found.frames == again[split].frames
        np.testing.assert_array_equal(found.distance, again[split].distance)
        assert np.isfinite(found.distance).all()
        assert (found.distance > 0.0).all()
    # Longer chains are farther from what training shows than new frames of the training molecules.
    assert np.median(first["test_ood"].distance) > np.median(first["test_id"].distance)
