"""Which molecule of a task a geometry is, and in which order its atoms stand.

Bonds are perceived from distances (RDKit). With every hydrogen written out, who is bonded to whom says which neutral
closed-shell molecule it is, so the orders of the bonds are not needed; they only name what is not in the task.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dataset_builders.errors import DataError
from dataset_builders.mmff94 import molecule
from dataset_builders.structures import FloatArray, IntArray
from dataset_builders.words import Word

if TYPE_CHECKING:
    from rdkit.Chem import Mol


@dataclass(frozen=True, slots=True)
class Identity:
    """What a geometry is.

    Attributes:
        word: The molecule.
        order: For each atom of `AddHs(MolFromSmiles(smiles))`, its place in the geometry; shape (n_atoms,).
    """

    word: Word
    order: IntArray


class Identifier:
    """Finds the molecules of a task in geometries.

    Args:
        words: The molecules, each of which is another one.
    """

    def __init__(self, words: Iterable[Word]) -> None:
        self._words: Mapping[str, Word] = {_spelling(_skeleton(molecule(word.smiles))): word for word in words}

    def identify(self, atomic_numbers: IntArray, positions: FloatArray) -> Identity:
        """Identifies a geometry.

        Args:
            atomic_numbers: Shape (n_atoms,).
            positions: Shape (n_atoms, 3), Å.

        Raises:
            DataError: If it is none of the molecules; the message says what it is, where RDKit can tell.
        """
        perceived = _perceived(atomic_numbers, positions)
        found = _skeleton(perceived)
        word = self._words.get(_spelling(found))
        if word is None:
            raise DataError(f"a geometry of {_name(perceived)}")
        order = found.GetSubstructMatch(_skeleton(molecule(word.smiles)))
        return Identity(word, np.array(order, dtype=np.int64))


def _perceived(atomic_numbers: IntArray, positions: FloatArray) -> "Mol":
    from rdkit import Chem
    from rdkit.Chem import rdDetermineBonds

    mol = Chem.RWMol()
    for number in atomic_numbers:
        mol.AddAtom(Chem.Atom(int(number)))
    conformer = Chem.Conformer(len(atomic_numbers))
    conformer.SetPositions(np.asarray(positions, dtype=np.float64))
    mol.AddConformer(conformer)
    rdDetermineBonds.DetermineConnectivity(mol)
    return mol


def _skeleton(mol: "Mol") -> "Mol":
    """The atoms of a molecule with all hydrogens, and which of them are bonded; no orders, charges or stereo."""
    from rdkit import Chem

    skeleton = Chem.RWMol()
    for atom in mol.GetAtoms():
        plain = Chem.Atom(atom.GetAtomicNum())
        plain.SetNoImplicit(True)
        skeleton.AddAtom(plain)
    for bond in mol.GetBonds():
        skeleton.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), Chem.BondType.SINGLE)
    skeleton.UpdatePropertyCache(strict=False)
    return skeleton


def _spelling(skeleton: "Mol") -> str:
    from rdkit import Chem

    return str(Chem.MolToSmiles(skeleton))


def _name(perceived: "Mol") -> str:
    """A SMILES of what was perceived, or its formula where no neutral molecule has these bonds."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDetermineBonds, rdMolDescriptors

    try:
        with rdBase.BlockLogs():
            whole = Chem.RWMol(perceived)
            rdDetermineBonds.DetermineBondOrders(whole, charge=0)
            return str(Chem.CanonSmiles(Chem.MolToSmiles(Chem.RemoveHs(whole))))
    except (ValueError, RuntimeError):  # what RDKit raises where no orders fit
        perceived.UpdatePropertyCache(strict=False)
        return f"{rdMolDescriptors.CalcMolFormula(perceived)}, whose bonds make no neutral closed-shell molecule"
