"""Which molecules training shows, and which are tested without having been shown, as drawings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from dataset_builders.tasks.words import Word
from harness.pages.report.drawings import drawing, plain_drawing
from harness.pages.report.number_text import error_text
from harness.pages.report.view import TaskView

_BARE: Final = "H"
_MOST_DRAWN: Final = 80
_EXAMPLES: Final = 2


@dataclass(frozen=True, slots=True)
class DrawnMolecule:
    """One molecule of the gallery.

    Attributes:
        name: Its `molecule_id`.
        svg: Its drawing, made by RDKit.
        note: Its subset and its force MAE in meV/Å, where it was tested.
    """

    name: str
    svg: str
    note: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """The molecules of a task.

    Attributes:
        trained: Molecules in `train`.
        tested: OOD molecules, which are not.
        more_trained: Names of those that are not drawn, where there are many.
        more_tested: The same for OOD molecules.
        note: Where the training molecules are known from.
    """

    trained: tuple[DrawnMolecule, ...]
    tested: tuple[DrawnMolecule, ...]
    more_trained: tuple[str, ...]
    more_tested: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Example:
    """An OOD molecule beside training molecules with its fragments.

    Attributes:
        seen: One or two training molecules.
        unseen: The OOD molecule.
    """

    seen: tuple[DrawnMolecule, ...]
    unseen: DrawnMolecule


def gallery(view: TaskView) -> Gallery:
    """All molecules of a task; errors are those of the run."""
    names = _names(view)
    trained, tested = sorted(names[0], key=_order(view)), sorted(names[1], key=_order(view))
    errors = _errors(view)
    draw = _Drawer(view)
    note = (
        "Training molecules are those with frames in train."
        if view.frames.trained is not None
        else "The data set has no training frames at this level of theory; shown are the training molecules that the "
        "task declares."
    )
    return Gallery(
        tuple(draw(name, errors.get(("test_id", name), "")) for name in trained[:_MOST_DRAWN]),
        tuple(draw(name, errors.get(("test_ood", name), "")) for name in tested[:_MOST_DRAWN]),
        tuple(trained[_MOST_DRAWN:]),
        tuple(tested[_MOST_DRAWN:]),
        note,
    )


def examples(view: TaskView) -> tuple[Example, ...]:
    """A few of the shortest OOD molecules, each with training molecules that show its fragments at a near spacer."""
    trained_names, tested_names = _names(view)
    words = _words(view)
    trained = [words[name] for name in sorted(trained_names, key=_order(view)) if name in words]
    tested = [words[name] for name in sorted(tested_names, key=_order(view)) if name in words]
    shortest = min((word.spacer for word in tested), default=0)
    tested = [word for word in tested if word.spacer == shortest]
    draw, found = _Drawer(view), []
    chosen = dict.fromkeys(tested[place * len(tested) // (2 * _EXAMPLES)] for place in range(1, 2 * _EXAMPLES, 2))
    for word in chosen if tested else ():
        parents = [_parent(word, end, trained) for end in dict.fromkeys((word.left, word.right)) if end != _BARE]
        seen = dict.fromkeys(parent for parent in parents or [_parent(word, _BARE, trained)] if parent is not None)
        found.append(Example(tuple(draw(each.molecule_id, "") for each in seen), draw(word.molecule_id, "")))
    return tuple(found)


def _parent(word: Word, end: str, trained: Iterable[Word]) -> Word | None:
    """The training molecule with an end fragment whose spacer is nearest."""
    with_end = [each for each in trained if end in (each.left, each.right)]
    return min(with_end, key=lambda each: (abs(each.spacer - word.spacer), each.spacer, each.molecule_id), default=None)


class _Drawer:
    """Draws molecules of a task by name."""

    def __init__(self, view: TaskView) -> None:
        self._words = _words(view)
        self._smiles = {name: text for split in view.frames.splits.values() for name, text in split.smiles.items()}
        ends = {end for word in view.declared.train_words() for end in (word.left, word.right)}
        self._shared = frozenset(ends - {_BARE})

    def __call__(self, name: str, note: str) -> DrawnMolecule:
        word = self._words.get(name)
        svg = plain_drawing(self._smiles[name]) if word is None else drawing(word, self._shared)
        return DrawnMolecule(name, svg, note)


def _words(view: TaskView) -> Mapping[str, Word]:
    declared = (*view.declared.train_words(), *view.declared.ood_words())
    return {word.molecule_id: word for word in declared}


def _names(view: TaskView) -> tuple[set[str], set[str]]:
    """Names of the training and of the OOD molecules that can be drawn."""
    words, splits = _words(view), view.frames.splits
    declared = {word.molecule_id for word in view.declared.train_words()}
    trained = declared if view.frames.trained is None else set(view.frames.trained)
    return (
        {name for name in trained if name in words or name in splits["test_id"].smiles},
        set(splits["test_ood"].smiles),
    )


def _order(view: TaskView) -> "_Order":
    return _Order({name: place for place, name in enumerate(_words(view))})


@dataclass(frozen=True, slots=True)
class _Order:
    """Order of declaration: fragment by fragment, short chains first."""

    places: Mapping[str, int]

    def __call__(self, name: str) -> tuple[int, str]:
        return self.places.get(name, len(self.places)), name


def _errors(view: TaskView) -> dict[tuple[str, str], str]:
    """Subset and error of each molecule, by split and name."""
    return {
        (row.split, row.molecule_id): f"{f'{row.subset}, ' if row.subset else ''}{error_text(row.force_mae)}"
        for row in view.task.by_molecule
    }
