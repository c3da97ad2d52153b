"""Relabels the geometries of an edition at another level of theory.

`DIR/task2` becomes `OUT/task2-wb97x`: the same frames, or some of each molecule, with new energies and forces. Each
label is saved as soon as it is computed, so a long computation can be interrupted at any time. Labels that are already
in `OUT` or in a folder of kept labels are reused.
"""

import contextlib
import json
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.certify.row_checks import frame_counts_of, usable_metadata
from dataset_builders.chemistry.labels import compute_label, label_metadata, label_versions
from dataset_builders.chemistry.levels import Level
from dataset_builders.core.errors import ConvergenceError, IncompleteError, SetupError
from dataset_builders.core.hashes import SHORT_HASH, text_sha256
from dataset_builders.core.whole_folder import settle_all, whole_folder
from dataset_builders.engines.campaign import Work, do_all
from dataset_builders.engines.choice import OpenPool
from dataset_builders.engines.shares import Shard, share_of
from dataset_builders.engines.threads import require_one_thread
from dataset_builders.folder.schema import SCHEMA, with_metadata
from dataset_builders.folder.split_writing import cut_into_groups, write_split
from dataset_builders.relabel.frames_to_label import (
    ROWS_AT_A_TIME,
    Frame,
    FrameList,
    RelabelSettings,
    chosen_rows,
    frames_to_label,
    keys_of,
    readable,
    spooled_frames,
)
from dataset_builders.relabel.kept_labels import Recipe, kept_tables
from dataset_builders.relabel.label_progress import label_progress
from dataset_builders.relabel.label_store import Add, KeyArray, LabelStore, label_file, open_store, record_of
from dataset_builders.relabel.replaced_configs import require_nothing_lost
from dataset_builders.tasks.editions import SPLITS
from dataset_builders.tasks.regions import Task

_REMEDY: Final = "restore it, or move its folder away to do without its labels"


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Frames that a worker labels in one call.

    Attributes:
        frames: At least one frame.
    """

    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class LabelReport:
    """The outcome of a batch.

    Attributes:
        n_frames: Number of its frames.
        cost: Their estimated cost.
        failures: Descriptions of failures.
    """

    n_frames: int
    cost: float
    failures: tuple[str, ...]


def relabel(settings: RelabelSettings, open_pool: OpenPool) -> None:
    """Computes the missing labels and writes the configurations.

    Args:
        settings: Relabelling settings.
        open_pool: The workers.

    Raises:
        UsageError: If more frames are requested than the edition has, or none of a required split, or a configuration
            would lack frames of the one that it replaces.
        DataError: If the source is absent or corrupt.
        IncompleteError: If frames failed; the message names them. Finished labels are kept.
        SetupError: If the workers cannot be reached or are not suitable, or a folder cannot be replaced.
    """
    _write_configs(settings, make_labels(settings, open_pool))


def make_labels(settings: RelabelSettings, open_pool: OpenPool, shard: Shard | None = None) -> FrameList:
    """Computes the missing labels; writes no configuration.

    Args:
        settings: Relabelling settings.
        open_pool: The workers.
        shard: The shard to compute; `None` for all.

    Returns:
        The frames of the shard, all of which now have labels.

    Raises:
        MlipOodError: As `relabel` does.
    """
    ours = _frames(settings)
    if shard is not None:
        costs = ours.costs
        mine = share_of(range(len(ours)), shard, cost=lambda index: float(costs[index]), rank=lambda i: ours.keys[i])
        ours = ours.take(np.array(mine, np.intp))
    missing = missing_of(ours, settings)
    if len(missing):
        _compute(missing, settings, open_pool)
    return ours


def _frames(settings: RelabelSettings) -> FrameList:
    for directory in {settings.source, settings.out}:
        settle_all(directory)
    frames = frames_to_label(settings)
    check_replaced(settings)
    return frames


def check_replaced(settings: RelabelSettings) -> None:
    """Checks that no existing configuration would lose labels; reads files only.

    Raises:
        MlipOodError: As `require_nothing_lost` does.
    """
    require_nothing_lost(settings, label_metadata(settings.level)["method"])


def write_configs(settings: RelabelSettings) -> None:
    """Writes the configurations from finished labels, without computing any.

    Raises:
        IncompleteError: If labels are missing; the message says how many.
        MlipOodError: As `relabel` does.
    """
    _write_configs(settings, _frames(settings))


def _write_configs(settings: RelabelSettings, frames: FrameList) -> None:
    with all_labels(settings, frames.keys) as labels:
        missing = np.flatnonzero(~labels.has(frames.keys))
        if len(missing):
            raise IncompleteError(
                f"{len(missing):,} of {len(frames):,} labels are missing from {label_folder(settings)}, the first is "
                f"that of {frames.name(int(missing[0]))}; expected none. Run the unfinished shards again, with the "
                "same --task, --labels and --subset, or omit --merge to compute the labels here"
            )
        for task in settings.tasks:
            _write_config(settings, task, labels)


def missing_of(frames: FrameList, settings: RelabelSettings) -> FrameList:
    """The frames that have no label yet."""
    known = open_store(label_folder(settings)).has(frames.keys)
    elsewhere = [keys_of(table) for table in _elsewhere(settings, ("atomic_numbers", "positions"))]
    if elsewhere:
        known |= np.isin(frames.keys, np.concatenate(elsewhere))
    return frames.take(~known)


def _elsewhere(settings: RelabelSettings, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Rows with labels of the same settings from folders of kept labels and from `out`, in chunks."""
    if settings.labels_from:
        for table in kept_tables(settings.labels_from, recipe_of(settings.level)):
            yield table.select(list(columns))
    for path in sorted(settings.out.glob(settings.level.config("*") + "/*.parquet")):
        with readable(path, _REMEDY), pq.ParquetFile(path, page_checksum_verification=True) as file:
            if _is_of_recipe(usable_metadata(file.schema_arrow), settings.level):
                for batch in file.iter_batches(ROWS_AT_A_TIME, columns=list(columns)):
                    batch.validate(full=True)
                    yield pa.Table.from_batches([batch])


@contextlib.contextmanager
def all_labels(settings: RelabelSettings, wanted: KeyArray) -> Iterator[LabelStore]:
    """The available labels: those in the work folder, and other requested labels from `_elsewhere`.

    The latter are copied temporarily, since their files will be replaced.
    """
    store = open_store(label_folder(settings))
    wanted = wanted[~store.has(wanted)]
    if not len(wanted):
        yield store
        return
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.work_dir) as copy:
        for table in _elsewhere(settings, ("atomic_numbers", "positions", "energy", "forces")):
            keys = keys_of(table)
            for row in np.flatnonzero(np.isin(keys, wanted)):
                forces = np.array(table["forces"][int(row)].as_py()).reshape(-1, 3)
                copy.write(record_of(bytes(keys[row]), table["energy"][int(row)].as_py(), forces))
        copy.flush()
        yield open_store(label_folder(settings), [copy])


def _compute(frames: FrameList, settings: RelabelSettings, open_pool: OpenPool) -> None:
    label_folder(settings).mkdir(parents=True, exist_ok=True)
    size = frames_per_batch(settings.level)
    with label_progress(len(frames), float(frames.costs.sum())) as count:
        failures, lost = _label_in_batches(frames, size, settings, open_pool, count)
        if lost and size > 1:
            # One frame made the batch fail. Label the frames one by one to name it and keep the others.
            rest = missing_of(frames.take(np.array(lost, np.intp)), settings)
            failures += _label_in_batches(rest, 1, settings, open_pool, count)[0]
    if failures:
        raise IncompleteError(
            f"{len(failures)} of {len(frames)} frames failed:\n  "
            + "\n  ".join(failures)
            + "\nFinished labels are kept: run the same command again to resume from them"
        )


def _label_in_batches(
    frames: FrameList,
    size: int,
    settings: RelabelSettings,
    open_pool: OpenPool,
    count: Callable[[int, float], None],
) -> tuple[list[str], list[int]]:
    """Labels frames in batches; returns failures in words, and the indices of frames in larger failed batches."""
    lost_frames: list[int] = []
    costs = frames.costs

    def numbers(batch: int) -> range:
        return range(batch * size, min((batch + 1) * size, len(frames)))

    def name(batch: int) -> str:
        others = len(numbers(batch)) - 1
        return frames.name(batch * size) + (f" and {others} frames after it" if others else "")

    def lost(batch: int, cause: str) -> LabelReport:
        if len(numbers(batch)) > 1:
            lost_frames.extend(numbers(batch))
            return LabelReport(0, 0.0, ())
        return LabelReport(1, float(costs[batch * size]), (cause,))

    with spooled_frames(settings, frames) as frame:
        work: Work[int, LabelReport] = Work(
            noun="batches",
            do=partial(label_batch, level=settings.level, folder=label_folder(settings)),
            lost=lost,
            failures=lambda report: report.failures,
            progress=lambda report: count(report.n_frames, report.cost),
            payload=lambda batch: Batch(tuple(frame(index) for index in numbers(batch))),
            name=name,
        )
        return do_all(range(-(-len(frames) // size)), work, open_pool), lost_frames


def frames_per_batch(level: Level) -> int:
    """Number of frames per batch; a batch takes seconds with GFN2-xTB and minutes with a density functional."""
    return 200 if level.dft is None else 1


def label_batch(batch: Batch, level: Level, folder: Path) -> LabelReport:
    """Labels frames and saves each label; runs in a worker.

    Raises:
        SetupError: As `check_worker` does.
    """
    check_worker(level, folder)
    failures = []
    with label_file(folder) as add:
        for frame in batch.frames:
            try:
                label_frame(frame, level, add)
            except ConvergenceError as cause:
                failures.append(f"{frame.name}: {cause}")
    return LabelReport(len(batch.frames), sum(frame.cost for frame in batch.frames), tuple(failures))


def label_frame(frame: Frame, level: Level, add: Add) -> None:
    """Labels a frame and saves the label.

    Raises:
        ConvergenceError: If its SCF does not converge.
    """
    energy, forces = compute_label(level, frame.atomic_numbers, frame.positions)
    add(frame.key, energy, forces)


def check_worker(level: Level, folder: Path) -> None:
    """Checks, in a worker, that it uses one thread, can access the work folder and has the same programs.

    Raises:
        SetupError: If a check fails.
    """
    require_one_thread()
    if not folder.is_dir():
        raise SetupError(
            f"the worker on {platform.node()} does not see the work folder {folder}; expected a folder that all "
            "workers share. Name one with --work"
        )
    if folder.name != _folder_name(level):
        raise SetupError(
            f"the worker on {platform.node()} would compute {level.name} labels with {_versions(level)}, which differs "
            "from the programs of the command. Use the same packages for all workers, and a GPU for all or for none"
        )


def _versions(level: Level) -> str:
    return ", ".join(f"{name} {number}" for name, number in label_versions(level).items())


def label_folder(settings: RelabelSettings) -> Path:
    """Folder of the finished labels of a level; it depends on the versions of the programs."""
    return settings.work_dir / _folder_name(settings.level)


def recipe_of(level: Level) -> Recipe:
    """The recipe of labels of a level, with these settings and programs."""
    return Recipe(_folder_name(level), _settings_and_versions(level), level.net_force)


def _settings_and_versions(level: Level) -> dict[str, Any]:
    metadata = label_metadata(level)
    # The metadata of a density functional name the versions.
    return metadata if level.dft is not None else metadata | {"versions": label_versions(level)}


def _is_of_recipe(metadata: Mapping[str, Any], level: Level) -> bool:
    """Whether the labels of a file have the settings of a level, and the programs the versions that they have here."""
    if metadata.get("level_of_theory") != label_metadata(level):
        return False
    versions = metadata.get("versions")
    return level.dft is not None or (isinstance(versions, dict) and versions.items() >= label_versions(level).items())


def _folder_name(level: Level) -> str:
    text = json.dumps(_settings_and_versions(level), sort_keys=True)
    return f"{level.name}-{text_sha256(text)[:SHORT_HASH]}"


def _write_config(settings: RelabelSettings, task: Task, labels: LabelStore) -> None:
    with whole_folder(settings.out / settings.level.config(task.name)) as fresh:
        for split in SPLITS:
            rows = chosen_rows(settings, task, split)
            if rows:
                schema = with_metadata(_metadata(settings, rows.schema))
                groups = (_labelled(group, labels) for group in cut_into_groups(rows.tables()))
                write_split(groups, schema, fresh, split)


def _labelled(table: pa.Table, labels: LabelStore) -> pa.Table:
    found = labels.labels_of(keys_of(table))
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
