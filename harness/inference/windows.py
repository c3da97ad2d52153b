"""The second pass over a data set: geometries in the order of a plan, one window at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from dataset_builders.core.arrays import FloatArray, IntArray
from harness.core.batch import StructureBatch
from harness.data.dataset import PinnedDataset
from harness.data.scan import stream_needed
from harness.inference.batching import Plan, ragged_indices


@dataclass(frozen=True, slots=True)
class Window:
    """Successive frames of a plan with their geometries.

    Attributes:
        start: Place of the first frame.
        smiles: Shape (n_frames,), text.
        n_atoms: Shape (n_frames,), int64.
        atomic_numbers: Shape (n_atoms_total,), uint8.
        positions: Shape (n_atoms_total, 3), float32, Å.
        offsets: First atom of each frame, then the total; shape (n_frames + 1,).
    """

    start: int
    smiles: npt.NDArray[np.object_]
    n_atoms: IntArray
    atomic_numbers: IntArray
    positions: FloatArray
    offsets: IntArray

    @property
    def stop(self) -> int:
        """Place after the last frame."""
        return self.start + len(self.n_atoms)

    def batch(self, start: int, stop: int) -> StructureBatch:
        """The frames at some places as one batch; positions in float64, which represents the stored float32 exactly."""
        frames = slice(start - self.start, stop - self.start)
        atoms = slice(int(self.offsets[frames.start]), int(self.offsets[frames.stop]))
        return StructureBatch(
            self.atomic_numbers[atoms].astype(np.int64),
            self.positions[atoms].astype(np.float64),
            self.n_atoms[frames].copy(),
            tuple(self.smiles[frames]),
        )


@dataclass(frozen=True, slots=True)
class _Piece:
    """Frames in reading order, each with its place in the plan."""

    place: IntArray
    smiles: npt.NDArray[np.object_]
    n_atoms: IntArray
    atomic_numbers: IntArray
    positions: FloatArray

    def slice(self, start: int, stop: int) -> "_Piece":
        """The frames `start` to `stop` (exclusive)."""
        first, last = int(self.n_atoms[:start].sum()), int(self.n_atoms[:stop].sum())
        by_frame, by_atom = slice(start, stop), slice(first, last)
        return _Piece(
            self.place[by_frame],
            self.smiles[by_frame],
            self.n_atoms[by_frame],
            self.atomic_numbers[by_atom],
            self.positions[by_atom],
        )


def read_windows(dataset: PinnedDataset, plan: Plan) -> Iterator[Window]:
    """Reads the geometries of a plan, in its order.

    Args:
        dataset: The data set of the plan.
        plan: The plan.

    Raises:
        DataError: If the data set can no longer be read.
    """
    waiting: list[_Piece] = []
    number = 0
    for piece in _first_occurrences(dataset, plan):
        rest = piece
        # Windows fill up one after another, since both follow the reading order.
        while len(rest.place) and number < len(plan.windows) - 1:
            room = plan.windows[number + 1] - plan.windows[number] - sum(len(each.place) for each in waiting)
            taken = min(room, len(rest.place))
            waiting.append(rest.slice(0, taken))
            rest = rest.slice(taken, len(rest.place))
            if taken == room:
                yield _window(waiting, plan.windows[number])
                waiting, number = [], number + 1


def structures_at(dataset: PinnedDataset, plan: Plan, places: IntArray) -> StructureBatch:
    """Reads some structures of a plan as one batch.

    Args:
        dataset: The data set of the plan.
        plan: The plan.
        places: Their places, ascending and one or more; reading ends with the last one.

    Raises:
        DataError: If the data set can no longer be read.
    """
    parts = []
    for window in read_windows(dataset, plan):
        inside = places[(places >= window.start) & (places < window.stop)]
        parts += [window.batch(int(place), int(place) + 1) for place in inside]
        if window.stop > places[-1]:
            break
    return StructureBatch(
        np.concatenate([part.atomic_numbers for part in parts]),
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.n_atoms for part in parts]),
        tuple(smiles for part in parts for smiles in part.smiles),
    )


def _first_occurrences(dataset: PinnedDataset, plan: Plan) -> Iterator[_Piece]:
    seen = np.zeros(plan.n_frames, dtype=np.bool_)
    for key, places in plan.rows.items():
        read = 0
        for rows in stream_needed(dataset, key):
            place = places[read : read + len(rows)]
            read += len(rows)
            fresh = ~seen[place]
            seen[place] = True
            atoms = np.repeat(fresh, rows.n_atoms)
            yield _Piece(
                place[fresh], rows.smiles[fresh], rows.n_atoms[fresh], rows.atomic_numbers[atoms], rows.positions[atoms]
            )


def _window(pieces: list[_Piece], start: int) -> Window:
    whole = _Piece(*(np.concatenate([getattr(piece, each.name) for piece in pieces]) for each in fields(_Piece)))
    order = np.argsort(whole.place)
    first_atom = np.cumsum(whole.n_atoms) - whole.n_atoms
    n_atoms = whole.n_atoms[order]
    atoms = ragged_indices(first_atom[order], n_atoms)
    offsets = np.concatenate([[0], np.cumsum(n_atoms, dtype=np.int64)])
    return Window(start, whole.smiles[order], n_atoms, whole.atomic_numbers[atoms], whole.positions[atoms], offsets)
