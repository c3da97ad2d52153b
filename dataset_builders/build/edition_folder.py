"""Writes the folder that is published as a data-set repo: Parquet files for each task and split."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.build.fanout import BuildSettings, provenance
from dataset_builders.build.work_units import WorkUnit, read_unit, units_by_molecule, words_of_split
from dataset_builders.chemistry.environments import subset_of
from dataset_builders.core.errors import IncompleteError
from dataset_builders.core.whole_folder import whole_folder
from dataset_builders.folder.schema import SCHEMA, with_metadata
from dataset_builders.tasks.editions import FRAMES_PER_BURST, SPLIT_TRAJECTORY, SPLITS, SplitName
from dataset_builders.tasks.regions import Task
from dataset_builders.tasks.task_document import task_metadata

ROWS_PER_FILE: Final = 100_000
ROWS_PER_GROUP: Final = 2_000
_REALS: Final = {"positions": "positions.list.element", "energy": "energy", "forces": "forces.list.element"}
"""Columns whose values hardly repeat, by their path in Parquet: without a dictionary and with like bytes together, zstd
packs them best. 0.58 of the size, 0.75 of the time to read (`tests.benchmarks.parquet_encoding`, mini edition)."""


def write_repository(settings: BuildSettings, directory: Path) -> None:
    """Writes the Parquet files of an edition from its finished units.

    Each configuration is made beside its place and moved there whole, so that an interrupted build leaves
    either the old one or the new one.

    Args:
        settings: What was built.
        directory: The data-set folder; its configs are replaced.

    Raises:
        IncompleteError: If a unit is missing.
        SetupError: If the file system refuses to replace a folder; the message says where the new one lies.
    """
    for task in settings.tasks:
        schema = with_metadata(provenance(settings) | task_metadata(task))
        with whole_folder(directory / task.name) as fresh:
            for split in SPLITS:
                write_split(_rows_of_split(settings, task, split), schema, fresh, split)


def _rows_of_split(settings: BuildSettings, task: Task, split: SplitName) -> Iterator[pa.Table]:
    wanted = pa.array(
        [
            burst * FRAMES_PER_BURST + index
            for burst in settings.edition.bursts(split)
            for index in range(FRAMES_PER_BURST)
        ],
        pa.int32(),
    )
    units = units_by_molecule(settings.tasks, settings.edition)
    for word in words_of_split(task, split, settings.molecules):
        subset = subset_of(task, word) if split == "test_ood" else ""
        for table in _frames(settings, units[word.molecule_id], split):
            chosen = table.filter(pc.is_in(table["frame"], wanted))
            position = chosen.schema.get_field_index("subset")
            values = pa.array([subset] * chosen.num_rows, pa.string())
            yield chosen.set_column(position, chosen.schema.field(position), values)


def _frames(settings: BuildSettings, units: list[WorkUnit], split: SplitName) -> Iterator[pa.Table]:
    for unit in units:
        if unit.trajectory != SPLIT_TRAJECTORY[split]:
            continue
        table = read_unit(unit, settings.work_dir)
        if table is None:
            raise IncompleteError(f"{unit} is missing from {settings.work_dir}; run the build again to make it")
        yield table


def write_split(tables: Iterable[pa.Table], schema: pa.Schema, directory: Path, split: SplitName) -> None:
    """Writes the Parquet files of a split; holds the rows of one row group at a time.

    Args:
        tables: Its rows, in order.
        schema: Whose metadata the files get.
        directory: Folder of the configuration.
        split: The split.
    """
    files: list[Path] = []
    groups = cut_into_groups(tables)
    # A slice may name no molecule of a split, which then is a file without rows.
    group: pa.Table | None = next(groups, SCHEMA.empty_table())
    while group is not None:
        # How many files there are, which their names say, is known at the end.
        files.append(directory / f".{split}-{len(files):05d}.partial")
        with pq.ParquetWriter(
            files[-1],
            schema,
            compression="zstd",
            use_dictionary=[column for column in schema.names if column not in _REALS],
            column_encoding=dict.fromkeys(_REALS.values(), "BYTE_STREAM_SPLIT"),
        ) as writer:
            rows = 0
            while group is not None and rows < ROWS_PER_FILE:
                writer.write_table(group.cast(schema), row_group_size=ROWS_PER_GROUP)
                rows += group.num_rows
                group = next(groups, None)
    for number, path in enumerate(files):
        path.rename(directory / f"{split}-{number:05d}-of-{len(files):05d}.parquet")


def cut_into_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Cuts rows into row groups, none of which goes over the end of a file."""
    held: list[pa.Table] = []
    n_held, n_passed = 0, 0
    for table in tables:
        held.append(table)
        n_held += table.num_rows
        while n_held >= (size := min(ROWS_PER_GROUP, ROWS_PER_FILE - n_passed % ROWS_PER_FILE)):
            whole = pa.concat_tables(held)
            yield whole.slice(0, size)
            held, n_held, n_passed = [whole.slice(size)], n_held - size, n_passed + size
    if n_held:
        yield pa.concat_tables(held)
