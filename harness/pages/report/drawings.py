"""Molecules drawn by RDKit as SVG in the colours of the page, with the fragments that training shows highlighted."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.chemistry.ordered_molecule import ordered_molecule
from dataset_builders.core.errors import DataError
from dataset_builders.tasks.words import Word

if TYPE_CHECKING:
    from rdkit.Chem import Mol

_BOND: Final = 15
"""Length of every bond in pixels, so that molecules compare at sight."""

_SHARED: Final = (0.0, 114 / 255, 178 / 255)
_INK: Final = "#000000"
_SHARED_HEX: Final = "#0072B2"


@lru_cache(maxsize=4096)
def drawing(word: Word, shared: frozenset[str]) -> str:
    """A molecule as inline SVG: its ends at the left and the right.

    Args:
        word: The molecule.
        shared: Names of the fragments to highlight.

    Raises:
        DataError: If RDKit cannot read its SMILES.
    """
    ordered = ordered_molecule(word)
    _lay_out(ordered.mol, ordered.left.start if ordered.left else 0)
    parts = ((word.left, ordered.left), (word.right, ordered.right))
    return _svg(ordered.mol, [atom for name, atoms in parts if name in shared for atom in atoms])


@lru_cache(maxsize=4096)
def plain_drawing(smiles: str) -> str:
    """A molecule that is no word of a task, without highlights.

    Raises:
        DataError: If RDKit cannot read the SMILES.
    """
    return _svg(_read(smiles), [])


def _lay_out(mol: "Mol", left: int) -> None:
    from rdkit.Chem import rdDepictor
    from rdkit.Geometry import Point3D

    rdDepictor.Compute2DCoords(mol)
    rdDepictor.NormalizeDepiction(mol)
    conformer = mol.GetConformer()
    places = conformer.GetPositions()
    if places[left][0] > places[:, 0].mean():
        for index, (x, y, _) in enumerate(places):
            conformer.SetAtomPosition(index, Point3D(-x, -y, 0.0))


def _svg(mol: "Mol", marked: list[int]) -> str:
    from rdkit.Chem.Draw import rdMolDraw2D

    drawer = rdMolDraw2D.MolDraw2DSVG(-1, -1)
    options: Any = drawer.drawOptions()
    options.useBWAtomPalette()
    options.clearBackground = False
    options.fixedBondLength, options.padding = _BOND, 0.02
    options.fixedFontSize = 11
    options.highlightRadius = 0.42
    options.fillHighlights = True
    bonds = [
        bond.GetIdx() for bond in mol.GetBonds() if bond.GetBeginAtomIdx() in marked and bond.GetEndAtomIdx() in marked
    ]
    drawer.DrawMolecule(
        rdMolDraw2D.PrepareMolForDrawing(mol, kekulize=False),
        highlightAtoms=marked,
        highlightBonds=bonds,
        highlightAtomColors=dict.fromkeys(marked, _SHARED),
        highlightBondColors=dict.fromkeys(bonds, _SHARED),
    )
    drawer.FinishDrawing()
    return _themed(drawer.GetDrawingText())


def _themed(text: str) -> str:
    """The drawing without its XML head, in the colours of the page; hidden from screen readers.

    The page has the style of bonds once, as `.bond`: RDKit repeats it for each.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"\s(?:class|xmlns(?::\w+)?|version|baseProfile|xml:space)='[^']*'", "", text)
    text = re.sub(r"(\d+\.\d)\d+", r"\1", text)
    text = re.sub(rf"style='fill:none;[^']*stroke:{_INK};[^']*'", "class='bond'", text)
    text = text.replace(_SHARED_HEX, "var(--shared)").replace(_INK, "currentColor")
    return re.sub(r"\s*\n\s*", " ", text.replace("<svg", "<svg aria-hidden='true'", 1)).strip()


def _read(smiles: str) -> "Mol":
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise DataError(f"RDKit cannot read the SMILES {smiles!r}, so its molecule cannot be drawn; expected a SMILES")
    return mol
