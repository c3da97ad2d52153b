"""Reads the frames to export: `train` and `validation` as in training, test splits only on explicit request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataset_builders.chemistry.levels import GFN2, Level
from dataset_builders.core.errors import UsageError
from dataset_builders.folder.task_folders import task_in
from dataset_builders.tasks.editions import SPLITS, SplitName
from dataset_builders.tasks.regions import Task, TaskName
from harness.data.dataset import MINI, PinnedDataset, open_dataset, split_files
from harness.data.rows import SplitRows, read_split, stream_split
from harness.hub.hub_folder import PREFIX, id_to_download
from harness.train.data_source import TRAINING_SPLITS, find_training_files
from harness.train.task_data import pin_training_files, read_training_split, stream_training_split

DEFAULT_SPLITS: Final[tuple[SplitName, ...]] = TRAINING_SPLITS

CHARGE: Final = 0
SPIN_MULTIPLICITY: Final = 1
"""All molecules of the benchmark are neutral and closed-shell."""


@dataclass(frozen=True, slots=True)
class ExportSource:
    """A task of a data set to export.

    Attributes:
        id: `mini`, a Hub id, or the name of a local folder, without its parent folders.
        dataset: The data set; its hash covers the files of `train` and `validation` of the task, as far as it has them.
        revision: Commit on the Hub; `None` for local files.
        task: The task.
        splits: Splits to export, in the order of `SPLITS`.
    """

    id: str
    dataset: PinnedDataset
    revision: str | None
    task: Task
    splits: tuple[SplitName, ...]


def open_source(
    text: str, task: TaskName, splits: Sequence[SplitName] = DEFAULT_SPLITS, level: Level = GFN2
) -> ExportSource:
    """Finds the requested data set; downloads the required files of one on the Hub.

    Files of test splits are neither opened nor downloaded unless requested.

    Args:
        text: `mini`, a folder, or a Hub id `org/name[@revision]`.
        task: One of the four, or a task that the data set declares.
        splits: Splits to export.
        level: Level of theory of the labels.

    Raises:
        UsageError: If the id asks to read the data set in place on the Hub, or the task or a split does not exist.
        DataError: If the data set is absent or corrupt, or lacks a split.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    for split in splits:
        _require_split(split)
    if text.startswith(PREFIX):
        raise UsageError(
            f"{text} would be read over the network repeatedly; use {id_to_download(text)}, which downloads the "
            "required files once"
        )
    if is_training(splits):
        found = find_training_files(text, task, level)
        directory, name, revision = found.directory, found.id, found.revision
    else:
        opened = open_dataset(text, level)
        opened.named_tasks([task])
        directory, name, revision = Path(str(opened.directory)), opened.id, opened.revision
    is_folder = revision is None and name != MINI
    return ExportSource(
        id=Path(name).resolve().name or "/" if is_folder else name,
        dataset=pin_training_files(directory, task, level, [each for each in TRAINING_SPLITS if each in splits]),
        revision=revision,
        task=task_in(directory, task, level),
        splits=tuple(split for split in SPLITS if split in splits),
    )


def is_training(splits: Sequence[SplitName]) -> bool:
    """Whether a model may be trained on all of these splits."""
    return set(splits) <= set(TRAINING_SPLITS)


def stream(dataset: PinnedDataset, task: TaskName, split: SplitName) -> Iterator[SplitRows]:
    """Yields the rows of a split, piece by piece, in file order.

    Raises:
        UsageError: If there is no such split.
        DataError: If a file is absent or corrupt.
    """
    _require_split(split)
    if is_training([split]):
        return stream_training_split(dataset, task, split)
    return stream_split(dataset, task, split)


def read(dataset: PinnedDataset, task: TaskName, split: SplitName) -> SplitRows:
    """Reads all rows of a split at once.

    Raises:
        UsageError: If there is no such split.
        DataError: If a file is absent or corrupt, or a frame occurs twice.
    """
    _require_split(split)
    return read_training_split(dataset, task, split) if is_training([split]) else read_split(dataset, task, split)


def opened(dataset: PinnedDataset | str, task: TaskName, split: SplitName, level: Level) -> PinnedDataset:
    """Returns an open data set, or opens the one of a given name; see `open_source`.

    Raises:
        UsageError: If there is no such task or split.
        DataError: If the data set is absent or corrupt, or lacks the split.
    """
    if isinstance(dataset, str):
        return open_source(dataset, task, (split,), level).dataset
    _require_split(split)
    dataset.named_tasks([task])
    split_files(dataset.directory, task, split, dataset.level)  # checked before a generator waits for its first frame
    return dataset


def _require_split(split: str) -> None:
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}; known splits: {' '.join(SPLITS)}")
