"""Where the training frames of a task lie: a folder, or the Hub, of which only their files are fetched."""

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
    """A folder with the training files of a task.

    Attributes:
        id: What the user asked for: `mini`, a folder, or a Hub id without its revision.
        directory: The folder.
        revision: Commit on the Hub; `None` for a local folder.
    """

    id: str
    directory: Path
    revision: str | None = None


def find_training_files(text: str, task: TaskName, level: Level = GFN2) -> TrainingSource:
    """Finds the data set that a user asked for; of one on the Hub, fetches `train` and `validation` of the task alone.

    Whether a data set on the Hub holds the task is not known before.

    Args:
        text: `mini`, a folder, or a Hub id `org/name[@revision]`, as the evaluation takes it.
        task: What will be trained on.
        level: Level of theory of the labels.

    Raises:
        UsageError: If the data set is to be read on the Hub, or the task is none of the four, and none that the data
            set declares.
        DataError: If there is no such folder or repo.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    if text == MINI:
        return _with_task(TrainingSource(MINI, MINI_DIRECTORY), task, level)
    if Path(text).is_dir():
        return _with_task(TrainingSource(text, Path(text)), task, level)
    if text.startswith(PREFIX):
        raise UsageError(
            f"--dataset {text} is read where it lies, and training reads its frames again and again; use --dataset "
            f"{id_to_download(text)}, which downloads what it needs of them once"
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
