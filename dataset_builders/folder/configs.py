"""Names of the configurations of a data-set folder and of the files of their splits."""

import re
from typing import Final

from dataset_builders.chemistry.levels import LEVELS_BY_SUFFIX, Level
from dataset_builders.tasks.editions import SPLITS
from dataset_builders.tasks.regions import TASK_PATTERN, TaskName

CONFIG: Final = re.compile(rf"({TASK_PATTERN})(?:-({'|'.join(filter(None, LEVELS_BY_SUFFIX))}))?")
"""Name of a configuration: its task, and the suffix of its level of theory."""

SPLIT_FILE: Final = re.compile(rf"({'|'.join(SPLITS)})-[^/]*\.parquet")
"""Name of a Parquet file of a configuration."""


def task_of_config(config: str) -> TaskName:
    """The task of a configuration."""
    return config.partition("-")[0]


def level_of_config(config: str) -> Level | None:
    """The level of theory of a configuration; `None` if the name is not that of a configuration."""
    found = CONFIG.fullmatch(config)
    return LEVELS_BY_SUFFIX[found[2] or ""] if found else None


def is_split_at(path: str, level: Level) -> bool:
    """Whether a path, relative to the data-set folder, belongs to a configuration at a level of theory."""
    folder, _, name = path.partition("/")
    found = level_of_config(folder)
    return found is not None and found.suffix == level.suffix and SPLIT_FILE.fullmatch(name) is not None
