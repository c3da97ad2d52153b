"""Takes the geometries of an edition to another level of theory.

`DIR/task2` becomes `OUT/task2-wb97x`: the same frames, or some of each molecule, with other energies and forces. Each
label is kept in a file of its own as soon as it is there, so that hours of work can be interrupted at any point, and
labels that `OUT` already has are not computed again.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.checks import edition_of, frame_counts_of, usable_metadata
from dataset_builders.editions import SPLITS, SplitName
from dataset_builders.errors import ConvergenceError, DataError, IncompleteError, UsageError
from dataset_builders.labels import compute_label, label_metadata, label_versions
from dataset_builders.levels import Level
from dataset_builders.progress import label_progress
from dataset_builders.repository import write_split
from dataset_builders.schema import SCHEMA, schema_problems, with_metadata
from dataset_builders.structures import FloatArray, IntArray
from dataset_builders.tasks import Task
from dataset_builders.whole_file import whole_file

SPLITS_NEEDED: Final[tuple[SplitName, ...]] = ("train", "test_id", "test_ood")
"""Splits of which a configuration has at least one frame of each molecule: `train` for the certificate and for the
reference energies, which are fitted on training molecules only."""


@dataclass(frozen=True, slots=True)
class RelabelSettings:
    """What to label anew.

    Attributes:
        source: Data-set folder whose geometries are taken.
        source_level: Level of theory of the configurations whose geometries are taken.
        tasks: Tasks to take.
        level: Level of theory of the new labels.
        frame_counts: Frames of each molecule to take, by split; a split that it does not name is taken whole.
        out: Data-set folder that gets the new configurations; may be `source`.
        work_dir: Where finished labels are kept.
    """

    source: Path
    source_level: Level
    tasks: tuple[Task, ...]
    level: Level
    frame_counts: Mapping[SplitName, int]
    out: Path
    work_dir: Path


@dataclass(frozen=True, slots=True)
class Frame:
    """A geometry to label.

    Attributes:
        name: Molecule, trajectory and number of the frame, for messages.
        atomic_numbers: Shape (n_atoms,).
        positions: Shape (n_atoms, 3), float32, Å.
    """

    name: str
    atomic_numbers: IntArray
    positions: FloatArray

    @property
    def cost(self) -> float:
        """Estimated cost, in units of its own; the calls of a hybrid functional took about this power here."""
        return float(len(self.atomic_numbers) ** 2.5)

    @property
    def key(self) -> str:
        """Hash of elements and positions, which names the file of the label."""
        content = self.atomic_numbers.astype(np.uint8).tobytes() + self.positions.astype(np.float32).tobytes()
        return hashlib.blake2b(content, digest_size=16).hexdigest()


def parse_frame_counts(texts: Sequence[str]) -> dict[SplitName, int]:
    """Reads texts such as `test_id=4`.

    Raises:
        UsageError: If a text names no split, or no number of frames.
    """
    counts: dict[SplitName, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        split = next((each for each in SPLITS if each == name), None)
        if split is None or not (number.isascii() and number.isdigit()):
            raise UsageError(f"--subset {text}; expected SPLIT=N, where SPLIT is one of {' '.join(SPLITS)}")
        counts[split] = int(number)
    return counts


Labels = dict[str, tuple[float, FloatArray]]
"""Energy in eV and forces in eV/Å, shape (n_atoms, 3), by the key of the frame."""


def relabel(settings: RelabelSettings, executor_factory: Callable[[], Executor]) -> None:
    """Computes the labels that are not there yet, and writes the configurations.

    Args:
        settings: What to label anew.
        executor_factory: Makes the pool that computes.

    Raises:
        UsageError: If more frames are asked for than the edition has, or none of a split that is needed.
        DataError: If the source is absent or corrupt.
        IncompleteError: If frames failed; the message names them. Finished labels stay.
    """
    _require_sound(settings)
    frames = frames_to_label(settings)
    labels = known_labels(settings)
    waiting = [frame for key, frame in frames.items() if key not in labels]
    labels |= _computed(waiting, settings, executor_factory)
    for task in settings.tasks:
        _write_config(settings, task, labels)


def _require_sound(settings: RelabelSettings) -> None:
    if settings.level == settings.source_level:
        raise UsageError(f"--labels {settings.level.name} is the level of the source; expected another level of theory")
    for split in SPLITS_NEEDED:
        if settings.frame_counts.get(split) == 0:
            raise UsageError(f"--subset {split}=0; expected 1 or more frames of each molecule in {split}")


def frames_to_label(settings: RelabelSettings) -> dict[str, Frame]:
    """Every frame that the new configurations need, by its key, the smallest molecules first.

    Raises:
        UsageError: If more frames are asked for than there are, or none of a split that is needed.
        DataError: If the source is absent or corrupt.
    """
    frames: dict[str, Frame] = {}
    for task in settings.tasks:
        for split in SPLITS:
            for row in _chosen_rows(settings, task, split).to_pylist():
                frame = _frame(row)
                frames.setdefault(frame.key, frame)
    return dict(sorted(frames.items(), key=lambda item: len(item[1].atomic_numbers)))


def known_labels(settings: RelabelSettings) -> Labels:
    """Labels that were computed before: those of the same settings in `out`, and those in the work folder."""
    found: Labels = {}
    for path in sorted(settings.out.glob(settings.level.config("*") + "/*.parquet")):
        if usable_metadata(pq.read_schema(path)).get("level_of_theory") == label_metadata(settings.level):
            for row in pq.read_table(path).to_pylist():
                found[_frame(row).key] = (row["energy"], np.array(row["forces"]).reshape(-1, 3))
    for path in _label_folder(settings).glob("*.npz"):
        found[path.stem] = _read_label(path)
    return found


def label_frames(frames: Sequence[Frame], level: Level, folder: Path) -> list[str]:
    """Labels frames and writes a file for each; the work of one worker. Returns what failed, in words."""
    failures = []
    for frame in frames:
        try:
            energy, forces = compute_label(level, frame.atomic_numbers, frame.positions)
        except ConvergenceError as cause:
            failures.append(f"{frame.name}: {cause}")
            continue
        with whole_file(folder / f"{frame.key}.npz") as partial, partial.open("wb") as stream:
            np.savez(stream, energy=energy, forces=forces)
    return failures


def _computed(frames: Sequence[Frame], settings: RelabelSettings, executor_factory: Callable[[], Executor]) -> Labels:
    folder = _label_folder(settings)
    failures: list[str] = []
    with label_progress(len(frames), sum(frame.cost for frame in frames)) as count, executor_factory() as executor:
        jobs = {
            executor.submit(label_frames, chunk, settings.level, folder): chunk for chunk in _chunks(frames, settings)
        }
        try:
            for job in as_completed(jobs):
                failures.extend(job.result())
                count(len(jobs[job]), sum(frame.cost for frame in jobs[job]))
        except BrokenProcessPool as cause:
            raise IncompleteError(
                "a worker died, perhaps for want of memory; finished labels are kept: the same command goes on from "
                "them, with fewer --workers where memory was short"
            ) from cause
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
    if failures:
        raise IncompleteError(
            f"{len(failures)} of {len(frames)} frames failed:\n  " + "\n  ".join(failures) + "\n"
            "Finished labels are kept; the same command tries these again"
        )
    return {frame.key: _read_label(folder / f"{frame.key}.npz") for frame in frames}


def _chunks(frames: Sequence[Frame], settings: RelabelSettings) -> Iterator[Sequence[Frame]]:
    # A job takes seconds or more: one frame of density functional theory, some hundred of GFN2-xTB.
    size = 200 if settings.level.dft is None else 1
    for start in range(0, len(frames), size):
        yield frames[start : start + size]


def _read_label(path: Path) -> tuple[float, FloatArray]:
    try:
        with np.load(path, allow_pickle=False) as label:
            return float(label["energy"]), label["forces"]
    except (OSError, ValueError, KeyError, BadZipFile) as cause:
        raise DataError(f"{path} is no label ({cause}); delete it, and the same command computes it again") from cause


def _label_folder(settings: RelabelSettings) -> Path:
    text = json.dumps(label_metadata(settings.level), sort_keys=True)
    return settings.work_dir / f"{settings.level.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _frame(row: Mapping[str, Any]) -> Frame:
    return Frame(
        f"{row['molecule_id']} {row['trajectory']} {row['frame']}",
        np.array(row["atomic_numbers"], dtype=np.uint8),
        np.array(row["positions"], dtype=np.float32).reshape(-1, 3),
    )


def _chosen_rows(settings: RelabelSettings, task: Task, split: SplitName) -> pa.Table:
    """Rows of the source that the new configuration takes, with the metadata of the source."""
    folder = settings.source / settings.source_level.config(task.name)
    files = sorted(folder.glob(f"{split}-*.parquet"))
    count = settings.frame_counts.get(split, _frame_counts_of_folder(folder).get(split))
    if count == 0:
        return SCHEMA.empty_table()
    if not files:
        raise DataError(f"{folder} holds no file {split}-*.parquet; build the edition, or name the tasks that it holds")
    table = pa.concat_tables(_read(path) for path in files)
    if count is None:
        return table
    edition = edition_of(usable_metadata(table.schema))
    if edition is None:
        raise UsageError(f"--subset {split}={count}: {folder} is no edition of bursts; expected all of its frames")
    wanted = edition.frames(split, count)
    present = set(table["frame"].to_pylist())
    if len(wanted) < count or not present.issuperset(wanted):
        raise UsageError(
            f"--subset {split}={count}: {folder} has {len(present)} frames of each molecule in {split}; expected at "
            "most as many"
        )
    return table.filter(pc.is_in(table["frame"], pa.array(wanted, pa.int32())))


def _frame_counts_of_folder(folder: Path) -> Mapping[SplitName, int]:
    path = next(iter(sorted(folder.glob("*.parquet"))), None)
    return (frame_counts_of(usable_metadata(pq.read_schema(path))) or {}) if path else {}


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as cause:
        raise DataError(f"{path} cannot be read as Parquet ({cause}); build or download it again") from cause
    problems = schema_problems(table.schema)
    if problems:
        raise DataError(f"{path}: {'; '.join(problems)}; build or download it again")
    return table


def _write_config(settings: RelabelSettings, task: Task, labels: Labels) -> None:
    config = settings.level.config(task.name)
    fresh = settings.out / f".{config}.partial"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for split in SPLITS:
        table = _chosen_rows(settings, task, split)
        if table.num_rows:
            schema = with_metadata(_metadata(settings, table.schema))
            write_split([_labelled(table, labels)], schema, fresh, split)
    shutil.rmtree(settings.out / config, ignore_errors=True)
    fresh.replace(settings.out / config)


def _labelled(table: pa.Table, labels: Labels) -> pa.Table:
    found = [labels[_frame(row).key] for row in table.to_pylist()]
    new = {
        "energy": pa.array([energy for energy, _ in found], pa.float64()),
        "forces": pa.array([forces.astype(np.float32).ravel() for _, forces in found], pa.list_(pa.float32())),
    }
    for name, column in new.items():
        position = table.schema.get_field_index(name)
        table = table.set_column(position, SCHEMA.field(name), column)
    return table


def _metadata(settings: RelabelSettings, schema: pa.Schema) -> dict[str, Any]:
    metadata = usable_metadata(schema)
    counts = {**(frame_counts_of(metadata) or {}), **settings.frame_counts}
    return {
        **{key: value for key, value in metadata.items() if key != "columns"},
        "level_of_theory": label_metadata(settings.level),
        "versions": {**metadata.get("versions", {}), **label_versions(settings.level)},
        **({"subset": counts} if counts else {}),
    }
