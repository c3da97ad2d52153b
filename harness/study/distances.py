"""Force errors of atoms against the distance of their environments to the nearest training environments.

A model that learned how fragments combine may be as accurate far from its training set as near it; a model that
interpolates gets worse with distance. The distance is between atomic environment vectors of one element; see
`harness.baselines.descriptors`.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import DataError
from dataset_builders.core.whole_file import whole_file
from dataset_builders.tasks.drawn import Drawn
from dataset_builders.tasks.regions import TaskName
from harness.baselines.descriptors import Environments, atomic_descriptors, nearest_distances
from harness.core.batch import StructureBatch
from harness.data.dataset import PinnedDataset
from harness.data.rows import SplitRows, read_split
from harness.scoring.clusters import Clusters, clusters_of
from harness.scoring.influences import weighted_effect
from harness.scoring.intervals import interval_of
from harness.scoring.metric_terms import Float64Array, force_mae_terms, rank_moments, spearman_of_moments
from harness.scoring.paired_frames import FrameIndex, SplitFrames
from harness.study.run_record import DistanceRecord, Number, TestSplitName, rounded

N_BINS: Final = 10
_TEST_SPLITS: Final[tuple[TestSplitName, ...]] = ("test_id", "test_ood")

Which = Literal["test_id", "test_ood", "both"]


@dataclass(frozen=True, slots=True)
class AtomDistances:
    """Distance of the environment of each atom of a split to the training set.

    Attributes:
        frames: Digest of the frames, in order; see `frames_digest`.
        distance: Shape (n_atoms_total,), dimensionless.
    """

    frames: str
    distance: FloatArray


@dataclass(frozen=True, slots=True)
class _Atoms:
    """Atoms of one or both splits: distance, error, element and molecule of each, and the clusters of each split."""

    distance: Float64Array
    error: Float64Array
    element: IntArray
    molecule: IntArray
    clusters: tuple[Clusters, ...]

    @property
    def n_molecules(self) -> int:
        return sum(part.n_molecules for part in self.clusters)


def task_distances(dataset: PinnedDataset, task: TaskName, folder: Path) -> dict[TestSplitName, AtomDistances]:
    """Distances of the atoms of both test splits to the training environments; computed once and cached.

    Args:
        dataset: Data set.
        task: Task.
        folder: Cache folder, with a file for each task.

    Raises:
        DataError: If the data set violates its schema, or an element occurs in no training molecule.
        MissingPackageError: If TorchANI is not installed.
    """
    path = folder / f"{task}.npz"
    if path.exists():
        with np.load(path) as kept:
            return {
                split: AtomDistances(str(kept[f"{split}_frames"]), kept[f"{split}_distance"]) for split in _TEST_SPLITS
            }
    training = _environments(read_split(dataset, task, "train"))
    found = {}
    for split in _TEST_SPLITS:
        rows = read_split(dataset, task, split)
        distance = nearest_distances(_environments(rows), training)
        unknown = np.flatnonzero(~np.isfinite(distance))
        if len(unknown):
            raise DataError(
                f"atomic number {int(rows.atomic_numbers[unknown[0]])} occurs in {split} of {task} but not in train; "
                "expected every element in train. Certify the data set"
            )
        found[split] = AtomDistances(_digest(rows.molecule_id, rows.trajectory, rows.frame), distance)
    arrays = {f"{split}_frames": np.array(each.frames) for split, each in found.items()}
    arrays |= {f"{split}_distance": each.distance for split, each in found.items()}
    with whole_file(path) as partial, partial.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    return found


def error_against_distance(
    frames: Mapping[TestSplitName, SplitFrames],
    distances: Mapping[TestSplitName, AtomDistances],
    drawn: Drawn,
) -> DistanceRecord:
    """Bins the force errors of atoms by distance to the training set, and correlates the two.

    Args:
        frames: Predictions beside labels of both test splits.
        distances: From `task_distances`, for the same frames.
        drawn: Clusters of each molecule.

    Raises:
        DataError: If the distances belong to other frames.
    """
    parts = {split: _atoms(frames[split], distances[split], drawn) for split in _TEST_SPLITS}
    together: dict[Which, _Atoms] = {
        "test_id": parts["test_id"],
        "test_ood": parts["test_ood"],
        "both": _joined(parts["test_id"], parts["test_ood"]),
    }
    scale = typical_distances(parts["test_id"].distance, parts["test_id"].element)
    relative = {split: part.distance / _of_element(scale, part.element) for split, part in parts.items()}
    # Quantiles, so that all bins have equally many atoms; the outermost edges are the extremes.
    bounds = np.quantile(np.concatenate(list(relative.values())), np.linspace(0.0, 1.0, 2 * N_BINS + 1))
    edges, middles = bounds[::2], bounds[1::2]
    binned = {split: _binned(relative[split], part.error, edges) for split, part in parts.items()}
    return DistanceRecord(
        typical={number: rounded(distance) for number, distance in scale.items()},
        edges=tuple(rounded(edge) for edge in edges),
        middles=tuple(rounded(middle) for middle in middles),
        n_atoms={split: counts for split, (counts, _) in binned.items()},
        error={split: errors for split, (_, errors) in binned.items()},
        rank_correlation={name: _correlation(part, [np.arange(len(part.error))]) for name, part in together.items()},
        within_elements={name: _correlation(part, list(_by_element(part))) for name, part in together.items()},
    )


def typical_distances(distance: Float64Array, element: IntArray) -> dict[int, float]:
    """The median distance of the ID atoms of each element to the training set, by atomic number.

    Each element has its own scale: an atom is far if its distance exceeds that of atoms of its element in new frames
    of the training molecules.

    Args:
        distance: Distance of ID atoms, shape (n_atoms,).
        element: Their atomic numbers, same shape.

    Raises:
        DataError: If a median is zero and cannot serve as a scale.
    """
    typical = {int(number): float(np.median(distance[element == number])) for number in np.unique(element)}
    for number, median in typical.items():
        if not median > 0.0:
            raise DataError(
                f"half of the atoms with atomic number {number} in test_id have distance 0 to training; expected "
                "frames that differ from training. Certify the data set"
            )
    return typical


def frames_digest(index: FrameIndex) -> str:
    """Digest that identifies the frames of an index, in order."""
    names = np.array([molecule.molecule_id for molecule in index.molecules], dtype=object)
    return _digest(names[index.molecule_idx], index.trajectory, index.frame)


def _digest(molecule_id: npt.NDArray[np.object_], trajectory: npt.NDArray[np.generic], frame: IntArray) -> str:
    digest = hashlib.sha256()
    for name, of_trajectory, number in zip(molecule_id, trajectory, frame, strict=True):
        digest.update(f"{name}\t{of_trajectory}\t{number}\n".encode())
    return digest.hexdigest()


def _environments(rows: SplitRows) -> Environments:
    numbers = rows.atomic_numbers.astype(np.int64)
    batch = StructureBatch(numbers, rows.positions.astype(np.float64), rows.n_atoms, tuple(rows.smiles))
    return Environments(numbers, atomic_descriptors(batch))


def _atoms(frames: SplitFrames, distances: AtomDistances, drawn: Drawn) -> _Atoms:
    index = frames.index
    if distances.frames != frames_digest(index):
        raise DataError(
            f"the saved distances to training belong to other frames than the predictions of {index.split}; delete the "
            "folder `distances` in the work folder of the study"
        )
    return _Atoms(
        distance=distances.distance.astype(np.float64),
        error=force_mae_terms(frames.predicted.forces, frames.reference.forces).numerator / 3.0,
        element=np.asarray(index.atomic_numbers, dtype=np.int64),
        molecule=index.atom_molecule_idx,
        clusters=(clusters_of(index.split, [each.molecule_id for each in index.molecules], drawn),),
    )


def _joined(first: _Atoms, second: _Atoms) -> _Atoms:
    return _Atoms(
        np.concatenate([first.distance, second.distance]),
        np.concatenate([first.error, second.error]),
        np.concatenate([first.element, second.element]),
        np.concatenate([first.molecule, first.n_molecules + second.molecule]),
        (*first.clusters, *second.clusters),
    )


def _of_element(scale: Mapping[int, float], element: IntArray) -> Float64Array:
    """The scale of each atom."""
    lacking = sorted(set(np.unique(element).tolist()) - scale.keys())
    if lacking:
        raise DataError(
            f"atomic number {lacking[0]} occurs in test_ood but not in test_id; expected every element in test_id. "
            "Certify the data set"
        )
    numbers = np.array(sorted(scale))
    return np.array([scale[int(number)] for number in numbers])[np.searchsorted(numbers, element)]


def _binned(
    distance: Float64Array, error: Float64Array, edges: Float64Array
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    n_bins = len(edges) - 1
    place = np.clip(np.searchsorted(edges, distance, side="right") - 1, 0, n_bins - 1)
    counts, sums = np.bincount(place, minlength=n_bins), np.bincount(place, error, n_bins)
    means = [rounded(total / count) if count else None for total, count in zip(sums, counts, strict=True)]
    return tuple(int(count) for count in counts), tuple(means)


def _by_element(atoms: _Atoms) -> Iterator[IntArray]:
    for number in np.unique(atoms.element):
        yield np.flatnonzero(atoms.element == number)


def _correlation(atoms: _Atoms, groups: list[IntArray]) -> Number:
    """Spearman correlation within each group, averaged with the atom weights of the groups, with its interval."""
    effect = weighted_effect(lambda weights: _mean_correlation(atoms, groups, weights), *atoms.clusters)
    if np.isnan(effect.value):
        return Number(reason="the errors or the distances are all equal")
    return Number.of(interval_of(effect, "fisher"))


def _mean_correlation(atoms: _Atoms, groups: list[IntArray], weights: Float64Array) -> Float64Array:
    """As `_correlation`, for several sets of weights of the molecules, shape (n_sets, n_molecules)."""
    total, weight = np.zeros(len(weights)), np.zeros(len(weights))
    for group in groups:
        # Only molecules with such atoms, since the moments grow with the cube of the number of molecules.
        having, molecule = np.unique(atoms.molecule[group], return_inverse=True)
        moments = rank_moments(atoms.error[group], atoms.distance[group], molecule, len(having))
        correlation = spearman_of_moments(moments, weights[:, having])
        # The correlation is undefined for an element with one atom, or with equal errors or distances.
        defined = ~np.isnan(correlation)
        size = np.where(defined, weights[:, having] @ np.bincount(molecule), 0.0)
        total += np.where(defined, correlation, 0.0) * size
        weight += size
    mean = np.full(len(weights), np.nan)
    np.divide(total, weight, out=mean, where=weight > 0.0)
    return mean
