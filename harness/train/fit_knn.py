"""Fits the memoriser: selects the frames of `train` to store, and the number of neighbours by `validation`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray
from harness.baselines.memory import LabelledFrames, Memory
from harness.core.batch import StructureBatch
from harness.data.rows import SplitRows
from harness.inference.batching import ragged_indices

NEIGHBOURS: Final = (8, 16, 32, 64)
"""Candidate numbers of neighbours. Larger ones are more accurate and slower: time grows with the cube."""

MOST_ATOMS: Final = 40_000
"""Maximum number of stored atoms, in frames evenly spaced over `train`; enough for all of the mini edition."""

_FRAMES_PER_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class KnnFit:
    """A fitted memoriser.

    Attributes:
        frames: Stored frames.
        n_neighbours: Number chosen on `validation`.
        validation_force_mae: Force MAE for each candidate number, eV/Å.
    """

    frames: LabelledFrames
    n_neighbours: int
    validation_force_mae: Mapping[float, float]


def labelled_frames(rows: SplitRows, reference: FloatArray, chosen: IntArray | None = None) -> LabelledFrames:
    """Converts rows of a split to labelled frames.

    Args:
        rows: Rows of a split.
        reference: Reference energy of each row, shape (n_rows,), eV.
        chosen: Indices of the rows; all by default.
    """
    which = np.arange(len(rows)) if chosen is None else chosen
    atoms = ragged_indices(rows.offsets[which], rows.n_atoms[which])
    smiles = tuple(rows.smiles[which])
    batch = StructureBatch(rows.atomic_numbers[atoms], rows.positions[atoms], rows.n_atoms[which], smiles)
    return LabelledFrames(batch, (rows.energy - reference)[which], rows.forces[atoms])


def evenly_spaced(n_atoms: IntArray, most_atoms: int = MOST_ATOMS) -> IntArray:
    """Selects evenly spaced frames whose total number of atoms is close to a limit.

    Args:
        n_atoms: Atoms of each frame, shape (n_frames,).
        most_atoms: The limit.
    """
    share = min(1.0, most_atoms / int(n_atoms.sum()))
    n_chosen = max(1, int(share * len(n_atoms)))
    return np.arange(n_chosen) * len(n_atoms) // n_chosen


def fit_knn(
    train: LabelledFrames, validation: Sequence[LabelledFrames], neighbours: Sequence[int] = NEIGHBOURS
) -> KnnFit:
    """Stores frames, and keeps the number of neighbours with the smallest force error.

    Args:
        train: Frames to store.
        validation: Batches of frames, to choose the number of neighbours.
        neighbours: Candidate numbers.

    Raises:
        MissingPackageError: If TorchANI is not installed.
        ModelError: If `validation` contains an element that is not in `train`.
    """
    memory = Memory(train)
    errors = {float(number): _force_mae(memory, validation, number) for number in neighbours}
    return KnnFit(train, int(min(errors, key=errors.__getitem__)), errors)


def in_batches(rows: SplitRows, reference: FloatArray) -> list[LabelledFrames]:
    """The rows of a split in batches."""
    numbers = np.arange(len(rows))
    parts = [numbers[start : start + _FRAMES_PER_BATCH] for start in range(0, len(rows), _FRAMES_PER_BATCH)]
    return [labelled_frames(rows, reference, part) for part in parts]


def _force_mae(memory: Memory, validation: Sequence[LabelledFrames], n_neighbours: int) -> float:
    """Mean absolute error of force components, eV/Å."""
    error, count = 0.0, 0
    for frames in validation:
        _, forces = memory.energies_and_forces(frames.batch, n_neighbours)
        error += float(np.abs(forces - frames.forces).sum())
        count += forces.size
    return error / count
