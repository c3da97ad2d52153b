"""Which labels a model is measured against: those of a level of theory, or of the one that it was trained at."""

from collections.abc import Sequence
from typing import Final

from dataset_builders.chemistry.levels import find_level
from dataset_builders.tasks.regions import TaskName
from harness.data.dataset import PinnedDataset, open_dataset, open_levels

AUTO: Final = "auto"
"""Labels of the level that the model was trained at, where the data set holds them."""


def open_labels(text: str, labels: str) -> tuple[PinnedDataset, ...]:
    """Opens a data set at a level of theory, or at each that it holds.

    Args:
        text: As for `open_dataset`.
        labels: Name of a level, or `auto` for each.

    Raises:
        MlipOodError: As `find_level` and `open_dataset` do.
    """
    return open_levels(text) if labels == AUTO else (open_dataset(text, find_level(labels)),)


def labels_for(
    level_of_theory: str | None, datasets: Sequence[PinnedDataset], tasks: Sequence[TaskName]
) -> PinnedDataset:
    """The labels that a model is measured against.

    Levels are compared by their text, so that another basis or another dispersion correction is another level.

    Args:
        level_of_theory: Level that the model was trained at; `None` where it is unknown.
        datasets: One data set at one or more levels.
        tasks: Tasks that the model is to be measured on; empty for all that the data set holds.

    Returns:
        The data set at the model's own level, where it holds the tasks there; else at the first level.
    """
    own = [each for each in datasets if each.level_of_theory == level_of_theory and set(tasks) <= set(each.tasks)]
    return next(iter([*own, *datasets]))
