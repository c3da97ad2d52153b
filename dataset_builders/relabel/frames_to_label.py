"""Reads the frames to relabel from a data-set folder, one row group at a time.

Only some forty bytes per frame stay in memory, so an edition of any size needs little memory; geometries are
stored in a temporary file until they are used.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.certify.row_checks import edition_of, frame_counts_of, method_of, usable_metadata
from dataset_builders.chemistry.levels import Level
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.arrow_arrays import UNREADABLE
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.folder.schema import SCHEMA, schema_problems
from dataset_builders.folder.split_files import parts_problem
from dataset_builders.relabel.label_store import KEY_BYTES, KeyArray
from dataset_builders.tasks.editions import SPLITS, SplitName
from dataset_builders.tasks.regions import Task

SPLITS_NEEDED: Final[tuple[SplitName, ...]] = ("train", "test_id", "test_ood")
"""Splits that need at least one frame of each molecule: `train` for the certificate and for the
reference energies, which are fitted on training molecules only."""

ROWS_AT_A_TIME: Final = 2_000
GEOMETRY: Final = ("atomic_numbers", "positions")
NAME: Final = ("molecule_id", "trajectory", "frame")


@dataclass(frozen=True, slots=True)
class RelabelSettings:
    """Settings of a relabelling.

    Attributes:
        source: Data-set folder of the geometries.
        source_level: Level of theory of the configurations that provide the geometries.
        tasks: Tasks to relabel.
        level: Level of theory of the new labels.
        frame_counts: Frames per molecule, by split; all frames of a split that is not listed.
        out: Data-set folder for the new configurations; may be `source`.
        work_dir: Folder of finished labels.
        labels_from: Folders of kept labels (`kept_labels`), which are reused.
        cheapest_first: Whether to start with small molecules, for a run that may be interrupted.
    """

    source: Path
    source_level: Level
    tasks: tuple[Task, ...]
    level: Level
    frame_counts: Mapping[SplitName, int]
    out: Path
    work_dir: Path
    labels_from: tuple[Path, ...] = ()
    cheapest_first: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A geometry to label.

    Attributes:
        name: Molecule, trajectory and number of the frame, for messages.
        key: Hash of elements and positions, which identifies its label.
        atomic_numbers: Shape (n_atoms,).
        positions: Shape (n_atoms, 3), float32, Å.
    """

    name: str
    key: bytes
    atomic_numbers: IntArray
    positions: FloatArray

    @property
    def cost(self) -> float:
        """Estimated cost, arbitrary units; the exponent approximates measured times of a hybrid functional."""
        return float(cost_of(len(self.atomic_numbers)))


@dataclass(frozen=True, slots=True, eq=False)
class FrameList:
    """Frames without their geometries, as columns.

    Attributes:
        keys: Hash of elements and positions of each frame, which identifies its label.
        n_atoms: Number of atoms of each frame.
        molecules: Index of the molecule of each frame in `names`.
        trajectories: Index of the trajectory of each frame in `names`.
        frames: Number of each frame in its trajectory.
        names: Ids of molecules and names of trajectories.
    """

    keys: KeyArray
    n_atoms: npt.NDArray[np.int32]
    molecules: npt.NDArray[np.int32]
    trajectories: npt.NDArray[np.int32]
    frames: npt.NDArray[np.int32]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def costs(self) -> npt.NDArray[np.float64]:
        """Estimated cost of each frame, on the scale of `Frame.cost`."""
        return np.asarray(cost_of(self.n_atoms))

    def name(self, index: int) -> str:
        """Molecule, trajectory and number of a frame, for messages."""
        return f"{self.names[self.molecules[index]]} {self.names[self.trajectories[index]]} {int(self.frames[index])}"

    def take(self, which: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "FrameList":
        """Selects frames by index or mask."""
        return FrameList(
            self.keys[which],
            self.n_atoms[which],
            self.molecules[which],
            self.trajectories[which],
            self.frames[which],
            self.names,
        )


def cost_of(n_atoms: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Estimated cost of the label of a molecule, arbitrary units."""
    return np.asarray(np.asarray(n_atoms, np.float64) ** 2.5)


def parse_frame_counts(texts: Sequence[str]) -> dict[SplitName, int]:
    """Parses texts such as `test_id=4`.

    Raises:
        UsageError: If a text lacks a valid split or number of frames.
    """
    counts: dict[SplitName, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        split = next((each for each in SPLITS if each == name), None)
        if split is None or not (number.isascii() and number.isdigit()):
            raise UsageError(f"--subset {text}; expected SPLIT=N, where SPLIT is one of {' '.join(SPLITS)}")
        counts[split] = int(number)
    return counts


def frames_to_label(settings: RelabelSettings) -> FrameList:
    """All frames of the new configurations, each once, the most expensive first unless the settings differ.

    In this order workers finish at similar times, and a lack of memory shows early.

    Raises:
        UsageError: If more frames are requested than exist, or none of a required split.
        DataError: If the source is absent or corrupt.
    """
    _require_sound(settings)
    every = _frames_of(settings, settings.tasks)
    _, first = np.unique(every.keys, return_index=True)
    once = every.take(np.sort(first))
    return once.take(np.argsort(once.costs if settings.cheapest_first else -once.costs, kind="stable"))


def frames_of_task(settings: RelabelSettings, task: Task) -> FrameList:
    """All frames of the new configuration of one task.

    Raises:
        MlipOodError: As `frames_to_label` does.
    """
    return _frames_of(settings, (task,))


def _require_sound(settings: RelabelSettings) -> None:
    if settings.level == settings.source_level:
        raise UsageError(_same_level(settings))
    for split in SPLITS_NEEDED:
        if settings.frame_counts.get(split) == 0:
            raise UsageError(f"--subset {split}=0; expected 1 or more frames of each molecule in {split}")


def _same_level(settings: RelabelSettings) -> str:
    """Why frames cannot be taken from configurations whose names the new ones would have."""
    name = settings.level.name
    for config in [settings.source_level.config(task.name) for task in settings.tasks]:
        for path in sorted((settings.source / config).glob("*.parquet")):
            method = method_of(usable_metadata(_schema_of(path)))
            if method not in ("", settings.level.method):
                return (
                    f"--labels {name}: the new configuration would take the name of its source, {config}, whose labels "
                    f"are {method}; expected a level with a name of its own. Name another one with --labels"
                )
    return f"--labels {name} is the level of theory of the source; expected another one"


def _frames_of(settings: RelabelSettings, tasks: Sequence[Task]) -> FrameList:
    numbers: dict[str, int] = {}
    parts = [_columns(SCHEMA.empty_table(), numbers)]
    for task in tasks:
        for split in SPLITS:
            rows = chosen_rows(settings, task, split)
            parts.extend(_columns(table, numbers) for table in rows.tables((*NAME, *GEOMETRY)))
    return FrameList(
        keys=np.concatenate([part.keys for part in parts]),
        n_atoms=np.concatenate([part.n_atoms for part in parts]),
        molecules=np.concatenate([part.molecules for part in parts]),
        trajectories=np.concatenate([part.trajectories for part in parts]),
        frames=np.concatenate([part.frames for part in parts]),
        names=tuple(numbers),
    )


def _columns(table: pa.Table, numbers: dict[str, int]) -> FrameList:
    """The frames of some rows; the index of each new name is added to `numbers`."""
    return FrameList(
        keys=keys_of(table),
        n_atoms=pc.list_value_length(table["atomic_numbers"]).to_numpy().astype(np.int32),
        molecules=_numbered(table["molecule_id"], numbers),
        trajectories=_numbered(table["trajectory"], numbers),
        frames=table["frame"].to_numpy().astype(np.int32),
        names=(),
    )


def _numbered(column: pa.ChunkedArray, numbers: dict[str, int]) -> npt.NDArray[np.int32]:
    encoded = column.combine_chunks().dictionary_encode()
    values = [numbers.setdefault(name, len(numbers)) for name in encoded.dictionary.to_pylist()]
    return np.asarray(np.array(values, np.int32)[encoded.indices.to_numpy()])


def keys_of(table: pa.Table) -> KeyArray:
    """Keys of the frames in the rows of a table, shape (n_rows,)."""
    keys = [
        hashlib.blake2b(numbers.tobytes() + positions.tobytes(), digest_size=KEY_BYTES).digest()
        for numbers, positions in geometries_of(table)
    ]
    return np.array(keys, f"S{KEY_BYTES}")


def geometries_of(table: pa.Table) -> Iterator[tuple[IntArray, FloatArray]]:
    """Atomic numbers, uint8, and flat positions, float32, Å, of each row."""
    columns = []
    for name, kind in (("atomic_numbers", np.uint8), ("positions", np.float32)):
        column = table[name].combine_chunks()
        ends = np.cumsum(pc.list_value_length(column).to_numpy(zero_copy_only=False), dtype=np.int64)
        columns.append((column.flatten().to_numpy(zero_copy_only=False).astype(kind, copy=False), ends))
    (numbers, number_ends), (positions, position_ends) = columns
    start, position_start = 0, 0
    for end, position_end in zip(number_ends, position_ends, strict=True):
        yield numbers[start:end], positions[position_start:position_end]
        start, position_start = end, position_end


@dataclass(frozen=True, slots=True, eq=False)
class ChosenRows:
    """The selected rows of a split of the source.

    Attributes:
        paths: Files of the split.
        schema: Schema of the first file, with the metadata of the source.
        frames: Numbers of the selected frames; `None` for all.
    """

    paths: tuple[Path, ...]
    schema: pa.Schema
    frames: pa.Array | None

    def __bool__(self) -> bool:
        return any(table.num_rows for table in self.tables(("frame",)))

    def tables(self, columns: Sequence[str] = SCHEMA.names) -> Iterator[pa.Table]:
        """The rows, in order and in chunks.

        Args:
            columns: Columns to read, including `frame`.

        Raises:
            DataError: If a file cannot be read.
        """
        for path in self.paths:
            for table in tables_of(path, columns):
                yield table if self.frames is None else table.filter(pc.is_in(table["frame"], self.frames))


def chosen_rows(settings: RelabelSettings, task: Task, split: SplitName) -> ChosenRows:
    """Selects the rows of the source for the new configuration.

    Raises:
        UsageError: If more frames per molecule are requested than exist.
        DataError: If the source is absent or corrupt.
    """
    folder = settings.source / settings.source_level.config(task.name)
    paths = tuple(sorted(folder.glob(f"{split}-*.parquet")))
    count = settings.frame_counts.get(split, _frame_counts_of_folder(folder).get(split))
    if count == 0:
        return ChosenRows((), SCHEMA, None)
    if not paths:
        raise DataError(
            f"{folder} has no file {split}-*.parquet; build the edition, or select the tasks that it contains"
        )
    problem = parts_problem([path.name for path in paths], split)
    if problem is not None:
        raise DataError(f"{split} in {folder} is incomplete: {problem}; build or download it again")
    schemas = [sound_schema(path) for path in paths]
    if count is None:
        return ChosenRows(paths, schemas[0], None)
    edition = edition_of(usable_metadata(schemas[0]))
    if edition is None:
        raise UsageError(f"--subset {split}={count}: {folder} has no bursts to select from; expected all of its frames")
    wanted = edition.frames(split, count)
    present: set[int] = set()
    for table in ChosenRows(paths, schemas[0], None).tables(("frame",)):
        present.update(table["frame"].unique().to_pylist())
    if len(wanted) < count or not present.issuperset(wanted):
        raise UsageError(
            f"--subset {split}={count}: {folder} has {len(present)} frames of each molecule in {split}; expected at "
            "most this number"
        )
    return ChosenRows(paths, schemas[0], pa.array(wanted, pa.int32()))


def _frame_counts_of_folder(folder: Path) -> Mapping[SplitName, int]:
    path = next(iter(sorted(folder.glob("*.parquet"))), None)
    return (frame_counts_of(usable_metadata(_schema_of(path))) or {}) if path else {}


def _schema_of(path: Path) -> pa.Schema:
    with readable(path):
        return pq.read_schema(path)


def sound_schema(path: Path) -> pa.Schema:
    """The schema of a file, with its metadata.

    Raises:
        DataError: If the file cannot be read or has other columns than a split.
    """
    schema = _schema_of(path)
    problems = schema_problems(schema)
    if problems:
        raise DataError(f"{path}: {'; '.join(problems)}; build or download it again")
    return schema


def tables_of(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of a file, at most one row group at a time.

    Raises:
        DataError: If the file cannot be read, or a page does not match its checksum.
    """
    with readable(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        for number in range(file.num_row_groups):
            for batch in file.iter_batches(ROWS_AT_A_TIME, row_groups=[number], columns=list(columns)):
                batch.validate(full=True)
                yield pa.Table.from_batches([batch])


@contextlib.contextmanager
def readable(path: Path, remedy: str = "build or download it again") -> Iterator[None]:
    """Turns a failure to read a file into an error that names the file.

    Args:
        path: The file.
        remedy: What to do about it.

    Raises:
        DataError: If the file cannot be read.
    """
    try:
        yield
    except UNREADABLE as cause:
        raise DataError(f"{path} cannot be read as Parquet ({cause}); {remedy}") from cause


@contextlib.contextmanager
def spooled_frames(settings: RelabelSettings, frames: FrameList) -> Iterator[Callable[[int], Frame]]:
    """Provides a function that reads a frame with its geometry by its index in a list.

    Geometries are stored in a temporary file in the work folder, which is always removed at the end. A look-up in the
    Parquet files would read their row groups many times, since frames of one size lie in all of them.
    """
    order = np.argsort(frames.keys)
    offsets = np.full(len(frames), -1, np.int64)
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.work_dir) as spool:
        for task in settings.tasks:
            for split in SPLITS:
                for table in chosen_rows(settings, task, split).tables(("frame", *GEOMETRY)):
                    _spool(table, frames, order, offsets, spool)

        def frame(index: int) -> Frame:
            n_atoms = int(frames.n_atoms[index])
            spool.seek(int(offsets[index]))
            numbers = np.frombuffer(spool.read(n_atoms), np.uint8)
            positions = np.frombuffer(spool.read(12 * n_atoms), np.float32).reshape(-1, 3)
            key = bytes(frames.keys[index]).ljust(KEY_BYTES, bytes(1))
            return Frame(frames.name(index), key, numbers, positions)

        yield frame


def _spool(
    table: pa.Table, frames: FrameList, order: npt.NDArray[np.intp], offsets: npt.NDArray[np.int64], spool: IO[bytes]
) -> None:
    """Appends geometries of listed rows that are not yet in the file, and records their offsets."""
    keys = keys_of(table)
    found = np.minimum(np.searchsorted(frames.keys, keys, sorter=order), len(order) - 1)
    places = order[found]
    wanted = frames.keys[places] == keys
    for index, is_wanted, (numbers, positions) in zip(places, wanted, geometries_of(table), strict=True):
        if not is_wanted or offsets[index] >= 0:
            continue
        if len(positions) != 3 * len(numbers):
            raise DataError(
                f"{frames.name(index)} has {len(positions)} coordinates for {len(numbers)} atoms; expected three per "
                "atom. See: python -m dataset_builders certify DIR"
            )
        offsets[index] = spool.tell()
        spool.write(numbers.tobytes() + positions.tobytes())
