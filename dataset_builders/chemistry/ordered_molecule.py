"""A molecule with its heavy atoms in the order of its word, so that the atoms of each part are known."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataset_builders.core.errors import DataError
from dataset_builders.tasks.words import Word

if TYPE_CHECKING:
    from rdkit.Chem import Mol


@dataclass(frozen=True, slots=True)
class OrderedMolecule:
    """A molecule of heavy atoms: the first carbon of the chain, the left fragment, the other carbons, the right one.

    Attributes:
        mol: The molecule, without coordinates.
        left: Atoms of the left fragment; none if it is a hydrogen atom.
        right: The same of the right fragment.
    """

    mol: "Mol"
    left: range
    right: range


def ordered_molecule(word: Word) -> OrderedMolecule:
    """The molecule of a word, new each time.

    Raises:
        DataError: If RDKit cannot read its SMILES.
    """
    mol = _read(word.written_in_order)
    n_left, n_right = (_read(f"C{end}").GetNumAtoms() - 1 for end in word.ends)
    n_atoms = mol.GetNumAtoms()
    return OrderedMolecule(mol, range(1, 1 + n_left), range(n_atoms - n_right, n_atoms))


def _read(smiles: str) -> "Mol":
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise DataError(f"RDKit cannot read the SMILES {smiles!r}; expected that of a molecule")
    return mol
