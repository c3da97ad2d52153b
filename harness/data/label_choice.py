"""Chooses the labels for a model: those of a given level of theory, or of the level nearest to that of its training."""

from collections.abc import Sequence
from typing import Final

from dataset_builders.chemistry.levels import find_level
from dataset_builders.tasks.regions import TaskName, in_order
from harness.data.dataset import PinnedDataset, open_dataset, open_levels
from harness.data.level_distances import LevelDistance, distance_between

AUTO: Final = "auto"
"""Labels of the level that the model was trained at, else of the nearest level, of those that the data set contains."""


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
    level_of_theory: str | None,
    datasets: Sequence[PinnedDataset],
    tasks: Sequence[TaskName],
    known: Sequence[LevelDistance] | None = None,
) -> PinnedDataset:
    """The labels that a model is evaluated on.

    Levels are compared as text, so a different basis set or dispersion correction is a different level.

    Args:
        level_of_theory: Level that the model was trained at; `None` if unknown.
        datasets: One data set at one or more levels.
        tasks: Tasks to evaluate the model on; empty for all tasks of the data set.
        known: Distances between levels; by default those of the package.

    Returns:
        Of the levels that contain the tasks, the model's own; otherwise the one at the smallest known distance from it;
        otherwise the first. If no level contains all tasks, the first level.
    """
    able = [each for each in datasets if set(tasks) <= set(each.tasks)]
    own = [each for each in able if each.level_of_theory == level_of_theory]
    if own:
        return own[0]
    measured = [(distance_between(level_of_theory, each.level_of_theory, known), each) for each in able]
    near = [(found.size, each) for found, each in measured if found is not None]
    if near:
        return min(near, key=lambda pair: pair[0])[1]
    return next(iter([*able, *datasets]))


def tasks_without_labels(
    chosen: PinnedDataset, datasets: Sequence[PinnedDataset], tasks: Sequence[TaskName]
) -> tuple[TaskName, ...]:
    """Tasks that a choice of labels leaves out, though the data set has them at another level.

    Args:
        chosen: The labels.
        datasets: All levels to choose from.
        tasks: Tasks that were asked for; empty for all. A choice leaves out none of these.
    """
    if tasks:
        return ()
    return in_order({task for each in datasets for task in each.tasks} - {*chosen.tasks})
