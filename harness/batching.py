"""The work list: every frame that is needed, once, in batches of bounded size and shards of batches.

The plan depends on the frames and the size of a batch alone, never on what is done already: a run that
was killed goes on with the same batches, and so ends with the same bits.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from dataset_builders.editions import SplitName
from dataset_builders.errors import DataError, UsageError
from dataset_builders.structures import FloatArray, IntArray
from dataset_builders.tasks import TaskName
from harness.rows import ObjectArray, SplitRows
from harness.structures import StructureBatch

STRUCTURES_PER_BATCH: Final = 1024
"""Most structures of a batch, however small they are."""

STRUCTURES_PER_SHARD: Final = 256
"""Most structures of a shard, or one batch where that holds more: what a kill can cost."""

SplitKey = tuple[TaskName, SplitName]


@dataclass(frozen=True, slots=True)
class WorkList:
    """Distinct frames, the largest first, then by name; all arrays in that order.

    Attributes:
        molecule_id: Shape (n_frames,).
        trajectory: Shape (n_frames,).
        frame: Shape (n_frames,), int64.
        smiles: Shape (n_frames,).
        n_atoms: Shape (n_frames,), int64.
        atomic_numbers: Shape (n_atoms_total,).
        positions: Shape (n_atoms_total, 3), float32, Å.
    """

    molecule_id: ObjectArray
    trajectory: ObjectArray
    frame: IntArray
    smiles: ObjectArray
    n_atoms: IntArray
    atomic_numbers: IntArray
    positions: FloatArray

    def __len__(self) -> int:
        return len(self.n_atoms)

    @property
    def offsets(self) -> IntArray:
        """Where the atoms of each frame begin, and the end; shape (n_frames + 1,), int64."""
        return np.concatenate([[0], np.cumsum(self.n_atoms, dtype=np.int64)])

    def slice(self, start: int, stop: int) -> "WorkList":
        """The frames `start` to `stop` (exclusive), as views."""
        first, last = int(self.n_atoms[:start].sum()), int(self.n_atoms[:stop].sum())
        by_atom = slice(first, last)
        by_frame = slice(start, stop)
        per_atom = ("atomic_numbers", "positions")
        return WorkList(
            *(getattr(self, field.name)[by_atom if field.name in per_atom else by_frame] for field in fields(WorkList))
        )

    def as_batch(self) -> StructureBatch:
        """The frames as one batch; positions in float64, which holds the stored float32 exactly."""
        return StructureBatch(
            self.atomic_numbers.astype(np.int64),
            self.positions.astype(np.float64),
            self.n_atoms.copy(),
            tuple(self.smiles),
        )


@dataclass(frozen=True, slots=True)
class Shard:
    """Successive batches whose predictions are written to one file.

    Attributes:
        name: Digest of the shard's frames, in order, and of where its batches begin.
        start: First frame in the work list.
        stop: Frame after the last.
        bounds: Where each batch begins, and the end; numbers of frames in the work list.
    """

    name: str
    start: int
    stop: int
    bounds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be predicted, and in which batches.

    Attributes:
        work: The distinct frames.
        shards: Consecutive pieces of the work list.
        rows: For each split, the place in the work list of each of its rows.
    """

    work: WorkList
    shards: tuple[Shard, ...]
    rows: Mapping[SplitKey, IntArray]

    def share(self, rank: int, world_size: int) -> "Plan":
        """The shards that are for one of several processes; together they have each shard once."""
        return Plan(self.work, self.shards[rank::world_size], self.rows)

    @property
    def n_structures(self) -> int:
        """How many structures its shards hold."""
        return sum(shard.stop - shard.start for shard in self.shards)


def make_plan(splits: Mapping[SplitKey, SplitRows], batch_atoms: int) -> Plan:
    """Plans the prediction of some splits; a frame that several of them hold is predicted once.

    Args:
        splits: Rows by task and split.
        batch_atoms: Most atoms in a batch; a larger molecule gets a batch of its own.

    Raises:
        UsageError: If `batch_atoms` is not positive.
        DataError: If two splits hold different geometries under one name.
    """
    if batch_atoms < 1:
        raise UsageError(f"--batch-atoms {batch_atoms}; expected 1 or more")
    work, rows = _distinct_frames(splits)
    return Plan(work, tuple(_shards(work, _batch_bounds(work.n_atoms, batch_atoms))), rows)


def _distinct_frames(splits: Mapping[SplitKey, SplitRows]) -> tuple[WorkList, dict[SplitKey, IntArray]]:
    parts = list(splits.values())
    together = WorkList(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(WorkList)))
    keys = list(zip(together.molecule_id, together.trajectory, together.frame.tolist(), strict=True))
    first: dict[tuple[str, str, int], int] = {}
    for number, key in enumerate(keys):
        first.setdefault(key, number)
    original = np.array([first[key] for key in keys], dtype=np.int64)
    _require_same_geometry(together, original, splits)
    distinct = np.array(
        sorted(first.values(), key=lambda number: (-int(together.n_atoms[number]), keys[number])), dtype=np.int64
    )
    place = np.empty(len(keys), dtype=np.int64)
    place[distinct] = np.arange(len(distinct))
    ends = np.cumsum([len(part) for part in parts])[:-1]
    rows: dict[SplitKey, IntArray] = dict(zip(splits, np.split(place[original], ends), strict=True))
    return _reordered(together, distinct), rows


def _reordered(work: WorkList, order: IntArray) -> WorkList:
    atoms = ragged_indices(work.offsets[order], work.n_atoms[order])
    per_atom = ("atomic_numbers", "positions")
    return WorkList(*(getattr(work, f.name)[atoms if f.name in per_atom else order] for f in fields(WorkList)))


def ragged_indices(starts: IntArray, lengths: IntArray) -> IntArray:
    """The indices of successive runs, such as starts (5, 0) and lengths (2, 3) -> 5 6 0 1 2."""
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    shifts = np.repeat(starts - (ends - lengths), lengths)
    return np.asarray(np.arange(total, dtype=np.int64) + shifts, dtype=np.int64)


def _require_same_geometry(work: WorkList, original: IntArray, splits: Mapping[SplitKey, SplitRows]) -> None:
    repeated = np.flatnonzero(original != np.arange(len(original)))
    twins = original[repeated]
    different = (work.n_atoms[repeated] != work.n_atoms[twins]) | (work.smiles[repeated] != work.smiles[twins])
    if not different.any():
        lengths = work.n_atoms[repeated]
        mine = ragged_indices(work.offsets[repeated], lengths)
        theirs = ragged_indices(work.offsets[twins], lengths)
        unequal = (work.positions[mine] != work.positions[theirs]).any(axis=1)
        unequal |= work.atomic_numbers[mine] != work.atomic_numbers[theirs]
        different = np.bincount(np.repeat(np.arange(len(lengths)), lengths)[unequal], minlength=len(lengths)) > 0
    if different.any():
        culprit = int(repeated[int(np.flatnonzero(different)[0])])
        tasks = " ".join(dict.fromkeys(task for task, _ in splits))
        raise DataError(
            f"{work.trajectory[culprit]} frame {work.frame[culprit]} of {work.molecule_id[culprit]} stands in several "
            f"splits of {tasks} with different geometries; build the data set again with one command"
        )


def _batch_bounds(n_atoms: IntArray, batch_atoms: int) -> list[int]:
    ends = np.cumsum(n_atoms, dtype=np.int64)
    bounds = [0]
    while bounds[-1] < len(n_atoms):
        start = bounds[-1]
        used = int(ends[start - 1]) if start else 0
        fitting = int(np.searchsorted(ends, used + batch_atoms, side="right"))
        bounds.append(min(max(fitting, start + 1), start + STRUCTURES_PER_BATCH))
    return bounds


def _shards(work: WorkList, bounds: Sequence[int]) -> list[Shard]:
    shards = []
    first = 0
    while first < len(bounds) - 1:
        limit = bounds[first] + STRUCTURES_PER_SHARD
        beyond = next((number for number in range(first + 1, len(bounds)) if bounds[number] > limit), len(bounds))
        last = max(beyond - 1, first + 1)
        of_shard = tuple(bounds[first : last + 1])
        shards.append(Shard(_shard_name(work, of_shard), of_shard[0], of_shard[-1], of_shard))
        first = last
    return shards


def _shard_name(work: WorkList, bounds: tuple[int, ...]) -> str:
    digest = hashlib.sha256()
    for number in range(bounds[0], bounds[-1]):
        digest.update(f"{work.molecule_id[number]}\t{work.trajectory[number]}\t{work.frame[number]}\n".encode())
    digest.update(" ".join(str(bound - bounds[0]) for bound in bounds).encode())
    return digest.hexdigest()[:16]
