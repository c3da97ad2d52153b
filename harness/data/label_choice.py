"""Chooses the labels for a model: those of a given level of theory, or of the level that it was trained at."""

from collections.abc import Sequence
from typing import Final

from dataset_builders.chemistry.levels import find_level
from dataset_builders.tasks.regions import TaskName
from harness.data.dataset import PinnedDataset, open_dataset, open_levels

AUTO: Final = "auto"
"""Labels of the level that the model was trained at, if the data set contains them."""


def open_labels(text: str, labels: str) -> tuple[PinnedDataset, ...]:
    """Opens a data set at a level of theory, or at each that it contains.

    Args:
        text: As for `open_dataset`.
        labels: Name of a level, or `auto` for all.

    Raises:
        MlipOodError: As `find_level` and `open_dataset` do.
    """
    return open_levels(text) if labels == AUTO else (open_dataset(text, find_level(labels)),)


def labels_for(
    level_of_theory: str | None, datasets: Sequence[PinnedDataset], tasks: Sequence[TaskName]
) -> PinnedDataset:
    """The labels that a model is evaluated on.

    Levels are compared as text, so a different basis set or dispersion correction is a different level.

    Args:
        level_of_theory: Level that the model was trained at; `None` if unknown.
        datasets: One data set at one or more levels.
        tasks: Tasks to evaluate the model on; empty for all tasks of the data set.

    Returns:
        The data set at the model's level if it contains the tasks there; otherwise at the first level.
    """
    own = [each for each in datasets if each.level_of_theory == level_of_theory and set(tasks) <= set(each.tasks)]
    return next(iter([*own, *datasets]))
