"""The picture on the card of a data set: molecules of each task, drawn, those of training beside an unseen one."""

import functools
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.chemistry.ordered_molecule import OrderedMolecule, ordered_molecule
from dataset_builders.core.palette import SPLITS
from dataset_builders.tasks.regions import Task, TaskName
from dataset_builders.tasks.words import Word, parse_word

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE: Final = "tasks.png"

_EXAMPLES: Final[Mapping[TaskName, tuple[str, str]]] = MappingProxyType(
    {
        "task1": ("COOH-6-H", "a longer chain"),
        "task2": ("OH-4-OH", "the same fragment twice"),
        "task3": ("COOH-6-NH2", "two fragments together"),
        "task4": ("NH2-6-H", "the fragment on a longer chain"),
    }
)
"""An OOD molecule of each task of version 1.0 that is easily read, and what is new about it."""

_DRAWING: Final = 1
"""Version of the drawing; a change draws the pictures of all folders again."""

_N_SEEN: Final = 2
_BOND: Final = 34.0
"""Length of a bond, pixels of the drawing of a molecule."""
_DOTS_PER_INCH: Final = 150
_WIDTH: Final = 8.6
_HEIGHT: Final = 1.42
"""Size of the picture, inches; the height is that of one task."""
_TITLE_WIDTH: Final = 44
_DARK: Final = "#333333"


@dataclass(frozen=True, slots=True)
class Example:
    """What the picture shows of a task.

    Attributes:
        task: The task.
        seen: Molecules of training with the parts of the unseen one.
        unseen: An OOD molecule.
    """

    task: Task
    seen: tuple[Word, ...]
    unseen: Word


@dataclass(frozen=True, slots=True)
class _Place:
    """Middle of a molecule in the picture, and the room for it; inches, down from the top."""

    across: float
    down: float
    width: float


def picture_of(tasks: Iterable[Task], directory: Path | None = None) -> bytes:
    """The picture as PNG.

    Args:
        tasks: Tasks of the data set.
        directory: Its folder. A picture of the same molecules that lies there is kept: another version of RDKit or
            Matplotlib would draw it with other bytes, and a published folder would seem changed.
    """
    examples = tuple(example_of(task) for task in tasks)
    mark = _mark_of(examples)
    present = None if directory is None else directory / PICTURE
    if present is not None and present.is_file() and mark.encode() in (content := present.read_bytes()):
        return content
    return _drawn(examples, mark)


def example_of(task: Task) -> Example:
    """An unseen molecule of a task, and those of training that show its parts: its ends, and its length if any does."""
    unseen = _unseen(task)
    words = sorted(task.train_words(), key=lambda word: (abs(word.spacer - unseen.spacer), -word.spacer))
    ends = [end for end in dict.fromkeys((unseen.left, unseen.right)) if end != "H"]
    chosen = [next((word for word in words if end in (word.left, word.right)), None) for end in ends]
    found = [word for word in dict.fromkeys(chosen) if word is not None]
    if all(word.spacer != unseen.spacer for word in found):
        found += [word for word in words if word.spacer == unseen.spacer][:1]
    found += [word for word in words if word not in found and {word.left, word.right} & {*ends}]
    found += [word for word in words if word not in found]
    return Example(task, tuple(found[:_N_SEEN]), unseen)


def picture_text(tasks: Iterable[Task]) -> str:
    """The picture in words, for readers who cannot see it."""
    parts = [
        f"{each.task.name}: training shows {' and '.join(word.molecule_id for word in each.seen)}, the test is "
        f"{each.unseen.molecule_id}"
        for each in map(example_of, tasks)
    ]
    return f"Molecules of each task. {'; '.join(parts)}"


def _unseen(task: Task) -> Word:
    words = task.ood_words()
    if task.name in _EXAMPLES and (named := parse_word(_EXAMPLES[task.name][0], task.vocabulary)) in words:
        return named
    # The chain should be long enough to be seen as one, and the ends should differ from it.
    return min(words, key=lambda word: (word.spacer < 4, (word.left, word.right).count("H"), word.spacer))


def _mark_of(examples: Sequence[Example]) -> str:
    """Identifies what a picture shows; it is stored in the picture."""
    shown = [
        [
            each.task.name,
            each.task.title,
            [[word.molecule_id, word.smiles] for word in (*each.seen, each.unseen)],
        ]
        for each in examples
    ]
    return f"mlip-ood tasks {hashlib.sha256(json.dumps([_DRAWING, shown]).encode()).hexdigest()}"


@functools.lru_cache(maxsize=8)
def _drawn(examples: tuple[Example, ...], mark: str) -> bytes:
    from matplotlib.figure import Figure

    height = 0.42 + _HEIGHT * len(examples)
    figure = Figure(figsize=(_WIDTH, height), facecolor="white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0.0, _WIDTH), ylim=(height, 0.0))
    axes.axis("off")
    split = 0.56 * _WIDTH
    for left, text, colour in (
        (0.15, "seen in training", SPLITS["train"]),
        (split + 0.1, "unseen: the OOD test", SPLITS["test_ood"]),
    ):
        axes.text(left, 0.3, text, fontsize=13, fontweight="bold", color=colour)
    for place, example in enumerate(examples):
        top = 0.42 + _HEIGHT * place
        _row(axes, example, top, split)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None, "Description": mark})
    return buffer.getvalue()


def _row(axes: "Axes", example: Example, top: float, split: float) -> None:
    from matplotlib.patches import Rectangle

    for left, right, colour in ((0.08, split, SPLITS["train"]), (split + 0.08, _WIDTH - 0.08, SPLITS["test_ood"])):
        axes.add_patch(
            Rectangle(
                (left, top + 0.02),
                right - left,
                _HEIGHT - 0.1,
                facecolor=f"{colour}14",
                edgecolor=colour,
                linewidth=1.2,
            )
        )
    title = f"{example.task.name}: {example.task.title}"
    new = _EXAMPLES.get(example.task.name, ("", ""))[1]
    size = 11 if len(title) <= _TITLE_WIDTH else 9
    look: dict[str, Any] = {"va": "top", "color": _DARK, "parse_math": False}
    axes.text(0.18, top + 0.11, fill(title, _TITLE_WIDTH * 11 // size), fontsize=size, fontweight="bold", **look)
    axes.text(split + 0.18, top + 0.11, new, fontsize=11, **look)
    wide = (split - 0.08) / len(example.seen)
    for number, word in enumerate(example.seen):
        _molecule(axes, word, SPLITS["train"], _Place(0.08 + (number + 0.5) * wide, top + 0.75, wide - 0.2))
    _molecule(
        axes,
        example.unseen,
        SPLITS["test_ood"],
        _Place((split + _WIDTH) / 2.0, top + 0.75, _WIDTH - split - 0.4),
    )


def _molecule(axes: "Axes", word: Word, colour: str, place: "_Place") -> None:
    pixels = _image(word, colour)
    height, width = (each / _DOTS_PER_INCH for each in pixels.shape[:2])
    shrunk = min(1.0, place.width / width, 0.66 / height)
    right, below = 0.5 * shrunk * width, 0.5 * shrunk * height
    extent = (place.across - right, place.across + right, place.down + below, place.down - below)
    axes.imshow(pixels, extent=extent, aspect="auto", zorder=3, interpolation="antialiased")
    axes.text(place.across, place.down + 0.49, word.molecule_id, fontsize=9, ha="center", color=_DARK, parse_math=False)


def _image(word: Word, colour: str) -> Any:
    """Pixels of a molecule with its ends marked, on a transparent ground, at the scale of all others."""
    import matplotlib.image
    from matplotlib.colors import to_rgb
    from rdkit import Chem
    from rdkit.Chem import rdDepictor
    from rdkit.Chem.Draw import rdMolDraw2D

    ordered = ordered_molecule(word)
    mol, ends = ordered.mol, [*ordered.left, *ordered.right]
    rdDepictor.Compute2DCoords(mol)
    _lay_down(ordered, word)
    tint = tuple(0.45 * part + 0.55 for part in to_rgb(colour))
    drawer = rdMolDraw2D.MolDraw2DCairo(-1, -1)
    options: Any = drawer.drawOptions()  # RDKit types its settings as methods
    options.scalingFactor = _BOND / 1.5
    options.fixedBondLength = _BOND
    options.padding = 0.02
    options.fixedFontSize = 17
    options.bondLineWidth = 2
    options.useBWAtomPalette()
    options.setBackgroundColour((1.0, 1.0, 1.0, 0.0))
    options.highlightRadius = 0.42
    options.fillHighlights = True
    drawer.DrawMolecule(
        Chem.Mol(mol), highlightAtoms=ends, highlightBonds=[], highlightAtomColors=dict.fromkeys(ends, tint)
    )
    drawer.FinishDrawing()
    return matplotlib.image.imread(io.BytesIO(drawer.GetDrawingText()), format="png")


def _lay_down(ordered: OrderedMolecule, word: Word) -> None:
    """Turns a drawing so that the chain runs from left to right, as in the name of the molecule."""
    import numpy as np
    from rdkit.Chem import rdMolTransforms

    conformer = ordered.mol.GetConformer()
    places = conformer.GetPositions()
    n_chain = word.spacer
    chain = [0, *range(ordered.left.stop, ordered.right.start)]
    along = places[chain[-1]] - places[chain[0]] if n_chain > 1 else np.array([1.0, 0.0, 0.0])
    if not n_chain % 2 and n_chain > 2:
        # Ends of an even zigzag lie on different sides of its axis; every second atom runs along it.
        along = places[chain[-2]] - places[chain[0]]
    angle = -np.arctan2(along[1], along[0])
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    rdMolTransforms.TransformConformer(conformer, turn)
