"""The words of a split of a task."""

from collections.abc import Collection

from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.regions import Task
from dataset_builders.tasks.words import Word


def words_of_split(task: Task, split: SplitName, molecules: Collection[str] = ()) -> tuple[Word, ...]:
    """The words of a split, limited to the given molecule ids if there are any."""
    words = task.ood_words() if split == "test_ood" else task.train_words()
    return tuple(word for word in words if not molecules or word.molecule_id in molecules)
