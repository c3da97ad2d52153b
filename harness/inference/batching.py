"""The plan: every required frame once, in batches of bounded size, grouped into shards.

Frames follow the reading order of the data set in windows of bounded size, so that a data set of any size can be
streamed; within a window the largest come first, so that molecules of similar size share a batch. The plan depends only
on the frames and the batch size, never on what is already computed: a run that was killed resumes with the same batches
and so yields the same bits.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import UsageError
from harness.data.scan import FrameNames, FrameScan, Keys, SplitKey

STRUCTURES_PER_BATCH: Final = 1024
"""Maximum number of structures in a batch, however small they are."""

STRUCTURES_PER_SHARD: Final = 256
"""Maximum number of structures in a shard, unless one batch has more: what a kill can lose."""

MOST_SHARDS: Final = 1024
"""Approximate maximum per plan: beyond it shards become larger, since so many files would take too long."""

ATOMS_PER_WINDOW: Final = 2**18
"""Maximum number of atoms in a window, or one structure: some 10,000 molecules of this data set, 4 MB."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Successive batches whose predictions are written to one file.

    Attributes:
        name: Digest of the shard's frames, in order, and of its batch boundaries.
        start: Place of its first frame in the plan.
        stop: Place after its last frame.
        bounds: First place of each batch, then the end; places in the plan.
    """

    name: str
    start: int
    stop: int
    bounds: tuple[int, ...]

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Plan:
    """The frames to predict, and their batches. A place is the index of a frame in the plan.

    Attributes:
        molecules: Names, ascending.
        atomic_numbers: Elements of each molecule.
        keys: Key of the frame at each place, shape (n_frames,).
        n_atoms: Number of atoms of each frame, shape (n_frames,), int32.
        windows: First place of each window, then the end.
        shards: Consecutive pieces of the plan, each within a window.
        rows: For each split, the place of each of its rows; int32.
    """

    molecules: tuple[str, ...]
    atomic_numbers: Mapping[str, IntArray]
    keys: Keys
    n_atoms: IntArray
    windows: tuple[int, ...]
    shards: tuple[Shard, ...]
    rows: Mapping[SplitKey, IntArray]

    @property
    def n_frames(self) -> int:
        """Number of distinct frames."""
        return len(self.keys)

    @property
    def n_structures(self) -> int:
        """Number of structures in its shards."""
        return sum(len(shard) for shard in self.shards)

    def share(self, rank: int, world_size: int) -> "Plan":
        """The shards of one of several processes; all shares together contain each shard once."""
        return Plan(
            self.molecules,
            self.atomic_numbers,
            self.keys,
            self.n_atoms,
            self.windows,
            self.shards[rank::world_size],
            self.rows,
        )

    def names(self, start: int, stop: int) -> FrameNames:
        """The names of the frames at the places `start` to `stop` (exclusive)."""
        return FrameNames.of(self.keys[start:stop], self.molecules)


def make_plan(scan: FrameScan, batch_atoms: int) -> Plan:
    """Plans the prediction of the frames of a data set.

    Args:
        scan: Its frames; a frame that occurs in several splits is listed once.
        batch_atoms: Maximum number of atoms in a batch; a larger molecule gets its own batch.

    Raises:
        UsageError: If `batch_atoms` is not positive.
    """
    if batch_atoms < 1:
        raise UsageError(f"--batch-atoms {batch_atoms}; expected 1 or more")
    windows = filled_bounds(scan.n_atoms, ATOMS_PER_WINDOW)
    order = np.concatenate(
        [
            start + np.lexsort((scan.keys[start:stop], -scan.n_atoms[start:stop].astype(np.int64)))
            for start, stop in pairwise(windows)
        ]
    )
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    keys, n_atoms = scan.keys[order], scan.n_atoms[order]
    shards = []
    per_shard = max(STRUCTURES_PER_SHARD, len(keys) // MOST_SHARDS)
    for start, stop in pairwise(windows):
        bounds = [start + bound for bound in filled_bounds(n_atoms[start:stop], batch_atoms, STRUCTURES_PER_BATCH)]
        shards.extend(_shards(keys, bounds, per_shard))
    rows = {key: place[numbers] for key, numbers in scan.rows.items()}
    return Plan(scan.molecules, scan.atomic_numbers, keys, n_atoms, tuple(windows), tuple(shards), rows)


def ragged_indices(starts: IntArray, lengths: IntArray) -> IntArray:
    """The indices of successive runs, such as starts (5, 0) and lengths (2, 3) -> 5 6 0 1 2."""
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    shifts = np.repeat(starts - (ends - lengths), lengths)
    return np.asarray(np.arange(total, dtype=np.int64) + shifts, dtype=np.int64)


def filled_bounds(n_atoms: IntArray, most_atoms: int, most_structures: int | None = None) -> list[int]:
    """Splits successive structures into parts, each as large as the limits of atoms and structures allow.

    Args:
        n_atoms: Number of atoms of each structure, shape (n_structures,).
        most_atoms: Maximum number of atoms in a part; a larger structure is its own part.
        most_structures: Maximum number of structures in a part; `None` for no limit.

    Returns:
        First index of each part, then the end.
    """
    ends = np.cumsum(n_atoms, dtype=np.int64)
    most = len(n_atoms) if most_structures is None else most_structures
    bounds = [0]
    while bounds[-1] < len(n_atoms):
        start = bounds[-1]
        used = int(ends[start - 1]) if start else 0
        fitting = int(np.searchsorted(ends, used + most_atoms, side="right"))
        bounds.append(min(max(fitting, start + 1), start + most))
    return bounds


def _shards(keys: Keys, bounds: Sequence[int], per_shard: int) -> list[Shard]:
    shards = []
    first = 0
    while first < len(bounds) - 1:
        limit = bounds[first] + per_shard
        beyond = next((number for number in range(first + 1, len(bounds)) if bounds[number] > limit), len(bounds))
        last = max(beyond - 1, first + 1)
        of_shard = tuple(bounds[first : last + 1])
        shards.append(Shard(_shard_name(keys, of_shard), of_shard[0], of_shard[-1], of_shard))
        first = last
    return shards


def _shard_name(keys: Keys, bounds: tuple[int, ...]) -> str:
    digest = hashlib.sha256(keys[bounds[0] : bounds[-1]].astype("<u8").tobytes())
    digest.update(" ".join(str(bound - bounds[0]) for bound in bounds).encode())
    return digest.hexdigest()[:16]
