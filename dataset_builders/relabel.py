"""Takes the geometries of an edition to another level of theory.

`DIR/task2` becomes `OUT/task2-wb97x`: the same frames, or some of each molecule, with other energies and forces. Each
label is kept in a file of its own as soon as it is there, so that hours of work can be interrupted at any point, and
labels that `OUT` already has are not computed again.
"""

import hashlib
import json
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.campaign import Work, do_all
from dataset_builders.checks import edition_of, frame_counts_of, usable_metadata
from dataset_builders.editions import SPLITS, SplitName
from dataset_builders.errors import ConvergenceError, DataError, IncompleteError, SetupError, UsageError
from dataset_builders.executors import OpenPool
from dataset_builders.labels import compute_label, label_metadata, label_versions
from dataset_builders.levels import Level
from dataset_builders.progress import label_progress
from dataset_builders.repository import write_split
from dataset_builders.schema import SCHEMA, schema_problems, with_metadata
from dataset_builders.shards import Shard, share_of
from dataset_builders.split_files import parts_problem
from dataset_builders.structures import FloatArray, IntArray
from dataset_builders.tasks import Task
from dataset_builders.threads import require_one_thread
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


@dataclass(frozen=True, slots=True, eq=False)
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


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Frames that a worker labels at a time.

    Attributes:
        frames: One or more.
    """

    frames: tuple[Frame, ...]

    def __str__(self) -> str:
        others = len(self.frames) - 1
        return self.frames[0].name + (f" and {others} frames after it" if others else "")


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What came of a batch.

    Attributes:
        n_frames: Its frames.
        cost: Their estimated cost.
        failures: What failed, in words.
    """

    n_frames: int
    cost: float
    failures: tuple[str, ...]


Labels = dict[str, tuple[float, FloatArray]]
"""Energy in eV and forces in eV/Å, shape (n_atoms, 3), by the key of the frame."""


def relabel(settings: RelabelSettings, open_pool: OpenPool) -> None:
    """Computes the labels that are not there yet, and writes the configurations.

    Args:
        settings: What to label anew.
        open_pool: The workers.

    Raises:
        UsageError: If more frames are asked for than the edition has, or none of a split that is needed.
        DataError: If the source is absent or corrupt.
        IncompleteError: If frames failed; the message names them. Finished labels stay.
        SetupError: If the workers cannot be reached, or cannot do the work.
    """
    _write_configs(settings, make_labels(settings, open_pool))


def make_labels(settings: RelabelSettings, open_pool: OpenPool, shard: Shard | None = None) -> list[Frame]:
    """Computes the labels that are not there yet; writes no configuration.

    Args:
        settings: What to label anew.
        open_pool: The workers.
        shard: The share to compute; `None` for all.

    Returns:
        The frames of the share, whose labels are all there now.

    Raises:
        MlipOodError: As `relabel` does.
    """
    frames = frames_to_label(settings)
    ours = frames if shard is None else share_of(frames, shard, cost=attrgetter("cost"), rank=attrgetter("key"))
    missing = missing_of(ours, settings)
    if missing:
        _compute(missing, settings, open_pool)
    return ours


def write_configs(settings: RelabelSettings) -> None:
    """Writes the configurations from finished labels; computes none.

    Raises:
        IncompleteError: If labels are missing; the message says how many.
        MlipOodError: As `relabel` does.
    """
    _write_configs(settings, frames_to_label(settings))


def _write_configs(settings: RelabelSettings, frames: Sequence[Frame]) -> None:
    labels = _known_labels(settings)
    missing = [frame for frame in frames if frame.key not in labels]
    if missing:
        raise IncompleteError(
            f"{len(missing):,} of {len(frames):,} labels are missing from {label_folder(settings)}, first that of "
            f"{missing[0].name}; expected all. Run the shards that did not finish again, with the same --task, "
            "--labels and --subset, or leave out --merge to compute the labels here"
        )
    for task in settings.tasks:
        _write_config(settings, task, labels)


def _require_sound(settings: RelabelSettings) -> None:
    if settings.level == settings.source_level:
        raise UsageError(f"--labels {settings.level.name} is the level of the source; expected another level of theory")
    for split in SPLITS_NEEDED:
        if settings.frame_counts.get(split) == 0:
            raise UsageError(f"--subset {split}=0; expected 1 or more frames of each molecule in {split}")


def frames_to_label(settings: RelabelSettings) -> list[Frame]:
    """Every frame that the new configurations need, each once, the dearest first.

    So no worker waits long for another at the end, and a machine that is short of memory shows it soon.

    Raises:
        UsageError: If more frames are asked for than there are, or none of a split that is needed.
        DataError: If the source is absent or corrupt.
    """
    _require_sound(settings)
    frames: dict[str, Frame] = {}
    for task in settings.tasks:
        for frame in frames_of_task(settings, task):
            frames.setdefault(frame.key, frame)
    return sorted(frames.values(), key=lambda frame: -frame.cost)


def frames_of_task(settings: RelabelSettings, task: Task) -> list[Frame]:
    """Every frame of the new configuration of one task.

    Raises:
        MlipOodError: As `frames_to_label` does.
    """
    return [_frame(row) for split in SPLITS for row in _chosen_rows(settings, task, split).to_pylist()]


def missing_of(frames: Sequence[Frame], settings: RelabelSettings) -> list[Frame]:
    """Those of some frames whose labels are not there yet."""
    known = {path.stem for path in label_folder(settings).glob("*.npz")} | set(_published_labels(settings))
    return [frame for frame in frames if frame.key not in known]


def _known_labels(settings: RelabelSettings) -> Labels:
    """Labels that were computed before: those of the same settings in `out`, and those in the work folder."""
    return _published_labels(settings) | {path.stem: _read_label(path) for path in label_folder(settings).glob("*.npz")}


def _published_labels(settings: RelabelSettings) -> Labels:
    found: Labels = {}
    for path in sorted(settings.out.glob(settings.level.config("*") + "/*.parquet")):
        if usable_metadata(pq.read_schema(path)).get("level_of_theory") == label_metadata(settings.level):
            for row in pq.read_table(path).to_pylist():
                found[_frame(row).key] = (row["energy"], np.array(row["forces"]).reshape(-1, 3))
    return found


def _compute(frames: Sequence[Frame], settings: RelabelSettings, open_pool: OpenPool) -> None:
    folder = label_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with label_progress(len(frames), sum(frame.cost for frame in frames)) as count:
        work = Work(
            noun="batches",
            do=partial(label_batch, level=settings.level, folder=folder),
            lost=_lost,
            failures=lambda report: report.failures,
            progress=lambda report: count(report.n_frames, report.cost),
        )
        failures = do_all(list(_batches(frames, settings)), work, open_pool)
    if failures:
        raise IncompleteError(
            f"{len(failures)} of {len(frames)} frames failed:\n  " + "\n  ".join(failures) + "\n"
            "Finished labels are kept: the same command goes on from them"
        )


def label_batch(batch: Batch, level: Level, folder: Path) -> LabelReport:
    """Labels frames and writes a file for each; the work of one worker.

    Raises:
        SetupError: As `check_worker` does.
    """
    check_worker(level, folder)
    failures = []
    for frame in batch.frames:
        try:
            label_frame(frame, level, folder)
        except ConvergenceError as cause:
            failures.append(f"{frame.name}: {cause}")
    return _report(batch, failures)


def _lost(batch: Batch, cause: str) -> LabelReport:
    return _report(batch, [cause])


def _report(batch: Batch, failures: Sequence[str]) -> LabelReport:
    return LabelReport(len(batch.frames), sum(frame.cost for frame in batch.frames), tuple(failures))


def label_frame(frame: Frame, level: Level, folder: Path) -> None:
    """Labels a frame and writes its file.

    Raises:
        ConvergenceError: If its SCF does not converge.
    """
    energy, forces = compute_label(level, frame.atomic_numbers, frame.positions)
    with whole_file(folder / f"{frame.key}.npz") as partial_file, partial_file.open("wb") as stream:
        np.savez(stream, energy=energy, forces=forces)


def check_worker(level: Level, folder: Path) -> None:
    """Checks, in a worker, that it computes on one thread, sees the work folder and has the same programs.

    Raises:
        SetupError: If it does not.
    """
    require_one_thread()
    if not folder.is_dir():
        raise SetupError(
            f"the worker on {platform.node()} does not see the work folder {folder}; expected a folder that all "
            "workers share. Name one with --work"
        )
    if folder.name != _folder_name(level):
        raise SetupError(
            f"the worker on {platform.node()} would compute {level.name} labels with {_versions(level)}, other "
            "programs than the command. Give all the same packages, and a GPU to all or to none"
        )


def _versions(level: Level) -> str:
    return ", ".join(f"{name} {number}" for name, number in label_versions(level).items())


def _batches(frames: Sequence[Frame], settings: RelabelSettings) -> Iterator[Batch]:
    # A batch takes seconds or more: one frame of density functional theory, some hundred of GFN2-xTB.
    size = 200 if settings.level.dft is None else 1
    for start in range(0, len(frames), size):
        yield Batch(tuple(frames[start : start + size]))


def _read_label(path: Path) -> tuple[float, FloatArray]:
    try:
        with np.load(path, allow_pickle=False) as label:
            return float(label["energy"]), label["forces"]
    except (OSError, ValueError, KeyError, BadZipFile) as cause:
        raise DataError(f"{path} is no label ({cause}); delete it, and the same command computes it again") from cause


def label_folder(settings: RelabelSettings) -> Path:
    """Where the finished labels of a level are kept; another version of its programs has another folder."""
    return settings.work_dir / _folder_name(settings.level)


def _folder_name(level: Level) -> str:
    text = json.dumps(label_metadata(level), sort_keys=True)
    return f"{level.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


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
    problem = parts_problem([path.name for path in files], split)
    if problem is not None:
        raise DataError(f"{split} in {folder} is incomplete: {problem}; build or download it again")
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
