"""The first pass over a data set: checks every row, and keeps only what identifies each frame.

This takes some tens of bytes per frame, so that millions of frames fit in memory beside the model. Positions and
labels are read again, in pieces, when they are needed.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import DataError
from dataset_builders.core.shown import shown
from dataset_builders.tasks.editions import TRAJECTORIES, SplitName
from dataset_builders.tasks.regions import TaskName
from harness.data.dataset import PinnedDataset
from harness.data.rows import SplitRows, repeated_frame, stream_reference_rows, stream_split

SplitKey = tuple[TaskName, SplitName]
Keys: TypeAlias = npt.NDArray[np.uint64]

SPLITS_NEEDED: Final[tuple[SplitName, ...]] = ("train", "test_id", "test_ood")
TEST_SPLITS: Final[tuple[SplitName, ...]] = ("test_id", "test_ood")

_TRAJECTORY_BIT: Final = np.uint64(31)  # frames are int32 and not negative
_MOLECULE_BITS: Final = np.uint64(32)
_FRAME: Final = np.uint64(2**31 - 1)
_MIX: Final = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], dtype=np.uint64
)
"""Arbitrary odd constants that spread the bits of positions and elements over a checksum."""


@dataclass(frozen=True, slots=True)
class FrameScan:
    """The distinct frames of some splits, in the order of first occurrence.

    Attributes:
        molecules: Names, ascending.
        atomic_numbers: Elements of each molecule, in the order of its atoms.
        keys: Molecule (its index in `molecules`), trajectory and frame packed into one integer, shape (n_frames,); see
            `FrameNames`.
        n_atoms: Shape (n_frames,), int32.
        rows: For each split, the frame index of each of its rows; int32.
    """

    molecules: tuple[str, ...]
    atomic_numbers: Mapping[str, IntArray]
    keys: Keys
    n_atoms: IntArray
    rows: Mapping[SplitKey, IntArray]


@dataclass(frozen=True, slots=True)
class FrameNames:
    """Names of some frames.

    Attributes:
        molecule_id: Shape (n_frames,), text.
        trajectory: Shape (n_frames,), text.
        frame: Shape (n_frames,), int32.
    """

    molecule_id: npt.NDArray[np.object_]
    trajectory: npt.NDArray[np.object_]
    frame: IntArray

    @classmethod
    def of(cls, keys: Keys, molecules: Sequence[str]) -> "FrameNames":
        """Unpacks keys; `molecules` are those of the scan."""
        trajectory = (keys >> _TRAJECTORY_BIT).astype(np.int64) & 1
        return cls(
            np.array(molecules, dtype=object)[(keys >> _MOLECULE_BITS).astype(np.int64)],
            np.array(TRAJECTORIES, dtype=object)[trajectory],
            (keys & _FRAME).astype(np.int32),
        )


def stream_needed(dataset: PinnedDataset, key: SplitKey) -> Iterator[SplitRows]:
    """The rows of a split that an evaluation needs; of `train`, those to which the reference shift is fitted.

    Raises:
        DataError: If they cannot be read or break the schema.
    """
    task, split = key
    return stream_reference_rows(dataset, task) if split == "train" else stream_split(dataset, task, split)


def scan_dataset(dataset: PinnedDataset, tasks: Sequence[TaskName]) -> FrameScan:
    """Reads and checks all frames that an evaluation of some tasks needs.

    The only split that a data set may leave out on purpose is `train`; it is then absent from the scan.

    Raises:
        DataError: As `scan_splits` and `stream_needed`, or if a test split is left out.
    """
    keys: list[SplitKey] = [(task, split) for task in tasks for split in SPLITS_NEEDED]
    for task, split in keys:
        if (task, split) in dataset.left_out and split in TEST_SPLITS:
            raise DataError(
                f"{dataset.directory} has no frames of {split} of {dataset.level.config(task)}, as its files state; "
                f"an evaluation needs {' and '.join(TEST_SPLITS)}. Label them too, or choose other tasks with --task"
            )
    keys = [key for key in keys if key not in dataset.left_out]
    return scan_splits({key: stream_needed(dataset, key) for key in keys}, str(dataset.directory))


def scan_splits(splits: Mapping[SplitKey, Iterable[SplitRows]], place: str = "the data set") -> FrameScan:
    """Finds the distinct frames of some splits.

    Args:
        splits: Rows by task and split, in pieces.
        place: Where they come from, for messages.

    Raises:
        DataError: If a frame occurs twice in a split, two splits have different geometries under one name, a molecule
            has two SMILES, or training and OOD test of a task share a molecule.
    """
    seen = _Seen()
    tables = {key: _table(pieces, seen) for key, pieces in splits.items()}
    molecules, in_order = seen.sorted_names()
    for table in tables.values():
        code = in_order[(table.keys >> _MOLECULE_BITS).astype(np.int64)].astype(np.uint64)
        table.keys &= np.uint64(2**32 - 1)
        table.keys |= code << _MOLECULE_BITS
    # Arrow's memory pool would otherwise stay allocated beside the model for the whole run.
    pa.default_memory_pool().release_unused()
    for task in dict.fromkeys(task for task, _ in tables):
        _require_unseen_ood(tables, task, molecules, place)
    return _merged(tables, molecules, seen, place)


@dataclass(slots=True)
class _Seen:
    """The molecules read so far, by name."""

    codes: dict[str, int] = field(default_factory=dict)
    smiles: list[str] = field(default_factory=list)
    atomic_numbers: list[IntArray] = field(default_factory=list)

    def codes_of(self, rows: SplitRows) -> IntArray:
        """Code of the molecule of each row, numbered by first occurrence; shape (n_rows,)."""
        codes = np.array([self.codes.get(name, -1) for name in rows.molecule_id], dtype=np.int64)
        for row in np.flatnonzero(codes < 0).tolist():
            code = self.codes.setdefault(rows.molecule_id[row], len(self.codes))
            if code == len(self.smiles):
                self.smiles.append(rows.smiles[row])
                start = int(rows.n_atoms[:row].sum())
                self.atomic_numbers.append(rows.atomic_numbers[start : start + int(rows.n_atoms[row])].copy())
            codes[row] = code
        known = np.array(self.smiles, dtype=object)[codes]
        differs = np.flatnonzero(known != rows.smiles)
        if len(differs):
            at = int(differs[0])
            raise DataError(
                f"{shown(rows.molecule_id[at])} has the SMILES {shown(known[at])} in one row and "
                f"{shown(rows.smiles[at])} in another; expected one. Build the data set again with one command"
            )
        return codes

    def sorted_names(self) -> tuple[tuple[str, ...], IntArray]:
        """The names, ascending, and the index of each code among them."""
        names = sorted(self.codes)
        places = np.empty(len(names), dtype=np.int64)
        places[[self.codes[name] for name in names]] = np.arange(len(names))
        return tuple(names), places


@dataclass(slots=True)
class _Table:
    """Frames of one split: keys and checksums of their geometries, shape (n_rows,)."""

    keys: Keys
    n_atoms: IntArray
    checksums: Keys


def _table(pieces: Iterable[SplitRows], seen: _Seen) -> _Table:
    # Arrays that grow in place: many small ones would fragment the memory of the process.
    keys, n_atoms, checksums = array("Q"), array("i"), array("Q")
    for rows in pieces:
        code = seen.codes_of(rows).astype(np.uint64) << _MOLECULE_BITS
        trajectory = (rows.trajectory == TRAJECTORIES[1]).astype(np.uint64) << _TRAJECTORY_BIT
        keys.frombytes((code | trajectory | rows.frame.astype(np.uint64)).tobytes())
        n_atoms.frombytes(rows.n_atoms.astype(np.int32).tobytes())
        checksums.frombytes(_checksums(rows).tobytes())
    return _Table(
        np.frombuffer(keys, dtype=np.uint64),
        np.frombuffer(n_atoms, dtype=np.int32),
        np.frombuffer(checksums, np.uint64),
    )


def _checksums(rows: SplitRows) -> Keys:
    """Checksum of the elements and positions of each row, bit by bit; shape (n_rows,)."""
    starts = rows.offsets[:-1]
    bits = np.ascontiguousarray(rows.positions, dtype=np.float32).view(np.uint32).astype(np.uint64)
    atoms = bits @ _MIX[:3] + rows.atomic_numbers.astype(np.uint64) * _MIX[3]
    atoms ^= atoms >> np.uint64(29)
    place = np.arange(len(atoms), dtype=np.uint64) - np.repeat(starts, rows.n_atoms).astype(np.uint64)
    return np.add.reduceat(atoms * (place * _MIX[1] | np.uint64(1)), starts)


def _require_unseen_ood(
    tables: Mapping[SplitKey, _Table], task: TaskName, molecules: Sequence[str], place: str
) -> None:
    def names(split: SplitName) -> set[str]:
        if (task, split) not in tables:
            return set()
        return {molecules[code] for code in np.unique((tables[task, split].keys >> _MOLECULE_BITS).astype(np.int64))}

    shared = sorted((names("train") | names("test_id")) & names("test_ood"))
    if shared:
        raise DataError(
            f"{len(shared)} molecules of {task} in {place} occur in training and in test_ood, first "
            f"{shown(shared[0])}; expected none. Build the data set again"
        )


def _merged(tables: Mapping[SplitKey, _Table], molecules: tuple[str, ...], seen: _Seen, place: str) -> FrameScan:
    keys = np.concatenate([table.keys for table in tables.values()])
    first, numbers = _first_and_numbers(keys)
    checksums = np.concatenate([table.checksums for table in tables.values()])
    different = np.flatnonzero(checksums != checksums[first[numbers]])
    if len(different):
        names = FrameNames.of(keys[different[:1]], molecules)
        tasks = " ".join(dict.fromkeys(task for task, _ in tables))
        raise DataError(
            f"{names.trajectory[0]} frame {names.frame[0]} of {names.molecule_id[0]} occurs in several "
            f"splits of {tasks} with different geometries; build the data set again with one command"
        )
    ends = np.cumsum([len(table.keys) for table in tables.values()])[:-1]
    rows = dict(zip(tables, np.split(numbers, ends), strict=True))
    for (task, split), of_split in rows.items():
        _require_distinct(of_split, keys[first], molecules, f"{split} of {task} in {place}")
    n_atoms = np.concatenate([table.n_atoms for table in tables.values()])[first]
    elements = {name: seen.atomic_numbers[seen.codes[name]] for name in molecules}
    return FrameScan(molecules, elements, keys[first], n_atoms, rows)


def _first_and_numbers(keys: Keys) -> tuple[IntArray, IntArray]:
    """First occurrence of each distinct key, in that order, and the number of each key; int32."""
    order = np.argsort(keys, kind="stable").astype(np.int32)
    begins = np.empty(len(keys), dtype=np.bool_)
    begins[:1] = True
    np.not_equal(keys[order[1:]], keys[order[:-1]], out=begins[1:])
    first = order[begins]
    # The sort is stable, so the first of equal keys is the one read first.
    in_reading_order = np.argsort(first)
    number = np.empty(len(first), dtype=np.int32)
    number[in_reading_order] = np.arange(len(first), dtype=np.int32)
    numbers = np.empty(len(keys), dtype=np.int32)
    numbers[order] = number[np.cumsum(begins, dtype=np.int32) - 1]
    return first[in_reading_order], numbers


def _require_distinct(numbers: IntArray, keys: Keys, molecules: Sequence[str], what: str) -> None:
    repeated = np.flatnonzero(np.bincount(numbers, minlength=len(keys)) > 1)
    if len(repeated):
        names = FrameNames.of(keys[repeated[:1]], molecules)
        raise repeated_frame(what, str(names.trajectory[0]), int(names.frame[0]), str(names.molecule_id[0]))
