"""Names of the folders of a method: those of tasks, and in each of them `seed0`, `seed1`, ... where there are seeds."""

import re
from pathlib import PurePosixPath
from typing import Final

from dataset_builders.tasks.regions import TaskName

_SEED: Final = re.compile(r"seed(0|[1-9]\d{0,8})", re.ASCII)
_SEED_FOLDER: Final = re.compile(r"seeds?(?:[\W_\d].*)?", re.IGNORECASE)
_TASK_FOLDER: Final = re.compile(r"tasks?[\W_]*\d.*", re.IGNORECASE)


def place_of(task: TaskName, seed: int | None) -> str:
    """Where the model of a task and seed lies in the folder of a method, such as `task1/seed0`."""
    return str(PurePosixPath(task, *([] if seed is None else [f"seed{seed}"])))


def seed_of(folder: str) -> int | None:
    """The seed that a folder is named after; `None` for another name."""
    found = _SEED.fullmatch(folder)
    return None if found is None else int(found[1])


def looks_like_seed(folder: str) -> bool:
    """Whether somebody may have meant the folder of a seed, such as `seed_1` or `Seed1`."""
    return _SEED_FOLDER.fullmatch(folder) is not None


def looks_like_task(folder: str) -> bool:
    """Whether somebody may have meant the folder of a task, such as `Task1`, `task_2` or `task9`."""
    return _TASK_FOLDER.fullmatch(folder) is not None
