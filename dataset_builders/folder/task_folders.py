"""The tasks of a data-set folder: its configurations, and the declarations in their files."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.chemistry.levels import GFN2, Level
from dataset_builders.core.errors import DataError
from dataset_builders.folder.configs import CONFIG
from dataset_builders.folder.schema import read_metadata
from dataset_builders.tasks.editions import SPLITS
from dataset_builders.tasks.regions import TASKS, Task, TaskName, in_order
from dataset_builders.tasks.task_document import task_of_metadata


class Folder(Protocol):
    """Interface of a local or remote folder."""

    @property
    def name(self) -> str:
        """Its name in the parent folder."""
        ...

    def __truediv__(self, name: str) -> "Folder":
        """The entry with a name."""
        ...

    def is_dir(self) -> bool:
        """Whether it exists."""
        ...

    def iterdir(self) -> Iterable[Any]:
        """Its entries."""
        ...

    def glob(self, pattern: str) -> Iterable[Any]:
        """Its files whose names match."""
        ...


def task_names(directory: Folder, level: Level = GFN2) -> tuple[TaskName, ...]:
    """The tasks of a data-set folder at a level of theory: the four in their order, then others by name.

    A folder without a Parquet file is not a task.
    """
    if not directory.is_dir():
        return ()
    matches = [(path, CONFIG.fullmatch(path.name)) for path in directory.iterdir() if path.is_dir()]
    named = {match[1]: path for path, match in matches if match and (match[2] or "") == level.suffix}
    return in_order(name for name, folder in named.items() if any(folder.glob("*.parquet")))


def task_in(
    directory: Folder, name: TaskName, level: Level = GFN2, schema_of: Callable[[Any], pa.Schema] = pq.read_schema
) -> Task:
    """A task of a data-set folder.

    Args:
        directory: The data-set folder.
        name: One of `task_names`.
        level: Level of theory of its labels.
        schema_of: Reads the schema of a file of the folder.

    Raises:
        DataError: If it is not one of the four and the files of its configuration do not declare it.
    """
    if name in TASKS:
        return TASKS[name]
    path = _first_file(directory / level.config(name))
    if path is None:
        present = " ".join(task_names(directory, level)) or "none"
        raise DataError(f"{directory} has no configuration {level.config(name)}; its tasks: {present}")
    return task_of_metadata(_metadata_of(path, schema_of), name, str(path))


def metadata_by_config(directory: Path) -> dict[str, dict[str, Any]]:
    """Metadata of the first file of each configuration of a data-set folder, by the name of the configuration.

    Raises:
        DataError: If a file cannot be read.
    """
    folders = sorted(directory.iterdir()) if directory.is_dir() else []
    first = {folder.name: _first_file(folder) for folder in folders if CONFIG.fullmatch(folder.name)}
    return {config: _metadata_of(path) for config, path in first.items() if path is not None}


def _metadata_of(path: Any, schema_of: Callable[[Any], pa.Schema] = pq.read_schema) -> dict[str, Any]:
    try:
        return read_metadata(schema_of(path))
    except (OSError, pa.ArrowException, TypeError, ValueError) as cause:
        raise DataError(f"the metadata of {path} cannot be read ({cause}); download or build it again") from cause


def _first_file(folder: Folder) -> Any:
    """A file of a configuration, or `None`."""
    # Training must not open a file of a test split, so those of `train` come first.
    return next((path for split in SPLITS for path in sorted(folder.glob(f"{split}-*.parquet"))), None)
