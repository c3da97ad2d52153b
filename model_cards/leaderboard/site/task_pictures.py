"""What the tasks are, as drawn molecules: some that training shows, and unseen combinations of the same parts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.chemistry.ordered_molecule import ordered_molecule
from dataset_builders.tasks.regions import TASKS, Task
from dataset_builders.tasks.words import Word, parse_word

if TYPE_CHECKING:
    from rdkit.Chem import Mol

_BOND_LENGTH: Final = 20.0
"""Pixels a bond; all molecules of the page have one scale."""
_MARKS: Final = ((0.2, 0.4, 0.6), (0.6, 0.4, 0.2))
"""Colours of the first and the second fragment of a picture, which the colours of the page replace."""
_CLASSES: Final[Mapping[str, str]] = {
    "#336699": "var(--part-a)",
    "#996633": "var(--part-b)",
    "#000000": "currentColor",
}
_AROUND: Final = re.compile(r"<\?xml.*?\?>|<!--.*?-->|<!DOCTYPE.*?>", re.DOTALL)
_SVG: Final = re.compile(r"<svg[^>]*?width='(\d+)px' height='(\d+)px'[^>]*>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DrawnMolecule:
    """A drawn molecule.

    Attributes:
        name: Name in the data set, such as `COOH-6-NH2`.
        svg: The drawing, which takes its colours from the page.
    """

    name: str
    svg: str


@dataclass(frozen=True, slots=True)
class TaskPicture:
    """A task with examples of its molecules.

    Attributes:
        task: The task.
        question: What it asks, in a sentence.
        train: Training molecules.
        ood: Unseen combinations.
        n_train: Number of all training molecules.
        n_ood: Number of all OOD molecules.
    """

    task: Task
    question: str
    train: tuple[DrawnMolecule, ...]
    ood: tuple[DrawnMolecule, ...]
    n_train: int
    n_ood: int


EXAMPLES: Final[Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]]] = {
    "task1": (
        "Training shows each fragment on short chains. What happens on chains three times as long?",
        ("OH-2-H", "OH-3-H", "OH-4-H"),
        ("OH-6-H", "OH-12-H"),
    ),
    "task2": (
        "Training shows each fragment once in a molecule. What happens if it stands at both ends?",
        ("OH-2-H", "OH-4-H", "OH-8-H"),
        ("OH-2-OH", "OH-6-OH"),
    ),
    "task3": (
        "Training shows two fragments, each in a molecule of its own. What happens if they meet in one?",
        ("COOH-6-H", "NH2-6-H"),
        ("COOH-2-NH2", "COOH-6-NH2"),
    ),
    "task4": (
        "Training shows long chains without a fragment, and the fragment on short chains. What happens on long ones?",
        ("H-12-H", "CN-2-H", "CN-4-H"),
        ("CN-6-H", "CN-12-H"),
    ),
}
"""Question, training molecules and OOD molecules of each task."""


@cache
def task_pictures() -> tuple[TaskPicture, ...]:
    """The four tasks with drawn examples."""
    return tuple(_picture(task) for task in TASKS.values())


def _picture(task: Task) -> TaskPicture:
    question, train, ood = EXAMPLES[task.name]
    words = [parse_word(name) for name in (*train, *ood)]
    ends = (end for word in words for end in (word.left, word.right) if end != "H")
    places = {name: place for place, name in enumerate(dict.fromkeys(ends))}
    drawn = {word.molecule_id: draw_molecule(word, places) for word in words}
    return TaskPicture(
        task,
        question,
        tuple(drawn[name] for name in train),
        tuple(drawn[name] for name in ood),
        len(task.train_words()),
        len(task.ood_words()),
    )


def draw_molecule(word: Word, places: Mapping[str, int]) -> DrawnMolecule:
    """Draws a molecule as a zigzag from left to right, with its fragments marked.

    Args:
        word: The molecule.
        places: Place of each fragment among those of the picture, which gives its colour.
    """
    from rdkit.Chem.Draw import rdMolDraw2D

    mol, fragments = _laid_out(word)
    marks = {atom: _MARKS[places[name] % len(_MARKS)] for name, atoms in fragments for atom in atoms}
    inside = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond.GetIdx()) for bond in mol.GetBonds()]
    bonds = {bond: marks[begin] for begin, end, bond in inside if begin in marks and marks[begin] == marks.get(end)}
    # A canvas of no given size takes that of the molecule.
    drawer = rdMolDraw2D.MolDraw2DSVG(-1, -1)
    options: Any = drawer.drawOptions()
    options.useBWAtomPalette()
    options.clearBackground = False
    options.fixedBondLength = _BOND_LENGTH
    options.bondLineWidth = 1.5
    options.highlightRadius = 0.42
    options.minFontSize = options.maxFontSize = 13
    rdMolDraw2D.PrepareAndDrawMolecule(
        drawer, mol, highlightAtoms=[*marks], highlightAtomColors=marks,
        highlightBonds=[*bonds], highlightBondColors=bonds,
    )  # fmt: skip
    drawer.FinishDrawing()
    return DrawnMolecule(word.molecule_id, _for_page(drawer.GetDrawingText(), word.molecule_id))


def _laid_out(word: Word) -> "tuple[Mol, list[tuple[str, range]]]":
    """A molecule with coordinates, and the atoms of its fragments."""
    from rdkit.Chem import rdDepictor

    ordered = ordered_molecule(word)
    mol = ordered.mol
    rdDepictor.Compute2DCoords(mol)
    conformer = mol.GetConformer()
    first, last = 0, ordered.right.start - 1
    if conformer.GetAtomPosition(first).x > conformer.GetAtomPosition(last).x:
        for atom in range(mol.GetNumAtoms()):
            position = conformer.GetAtomPosition(atom)
            conformer.SetAtomPosition(atom, (-position.x, position.y, 0.0))
    fragments = [(word.left, ordered.left), (word.right, ordered.right)]
    return mol, [(name, atoms) for name, atoms in fragments if name != "H"]


def _for_page(svg: str, name: str) -> str:
    """A drawing in the colours of the page, with a name for readers who cannot see it."""
    text = _AROUND.sub("", svg)
    for drawn, on_page in _CLASSES.items():
        text = text.replace(drawn, on_page)
    found = _SVG.search(text)
    assert found is not None
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{found[1]}" height="{found[2]}" '
        f'viewBox="0 0 {found[1]} {found[2]}" role="img" aria-label="{name}">'
    )
    return (head + text[found.end() :]).strip()
