"""Every distinct word of the four tasks."""

from typing import Final

from dataset_builders.tasks.regions import TASKS
from dataset_builders.tasks.words import Word

ALL_WORDS: Final[tuple[Word, ...]] = tuple(
    dict.fromkeys(word for task in TASKS.values() for word in (*task.train_words(), *task.ood_words()))
)
