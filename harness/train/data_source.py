"""Locates the training frames of a task: in a folder, or on the Hub, from which only their files are downloaded."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from dataset_builders.chemistry.levels import GFN2, Level
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.hub.names import REPO_ID
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.folder.task_folders import task_names
from dataset_builders.tasks.regions import TASK_PATTERN, TASKS, TaskName, in_order
from harness.data.dataset import MINI
from harness.hub.hub_folder import PREFIX, id_to_download

TrainingSplit = Literal["train", "validation"]
TRAINING_SPLITS: Final[tuple[TrainingSplit, ...]] = get_args(TrainingSplit)

_HUB_ID: Final = re.compile(rf"(?P<repo>{REPO_ID})(?:@(?P<revision>\S+))?", flags=re.ASCII)


@dataclass(frozen=True, slots=True)
class TrainingSource:
    """A folder that contains the training files of a task.

    Attributes:
        id: As the user gave it: `mini`, a folder, or a Hub id without its revision.
        directory: The folder.
        revision: Commit on the Hub; `None` for a local folder.
    """

    id: str
    directory: Path
    revision: str | None = None


def find_training_files(text: str, task: TaskName, level: Level = GFN2) -> TrainingSource:
    """Finds the requested data set; from the Hub, only `train` and `validation` of the task are downloaded.

    Whether a data set on the Hub has the task is not checked in advance.

    Args:
        text: `mini`, a folder, or a Hub id `org/name[@revision]`, as for the evaluation.
        task: Task to train on.
        level: Level of theory of the labels.

    Raises:
        UsageError: If the id asks to read the data set in place on the Hub, or the task is neither one of the four nor
            declared by the data set.
        DataError: If there is no such folder or repo.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    if text == MINI:
        return _with_task(TrainingSource(MINI, MINI_DIRECTORY), task, level)
    if Path(text).is_dir():
        return _with_task(TrainingSource(text, Path(text)), task, level)
    if text.startswith(PREFIX):
        raise UsageError(
            f"--dataset {text} would be read over the network repeatedly; use --dataset {id_to_download(text)}, which "
            "downloads the required files once"
        )
    hub_id = _HUB_ID.fullmatch(text)
    if hub_id is None or Path(text).exists():
        raise DataError(
            f"there is no data-set folder {text!r}; expected `{MINI}`, an existing folder, or a Hub id "
            "org/name[@revision]"
        )
    if not re.fullmatch(TASK_PATTERN, task):
        raise UsageError(f"unknown task {task!r}; expected one of {' '.join(TASKS)}, or one that {text} declares")
    from harness.hub.download import fetch_snapshot

    patterns = [f"{level.config(task)}/{split}-*.parquet" for split in TRAINING_SPLITS]
    found = fetch_snapshot(hub_id["repo"], hub_id["revision"], patterns)
    return _with_task(TrainingSource(found.repo_id, found.directory, found.commit), task, level)


def _with_task(source: TrainingSource, task: TaskName, level: Level) -> TrainingSource:
    known = in_order([*TASKS, *task_names(source.directory, level)])
    if task not in known:
        raise UsageError(f"unknown task {task!r}; known tasks of {source.id}: {' '.join(known)}")
    return source
