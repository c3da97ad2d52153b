"""The structures with the largest force errors, with the error of each of their atoms."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray
from harness.data.rows import SplitRows
from harness.scoring.group_rows import TestSplit
from harness.scoring.metric_terms import BoolArray, Float64Array
from harness.scoring.paired_frames import SplitFrames

N_WORST: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class WorstFrame:
    """One structure and its force errors.

    Attributes:
        split: Its split.
        molecule_id: Its molecule.
        subset: `near`, `far` or empty.
        trajectory: Its trajectory.
        frame: Index in the trajectory.
        force_mae: Mean absolute error of its force components, eV/Å.
        atomic_numbers: Shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.
        errors: Length of the difference between predicted and reference force of each atom, shape (n_atoms,), eV/Å.
    """

    split: TestSplit
    molecule_id: str
    subset: str
    trajectory: str
    frame: int
    force_mae: float
    atomic_numbers: IntArray
    positions: FloatArray
    errors: Float64Array


def worst_of_piece(split: TestSplit, rows: SplitRows, frames: SplitFrames) -> dict[str, WorstFrame]:
    """The frame with the largest force MAE of each molecule of a piece, by molecule.

    Args:
        split: Split of the piece.
        rows: Its rows, with the positions.
        frames: The same frames with labels and predictions, without those that failed.
    """
    index = frames.index
    if not index.n_frames:
        return {}
    positions = rows.positions[np.repeat(computed_rows(rows, frames), rows.n_atoms)]
    difference = np.asarray(frames.predicted.forces, dtype=np.float64) - frames.reference.forces
    ends = np.cumsum(index.n_atoms)
    per_frame = np.add.reduceat(np.abs(difference).sum(axis=1), ends - index.n_atoms) / (3.0 * index.n_atoms)
    found = {}
    # Sorted by error and then by place, so that equal errors always choose the same frame.
    order = np.lexsort((np.arange(index.n_frames), -per_frame, index.molecule_idx))
    first = np.unique(index.molecule_idx[order], return_index=True)[1]
    for place in order[first].tolist():
        atoms = slice(int(ends[place] - index.n_atoms[place]), int(ends[place]))
        molecule = index.molecules[index.molecule_idx[place]]
        found[molecule.molecule_id] = WorstFrame(
            split=split,
            molecule_id=molecule.molecule_id,
            subset=molecule.subset,
            trajectory=str(index.trajectory[place]),
            frame=int(index.frame[place]),
            force_mae=float(per_frame[place]),
            atomic_numbers=index.atomic_numbers[atoms],
            positions=positions[atoms],
            errors=np.linalg.norm(difference[atoms], axis=1),
        )
    return found


def computed_rows(rows: SplitRows, frames: SplitFrames) -> BoolArray:
    """Which rows of a piece were computed, shape (n_rows,)."""
    if not frames.failures:
        return np.ones(len(rows), dtype=np.bool_)
    lost = {(each.molecule.molecule_id, each.trajectory, each.frame) for each in frames.failures}
    names = zip(rows.molecule_id, rows.trajectory, rows.frame.tolist(), strict=True)
    return np.array([name not in lost for name in names], dtype=np.bool_)


def worse(first: Mapping[str, WorstFrame], second: Mapping[str, WorstFrame]) -> dict[str, WorstFrame]:
    """The worse frame of each molecule of two sets."""
    merged = dict(first)
    for name, frame in second.items():
        known = merged.get(name)
        if known is None or frame.force_mae > known.force_mae:
            merged[name] = frame
    return merged


def ten_worst(frames: Iterable[WorstFrame]) -> tuple[WorstFrame, ...]:
    """The frames with the largest errors above zero, worst first."""
    wrong = (frame for frame in frames if frame.force_mae > 0.0)
    return tuple(sorted(wrong, key=lambda each: (-each.force_mae, each.molecule_id))[:N_WORST])
