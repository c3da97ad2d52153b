"""The tasks of a data-set folder: which configurations it holds, and what its files declare of them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.configs import CONFIG
from dataset_builders.editions import SPLITS
from dataset_builders.errors import DataError
from dataset_builders.levels import GFN2, Level
from dataset_builders.schema import read_metadata
from dataset_builders.task_document import task_of_metadata
from dataset_builders.tasks import TASKS, Task, TaskName, in_order


def task_names(directory: Path, level: Level = GFN2) -> tuple[TaskName, ...]:
    """The tasks that a data-set folder holds at a level of theory: the four in their order, then others by name."""
    if not directory.is_dir():
        return ()
    matches = [(path, CONFIG.fullmatch(path.name)) for path in directory.iterdir() if path.is_dir()]
    named = {match[1]: path for path, match in matches if match and (match[2] or "") == level.suffix}
    return in_order(name for name, folder in named.items() if name in TASKS or _first_file(folder))


def task_in(directory: Path, name: TaskName, level: Level = GFN2) -> Task:
    """A task of a data-set folder.

    Args:
        directory: The data-set folder.
        name: One of `task_names`.
        level: Level of theory of its labels.

    Raises:
        DataError: If it is none of the four and the files of its configuration do not declare it.
    """
    if name in TASKS:
        return TASKS[name]
    path = _first_file(directory / level.config(name))
    if path is None:
        present = " ".join(task_names(directory, level)) or "none"
        raise DataError(f"{directory} holds no {level.config(name)}; tasks it holds: {present}")
    return task_of_metadata(_metadata_of(path), name, str(path))


def metadata_by_config(directory: Path) -> dict[str, dict[str, Any]]:
    """What the first file of each configuration of a data-set folder says, by the name of the configuration.

    Raises:
        DataError: If a file cannot be read.
    """
    folders = sorted(directory.iterdir()) if directory.is_dir() else []
    first = {folder.name: _first_file(folder) for folder in folders if CONFIG.fullmatch(folder.name)}
    return {config: _metadata_of(path) for config, path in first.items() if path is not None}


def _metadata_of(path: Path) -> dict[str, Any]:
    try:
        return read_metadata(pq.read_schema(path))
    except (OSError, pa.ArrowException, TypeError, ValueError) as cause:
        raise DataError(f"the metadata of {path} cannot be read ({cause}); download or build it again") from cause


def _first_file(folder: Path) -> Path | None:
    # Training must not open a file of a test split, so those of `train` come first.
    return next((path for split in SPLITS for path in sorted(folder.glob(f"{split}-*.parquet"))), None)
