"""Fits the memoriser: which frames of `train` it remembers, and how many neighbours `validation` wants it to ask."""

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
"""Numbers among which `validation` decides. More are better and cost more: time grows with the cube."""

MOST_ATOMS: Final = 40_000
"""How many atoms are remembered at most, of frames evenly spaced over those of `train`; all of the mini edition."""

_FRAMES_PER_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class KnnFit:
    """A fitted memoriser.

    Attributes:
        frames: What it remembers.
        n_neighbours: The number that validation chose.
        validation_force_mae: Of each number that was tried, eV/Å.
    """

    frames: LabelledFrames
    n_neighbours: int
    validation_force_mae: Mapping[float, float]


def labelled_frames(rows: SplitRows, reference: FloatArray, chosen: IntArray | None = None) -> LabelledFrames:
    """Rows of a split as frames.

    Args:
        rows: Of a split.
        reference: Reference energy of each row, shape (n_rows,), eV.
        chosen: Numbers of the rows; all by default.
    """
    which = np.arange(len(rows)) if chosen is None else chosen
    atoms = ragged_indices(rows.offsets[which], rows.n_atoms[which])
    smiles = tuple(rows.smiles[which])
    batch = StructureBatch(rows.atomic_numbers[atoms], rows.positions[atoms], rows.n_atoms[which], smiles)
    return LabelledFrames(batch, (rows.energy - reference)[which], rows.forces[atoms])


def evenly_spaced(n_atoms: IntArray, most_atoms: int = MOST_ATOMS) -> IntArray:
    """Numbers of frames, evenly spaced, that have not many more atoms in all than a limit.

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
    """Remembers frames, and keeps the number of neighbours of the least force error.

    Args:
        train: What to remember.
        validation: Batches of frames to choose by.
        neighbours: Numbers to try.

    Raises:
        MissingPackageError: If TorchANI is not installed.
        ModelError: If `validation` holds an element that `train` does not.
    """
    memory = Memory(train)
    errors = {float(number): _force_mae(memory, validation, number) for number in neighbours}
    return KnnFit(train, int(min(errors, key=errors.__getitem__)), errors)


def in_batches(rows: SplitRows, reference: FloatArray) -> list[LabelledFrames]:
    """The rows of a split, some at a time."""
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
