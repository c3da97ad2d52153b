"""The four tasks of compositional generalisation, as declarative regions of word space.

A task names the words a model may train on and the unseen combinations it is tested on. The terms
are those of Hupkes et al., "Compositionality decomposed", JAIR 67 (2020).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from dataset_builders.errors import UsageError
from dataset_builders.words import FRAGMENTS, Fragment, Word, word

TaskName = Literal["task1", "task2", "task3", "task4"]
RightEnd = Literal["H", "same", "other"]


@dataclass(frozen=True, slots=True)
class Region:
    """A set of words: every left fragment with every spacer, and a rule for the right end.

    Attributes:
        left: Fragments at the left end.
        spacers: Numbers of CH2 groups.
        right: `H`, the `same` fragment as on the left, or every `other` fragment of `left`.
    """

    left: tuple[Fragment, ...]
    spacers: tuple[int, ...]
    right: RightEnd

    def words(self) -> tuple[Word, ...]:
        """The words of the region, each once, in the order of declaration."""
        found = (
            word(left, spacer, right)
            for left in self.left
            for spacer in self.spacers
            for right in self._right_ends(left)
        )
        return tuple(dict.fromkeys(found))

    def _right_ends(self, left: Fragment) -> tuple[Fragment, ...]:
        if self.right == "H":
            return ("H",)
        if self.right == "same":
            return (left,)
        return tuple(fragment for fragment in self.left if fragment != left)


@dataclass(frozen=True, slots=True)
class Task:
    """One task: where a model trains and where it is tested.

    Attributes:
        name: Name of the data-set configuration.
        title: Name for people.
        tests: What of compositional generalisation it tests, after Hupkes et al. (2020).
        train: Regions of the training molecules.
        ood: Regions of the unseen combinations.
        has_subsets: Whether its OOD molecules fall into `near` and `far`, by whether training covers
            them at radius 3, that is, whether their two fragments see each other.
        origin: Whether the literature describes the task or this benchmark designed it.
    """

    name: TaskName
    title: str
    tests: str
    train: tuple[Region, ...]
    ood: tuple[Region, ...]
    has_subsets: bool
    origin: str

    def train_words(self) -> tuple[Word, ...]:
        """Words of the training molecules, each once."""
        return _distinct_words(self.train)

    def ood_words(self) -> tuple[Word, ...]:
        """Words of the unseen combinations, each once."""
        return _distinct_words(self.ood)


def _distinct_words(regions: tuple[Region, ...]) -> tuple[Word, ...]:
    return tuple(dict.fromkeys(word for region in regions for word in region.words()))


_DUPLICATED: Final[tuple[Fragment, ...]] = ("OH", "SH", "NH2", "Cl", "CN", "CHO", "COOH", "CONH2")
_COMBINED: Final[tuple[Fragment, ...]] = ("OH", "NH2", "Cl", "CN", "CHO", "COOH")
_SHOWN_LONG: Final[tuple[Fragment, ...]] = ("H", "SH", "F", "Cl", "CHO", "CONH2")
_SHOWN_SHORT: Final[tuple[Fragment, ...]] = ("OH", "NH2", "CN", "COOH")

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
                train=(Region(_COMBINED, (2, 4, 6, 8), "H"), Region(_COMBINED, (2, 4, 6), "same")),
                ood=(Region(_COMBINED, (2, 6), "other"),),
                has_subsets=True,
                origin=_OWN,
            ),
            Task(
                name="task4",
                title="fragment transfer",
                tests="systematicity of fragment x length",
                train=(Region(_SHOWN_LONG, (2, 4, 6, 8, 10, 12), "H"), Region(_SHOWN_SHORT, (2, 3, 4), "H")),
                ood=(Region(_SHOWN_SHORT, (6, 8, 10, 12), "H"),),
                has_subsets=False,
                origin=_OWN,
            ),
        )
    }
)
"""The tasks by name."""


def find_task(name: str) -> Task:
    """Returns the task of that name.

    Raises:
        UsageError: If there is none.
    """
    for task in TASKS.values():
        if task.name == name:
            return task
    raise UsageError(f"unknown task {name!r}; known tasks: {' '.join(TASKS)}")


def all_words() -> tuple[Word, ...]:
    """Every distinct word of the four tasks, in the order of the tasks."""
    return tuple(dict.fromkeys(word for task in TASKS.values() for word in (*task.train_words(), *task.ood_words())))
