"""Writes the data-set folder: Parquet files for each task and split."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dataset_builders.build.fanout import BuildSettings, provenance
from dataset_builders.build.work_units import BURSTS_PER_UNIT, WorkUnit, read_unit, units_by_molecule
from dataset_builders.chemistry.environments import subset_of
from dataset_builders.core.errors import IncompleteError
from dataset_builders.core.whole_folder import whole_folder
from dataset_builders.folder.schema import with_metadata
from dataset_builders.folder.split_writing import write_split
from dataset_builders.tasks.editions import FRAMES_PER_BURST, SPLIT_TRAJECTORY, SPLITS, SplitName
from dataset_builders.tasks.regions import Task
from dataset_builders.tasks.split_words import words_of_split
from dataset_builders.tasks.task_document import task_metadata


def write_repository(settings: BuildSettings, directory: Path) -> None:
    """Writes the Parquet files of an edition from its finished units.

    Each configuration is written beside its final folder and then moved, so that an interrupted build leaves either the
    old or the new one.

    Args:
        settings: Settings of the build.
        directory: The data-set folder; its configurations are replaced.

    Raises:
        IncompleteError: If a unit is missing.
        SetupError: If the file system refuses to replace a folder; the message names the path of the new one.
    """
    for task in settings.tasks:
        schema = with_metadata(provenance(settings) | task_metadata(task))
        with whole_folder(directory / task.name) as fresh:
            for split in SPLITS:
                write_split(_rows_of_split(settings, task, split), schema, fresh, split)


def _rows_of_split(settings: BuildSettings, task: Task, split: SplitName) -> Iterator[pa.Table]:
    """Rows in the order of bursts, then molecules, so that any stretch of rows holds all molecules.

    Editions nest: the rows of a smaller one are the first rows of a larger one.
    """
    units = units_by_molecule(settings.tasks, settings.edition)
    words = words_of_split(task, split, settings.molecules)
    subsets = [subset_of(task, word) if split == "test_ood" else "" for word in words]
    for _, bursts in groupby(settings.edition.bursts(split), key=lambda burst: burst // BURSTS_PER_UNIT):
        numbers = tuple(bursts)
        tables = [_frames(settings, units[word.molecule_id], split, numbers[0]) for word in words]
        for burst in numbers:
            for table, subset in zip(tables, subsets, strict=True):
                chosen = table.filter(pc.equal(pc.divide(table["frame"], FRAMES_PER_BURST), burst))
                position = chosen.schema.get_field_index("subset")
                values = pa.array([subset] * chosen.num_rows, pa.string())
                yield chosen.set_column(position, chosen.schema.field(position), values)


def _frames(settings: BuildSettings, units: list[WorkUnit], split: SplitName, burst: int) -> pa.Table:
    """The frames of the unit that holds a burst."""
    trajectory = SPLIT_TRAJECTORY[split]
    unit = next(each for each in units if each.trajectory == trajectory and each.first_burst <= burst < each.end_burst)
    table = read_unit(unit, settings.work_dir)
    if table is None:
        raise IncompleteError(f"{unit} is missing from {settings.work_dir}; run the build again to compute it")
    return table
