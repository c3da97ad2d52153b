"""Tasks of compositional generalisation as declarative regions of word space: the four of version 1.0, and custom ones.

A task names the words a model may train on and the unseen combinations it is tested on. The terms
are those of Hupkes et al., "Compositionality decomposed", JAIR 67 (2020).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.fragments import (
    BUILT_IN,
    FRAGMENTS,
    RESERVED_NAMES,
    Fragment,
    FragmentName,
    Vocabulary,
    vocabulary_with,
)
from dataset_builders.tasks.words import Word, word

TaskName: TypeAlias = str
"""Name of a task, such as `task1`; it matches `TASK_PATTERN`."""

RESERVED_NAME: Final = "overall"
"""Name that no task may have: the mean score of the four tasks is published under it."""

TASK_PATTERN: Final = r"[a-z][a-z0-9_]{0,39}"
"""Pattern of task names: without `-`, which precedes the level of theory in the name of a configuration."""

RightEnd: TypeAlias = str
"""Rule for the right end of the words of a region; see `Region`."""


@dataclass(frozen=True, slots=True)
class Region:
    """A set of words: every left fragment with every spacer, and a rule for the right end.

    Attributes:
        left: Fragments at the left end.
        spacers: Numbers of CH2 groups.
        right: The name of a fragment, such as `H`; or the `same` fragment as on the left, or every `other` fragment
            of `left`.
    """

    left: tuple[FragmentName, ...]
    spacers: tuple[int, ...]
    right: RightEnd

    def words(self, vocabulary: Vocabulary = BUILT_IN) -> tuple[Word, ...]:
        """The distinct words of the region, in the order of declaration.

        Raises:
            UsageError: If a fragment is not in the vocabulary, or a spacer is shorter than one methylene group.
        """
        found = (
            word(left, spacer, right, vocabulary)
            for left in self.left
            for spacer in self.spacers
            for right in self.right_ends(left)
        )
        return tuple(dict.fromkeys(found))

    @property
    def right_is_named(self) -> bool:
        """Whether all words have one right end, by name."""
        return self.right not in RESERVED_NAMES

    def right_ends(self, left: FragmentName) -> tuple[FragmentName, ...]:
        """What stands at the right end of the words that begin with a fragment."""
        if self.right == "same":
            return (left,)
        if self.right == "other":
            return tuple(fragment for fragment in self.left if fragment != left)
        return (self.right,)


@dataclass(frozen=True, slots=True)
class Task:
    """One task: the words for training and the words for testing.

    Attributes:
        name: Name of the data-set configuration.
        title: Display name.
        tests: Aspect of compositional generalisation that it tests, after Hupkes et al. (2020).
        train: Regions of the training molecules.
        ood: Regions of the unseen combinations.
        has_subsets: Whether its OOD molecules are split into `far` and `near`: `far` if training covers their
            environments up to radius 3.
        origin: Whether the task is from the literature or was designed for this benchmark.
        fragments: Custom fragments, in addition to the built-in ones.
    """

    name: TaskName
    title: str
    tests: str
    train: tuple[Region, ...]
    ood: tuple[Region, ...]
    has_subsets: bool
    origin: str
    fragments: tuple[Fragment, ...] = ()

    @property
    def vocabulary(self) -> Vocabulary:
        """The fragments available to its words."""
        return vocabulary_with(self.fragments) if self.fragments else BUILT_IN

    def train_words(self) -> tuple[Word, ...]:
        """Distinct words of the training molecules."""
        return self._distinct_words(self.train)

    def ood_words(self) -> tuple[Word, ...]:
        """Distinct words of the unseen combinations."""
        return self._distinct_words(self.ood)

    def has_molecules_of(self, other: "Task") -> bool:
        """Whether another task has the same training and OOD molecules, whatever their names."""
        mine, theirs = (
            [{word.smiles for word in words} for words in (task.train_words(), task.ood_words())]
            for task in (self, other)
        )
        return mine == theirs

    def _distinct_words(self, regions: tuple[Region, ...]) -> tuple[Word, ...]:
        vocabulary = self.vocabulary
        return tuple(dict.fromkeys(word for region in regions for word in region.words(vocabulary)))


_DUPLICATED: Final[tuple[FragmentName, ...]] = ("OH", "SH", "NH2", "Cl", "CN", "CHO", "COOH", "CONH2")
_COMBINED: Final[tuple[FragmentName, ...]] = ("OH", "NH2", "Cl", "CN", "CHO", "COOH")
_TRANSFERRED: Final[tuple[FragmentName, ...]] = ("OH", "NH2", "CN", "COOH")

_PUBLISHED: Final = "named in arXiv 2605.08988; regions chosen here"
_OWN: Final = "designed for this benchmark"

TASKS: Final[Mapping[TaskName, Task]] = MappingProxyType(
    {
        task.name: task
        for task in (
            Task(
                name="task1",
                title="chain extension",
                tests="productivity",
                train=(Region(FRAGMENTS, (2, 3, 4), "H"),),
                ood=(Region(FRAGMENTS, (6, 8, 10, 12), "H"),),
                has_subsets=False,
                origin=_PUBLISHED,
            ),
            Task(
                name="task2",
                title="fragment duplication",
                tests="productivity of a fragment",
                train=(Region(("H", *_DUPLICATED), (2, 4, 6, 8), "H"),),
                ood=(Region(_DUPLICATED, (2, 4, 6), "same"),),
                has_subsets=True,
                origin=_PUBLISHED,
            ),
            Task(
                name="task3",
                title="fragment combination",
                tests="systematicity",
                train=(Region(("H", *_COMBINED), (2, 4, 6, 8), "H"),),
                ood=(Region(_COMBINED, (2, 6), "other"),),
                has_subsets=True,
                origin=_OWN,
            ),
            Task(
                name="task4",
                title="fragment transfer",
                tests="systematicity of fragment x length",
                train=(Region(("H",), (2, 4, 6, 8, 10, 12), "H"), Region(_TRANSFERRED, (2, 3, 4), "H")),
                ood=(Region(_TRANSFERRED, (6, 8, 10, 12), "H"),),
                has_subsets=False,
                origin=_OWN,
            ),
        )
    }
)
"""The four tasks of version 1.0 by name; the overall score is the mean of their scores."""


def in_order(names: Iterable[TaskName]) -> tuple[TaskName, ...]:
    """Distinct names of tasks: the four in their order, then others by name."""
    found = set(names)
    return (*(name for name in TASKS if name in found), *sorted(found - TASKS.keys()))


def title_of(name: TaskName, declared: str | None) -> str:
    """Title of a task: that of version 1.0 for the four tasks, the declared one for others."""
    return TASKS[name].title if name in TASKS else declared or name


def find_task(name: str) -> Task:
    """Returns the one of the four tasks with this name.

    Raises:
        UsageError: If there is none.
    """
    for task in TASKS.values():
        if task.name == name:
            return task
    raise UsageError(f"unknown task {name!r}; known tasks: {' '.join(TASKS)}")


DECLARATION: Final = "task"
"""Key of a declaration in the metadata of Parquet files and in the config of checkpoints."""
