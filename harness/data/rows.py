"""Rows of a split as flat arrays, read and checked in Arrow batches, never row by row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.arrow_arrays import numpy_of
from dataset_builders.core.errors import DataError
from dataset_builders.core.shown import shown
from dataset_builders.folder.schema import COLUMNS
from dataset_builders.tasks.editions import FRAMES_PER_BURST, TRAJECTORIES, SplitName
from dataset_builders.tasks.regions import TaskName
from harness.data.dataset import DataFile, PinnedDataset, corrupt_file, open_parquet, remedy_for, split_files

ObjectArray: TypeAlias = npt.NDArray[np.object_]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

ROWS_PER_BATCH: Final = 4096
REFERENCE_BURSTS: Final = 5
HEAVIEST_ELEMENT: Final = 118


@dataclass(frozen=True, slots=True)
class SplitRows:
    """The rows of a split.

    Attributes:
        molecule_id: Shape (n_rows,), text; so are the next four.
        smiles: Canonical SMILES.
        left: Terminal fragment.
        right: Terminal fragment.
        subset: `near`, `far` or empty.
        trajectory: `primary` or `secondary`.
        spacer: Number of CH2 groups, shape (n_rows,), int64.
        frame: Index in the trajectory, shape (n_rows,), int64.
        n_atoms: Shape (n_rows,), int64.
        atomic_numbers: Shape (n_atoms_total,), uint8.
        positions: Shape (n_atoms_total, 3), float32, Å.
        energy: Shape (n_rows,), float64, eV.
        forces: Shape (n_atoms_total, 3), float32, eV/Å.
    """

    molecule_id: ObjectArray
    smiles: ObjectArray
    left: ObjectArray
    right: ObjectArray
    subset: ObjectArray
    trajectory: ObjectArray
    spacer: IntArray
    frame: IntArray
    n_atoms: IntArray
    atomic_numbers: IntArray
    positions: FloatArray
    energy: FloatArray
    forces: FloatArray

    def __len__(self) -> int:
        return len(self.n_atoms)

    @property
    def offsets(self) -> IntArray:
        """First atom of each row, then the total; shape (n_rows + 1,), int64."""
        return np.concatenate([[0], np.cumsum(self.n_atoms, dtype=np.int64)])


def stream_split(dataset: PinnedDataset, task: TaskName, split: SplitName) -> Iterator[SplitRows]:
    """Reads a split in pieces, in the order of its files; memory does not grow with the size of the split.

    The caller, who sees all pieces, must check that no frame occurs twice.

    Raises:
        DataError: If a file is absent or corrupt, a column is missing, or a row breaks the schema; the
            message names file, row, molecule, frame and value.
    """
    n_rows = 0
    for path in split_files(dataset.directory, task, split, dataset.level):
        for rows in _read_file(path):
            n_rows += len(rows)
            yield rows
    if not n_rows:
        raise DataError(f"{split} of {task} in {dataset.directory} has no usable rows; build the data set again")


def stream_reference_rows(dataset: PinnedDataset, task: TaskName) -> Iterator[SplitRows]:
    """Reads in pieces the rows of `train` to which the reference shift is fitted.

    These are the first frame of each of the first five bursts of every training molecule. Frames of a
    molecule share one composition, so more of them would hardly improve the fit of per-element energies,
    and predicting all of `train` would cost more than the test.

    Raises:
        DataError: As `stream_split`.
    """
    n_rows = 0
    for rows in map(reference_frames, stream_split(dataset, task, "train")):
        n_rows += len(rows)
        if len(rows):
            yield rows
    if not n_rows:
        raise DataError(f"train of {task} in {dataset.directory} has no usable rows; build the data set again")


def read_split(dataset: PinnedDataset, task: TaskName, split: SplitName) -> SplitRows:
    """Reads a complete split.

    Raises:
        DataError: As `stream_split`, or if a frame occurs twice.
    """
    rows = concatenated(list(stream_split(dataset, task, split)))
    require_distinct(rows, f"{split} of {task} in {dataset.directory}")
    return rows


def concatenated(parts: Sequence[SplitRows]) -> SplitRows:
    """Joins one or more pieces of a split."""
    return SplitRows(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(SplitRows)))


def _read_file(path: DataFile) -> Iterator[SplitRows]:
    with open_parquet(path) as file:
        first_row = 0
        columns = [name for name, _, _ in COLUMNS]
        try:
            # Over a network, columns are read in file order, one after another, with read-ahead.
            is_here = isinstance(path, Path)
            for batch in file.iter_batches(batch_size=ROWS_PER_BATCH, columns=columns, use_threads=is_here):
                rows = _checked(batch, path, first_row)
                first_row += batch.num_rows
                yield rows
        # Text that is not UTF-8 is read as it is, and raises a ValueError where it becomes text of Python.
        except (OSError, ValueError, pa.ArrowException) as cause:
            raise corrupt_file(path, cause) from cause


def _checked(batch: pa.RecordBatch, path: DataFile, first_row: int) -> SplitRows:
    _require_no_nulls(batch, path, first_row)
    n_atoms = _numbers(batch, "n_atoms").astype(np.int64)
    where = _Where(path, first_row, batch)
    where.require(n_atoms >= 1, "n_atoms", n_atoms, "1 or more")
    for name, per_atom in (("atomic_numbers", 1), ("positions", 3), ("forces", 3)):
        lengths = numpy_of(pc.list_value_length(batch.column(name)))
        where.require(lengths == per_atom * n_atoms, f"length of {name}", lengths, f"{per_atom} x n_atoms")
    rows = SplitRows(
        **{name: _texts(batch, name) for name in ("molecule_id", "smiles", "left", "right", "subset", "trajectory")},
        spacer=_numbers(batch, "spacer").astype(np.int64),
        frame=_numbers(batch, "frame").astype(np.int64),
        n_atoms=n_atoms,
        atomic_numbers=_flat(batch, "atomic_numbers"),
        positions=_flat(batch, "positions").reshape(-1, 3),
        energy=_numbers(batch, "energy"),
        forces=_flat(batch, "forces").reshape(-1, 3),
    )
    _require_sensible(rows, where)
    return rows


def _require_sensible(rows: SplitRows, where: "_Where") -> None:
    numbers = rows.atomic_numbers
    where.require(np.isfinite(rows.energy), "energy", rows.energy, "a finite number")
    where.require(rows.frame >= 0, "frame", rows.frame, "0 or more")
    where.require(np.isin(rows.trajectory, TRAJECTORIES), "trajectory", rows.trajectory, " or ".join(TRAJECTORIES))
    where.require(np.isin(rows.subset, ("", "near", "far")), "subset", rows.subset, "near, far or empty")
    in_table = (numbers >= 1) & (numbers <= HEAVIEST_ELEMENT)
    where.require_atoms(in_table, "atomic number", numbers, f"1 to {HEAVIEST_ELEMENT}", rows.offsets)
    for name in ("positions", "forces"):
        values = getattr(rows, name)
        finite = np.isfinite(values).all(axis=1)
        where.require_atoms(finite, name, values, "finite numbers", rows.offsets)


@dataclass(frozen=True, slots=True)
class _Where:
    """Position of a batch in its file, to report which row breaks a rule."""

    path: DataFile
    first_row: int
    batch: pa.RecordBatch

    def require(self, ok: BoolArray, name: str, values: npt.NDArray[Any], expected: str) -> None:
        """Checks one rule on every row; `ok` and `values` have shape (n_rows,)."""
        if not ok.all():
            row = int(np.flatnonzero(~ok)[0])
            raise self.error(row, f"{name} is {shown(str(values[row]))}", expected)

    def require_atoms(
        self, ok: BoolArray, name: str, values: npt.NDArray[Any], expected: str, offsets: IntArray
    ) -> None:
        """Checks one rule on every atom; `ok` has shape (n_atoms_total,)."""
        if not ok.all():
            atom = int(np.flatnonzero(~ok)[0])
            row = int(np.searchsorted(offsets, atom, side="right")) - 1
            raise self.error(row, f"{name} of atom {atom - int(offsets[row])} is {values[atom]!s}", expected)

    def error(self, row: int, found: str, expected: str) -> DataError:
        """The error for a row of the batch."""
        named = [shown(str(self.batch.column(name)[row].as_py())) for name in ("molecule_id", "trajectory", "frame")]
        return DataError(
            f"{self.path} row {self.first_row + row} (molecule_id {named[0]}, {named[1]} frame {named[2]}): "
            f"{found}; expected {expected}. To fix it, {remedy_for(self.path)}"
        )


def _require_no_nulls(batch: pa.RecordBatch, path: DataFile, first_row: int) -> None:
    where = _Where(path, first_row, batch)
    for name, kind, _ in COLUMNS:
        column = batch.column(name)
        valid = numpy_of(column.is_valid())
        where.require(valid, name, np.where(valid, "", "null"), "a value")
        if pa.types.is_list(kind) and column.flatten().null_count:
            item = int(np.flatnonzero(numpy_of(column.flatten().is_null()))[0])
            row = pc.list_parent_indices(column)[item].as_py()
            raise where.error(row, f"an item of {name} is null", "numbers")


def repeated_frame(what: str, trajectory: str, frame: int, molecule_id: str) -> DataError:
    """The error for a frame that occurs twice in a split."""
    return DataError(
        f"{what} contains {trajectory} frame {frame} of {shown(molecule_id)} more than once; build the data set again"
    )


class FrameNames(Protocol):
    """The names of the frames of a split, each of shape (n_rows,)."""

    @property
    def molecule_id(self) -> ObjectArray:
        """Text."""

    @property
    def trajectory(self) -> ObjectArray:
        """`primary` or `secondary`."""

    @property
    def frame(self) -> IntArray:
        """Index in the trajectory."""


def require_distinct(rows: FrameNames, what: str) -> None:
    """Checks that no frame occurs twice.

    Args:
        rows: The frames of a split.
        what: The split, for the message.

    Raises:
        DataError: If one does.
    """
    order = np.lexsort((rows.frame, rows.trajectory, rows.molecule_id))
    columns = (rows.molecule_id[order], rows.trajectory[order], rows.frame[order])
    same = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
    if same.any():
        first = int(np.flatnonzero(same)[0])
        molecule_id, trajectory, frame = (column[first] for column in columns)
        raise repeated_frame(what, trajectory, frame, molecule_id)


def reference_frames(rows: SplitRows) -> SplitRows:
    """Those rows of a piece of `train` to which the reference shift is fitted; see `stream_reference_rows`."""
    return selected(rows, (rows.frame % FRAMES_PER_BURST == 0) & (rows.frame < REFERENCE_BURSTS * FRAMES_PER_BURST))


def selected(rows: SplitRows, wanted: BoolArray) -> SplitRows:
    """Some rows of a split, in their order.

    Args:
        rows: The split, or a piece of it.
        wanted: Which rows, shape (n_rows,).
    """
    atoms = np.repeat(wanted, rows.n_atoms)
    per_atom = ("atomic_numbers", "positions", "forces")
    return SplitRows(
        *(getattr(rows, field.name)[atoms if field.name in per_atom else wanted] for field in fields(SplitRows))
    )


def _numbers(batch: pa.RecordBatch, name: str) -> npt.NDArray[Any]:
    return numpy_of(batch.column(name))


def _flat(batch: pa.RecordBatch, name: str) -> npt.NDArray[Any]:
    # flatten() and not .values: the latter ignores the offset of a sliced list array.
    return numpy_of(batch.column(name).flatten())


def _texts(batch: pa.RecordBatch, name: str) -> ObjectArray:
    # Through a dictionary, so that the many rows of a molecule share one text.
    encoded = batch.column(name).dictionary_encode()
    texts = np.array(encoded.dictionary.to_pylist(), dtype=object)
    return np.asarray(texts[numpy_of(encoded.indices)])
