"""Which molecule of a task a geometry is, and in which order its atoms stand.

Bonds are perceived from distances (RDKit). With every hydrogen written out, who is bonded to whom says which neutral
closed-shell molecule it is, so the orders of the bonds are not needed; they only name what is not in the task. Finding
them can take for ever (https://github.com/rdkit/rdkit/issues/7922), so it is bounded, and the rest is called by its
formula.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dataset_builders.chemistry.mmff94 import atomic_numbers_of, molecule
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import DataError
from dataset_builders.tasks.words import Word

if TYPE_CHECKING:
    from rdkit.Chem import Mol


_NAMED_ATOMS: Final = 100
"""Atoms of the largest geometry whose SMILES is looked for."""
_ORDER_TRIES: Final = 3_000
"""Combinations of valences that are tried for it: up to 0.2 s; trinitrotoluene takes less than 1,000."""
_HEAVIEST: Final = 118


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
        skeletons = {word: _skeleton(molecule(word.smiles)) for word in words}
        self._words: Mapping[str, Word] = {_spelling(skeleton): word for word, skeleton in skeletons.items()}
        self._sizes = {
            (_composition(atomic_numbers_of(word.smiles)), skeleton.GetNumBonds())
            for word, skeleton in skeletons.items()
        }
        self._compositions = {composition for composition, _ in self._sizes}

    def find(self, atomic_numbers: IntArray, positions: FloatArray) -> Identity | None:
        """Identifies a geometry; `None` if it is none of the molecules.

        Args:
            atomic_numbers: Shape (n_atoms,).
            positions: Shape (n_atoms, 3), Å, finite.
        """
        # Bonds are looked for, and their graph is put into a canonical order, only where it may be one of them.
        composition = _composition(atomic_numbers)
        if composition not in self._compositions:
            return None
        perceived = _perceived(atomic_numbers, positions)
        if perceived is None or (composition, perceived.GetNumBonds()) not in self._sizes:
            return None
        found = _skeleton(perceived)
        word = self._words.get(_spelling(found))
        if word is None:
            return None
        order = found.GetSubstructMatch(_skeleton(molecule(word.smiles)))
        return Identity(word, np.array(order, dtype=np.int64))

    def identify(self, atomic_numbers: IntArray, positions: FloatArray) -> Identity:
        """Identifies a geometry, as `find` does.

        Raises:
            DataError: If it is none of the molecules; the message says what it is, where RDKit can tell.
        """
        found = self.find(atomic_numbers, positions)
        if found is None:
            raise DataError(f"a geometry of {name_of(atomic_numbers, positions)}")
        return found


def name_of(atomic_numbers: IntArray, positions: FloatArray) -> str:
    """A SMILES of a geometry; its formula where no neutral molecule has its bonds, or finding one would take long.

    Args:
        atomic_numbers: Shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å, finite.
    """
    if not len(atomic_numbers) or int(atomic_numbers.min()) < 1 or int(atomic_numbers.max()) > _HEAVIEST:
        return f"{len(atomic_numbers):,} atoms, not all of them of elements"
    formula = _formula(atomic_numbers)
    perceived = None if len(atomic_numbers) > _NAMED_ATOMS else _perceived(atomic_numbers, positions)
    # Atoms on top of each other are bonded to all others.
    if perceived is None or perceived.GetNumBonds() > 2 * len(atomic_numbers):
        return formula
    try:
        return _smiles(perceived)
    except ValueError:  # what RDKit raises where no orders fit
        return f"{formula}, whose bonds make no neutral closed-shell molecule"
    except RuntimeError:  # and where too many have been tried
        return f"{formula}, whose bond orders would take long to find"


def _composition(atomic_numbers: IntArray) -> bytes:
    return np.sort(atomic_numbers).astype(np.int64).tobytes()


def _perceived(atomic_numbers: IntArray, positions: FloatArray) -> "Mol | None":
    """The atoms, and which of them are bonded; `None` where RDKit cannot tell."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDetermineBonds

    mol = Chem.RWMol()
    for number in atomic_numbers:
        mol.AddAtom(Chem.Atom(int(number)))
    conformer = Chem.Conformer(len(atomic_numbers))
    conformer.SetPositions(np.asarray(positions, dtype=np.float64))
    mol.AddConformer(conformer)
    try:
        with rdBase.BlockLogs():
            rdDetermineBonds.DetermineConnectivity(mol)
    except (ValueError, RuntimeError):  # what RDKit raises on geometries of no molecule
        return None
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


def _smiles(perceived: "Mol") -> str:
    """A SMILES of what was perceived."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDetermineBonds

    with rdBase.BlockLogs():
        whole = Chem.RWMol(perceived)
        rdDetermineBonds.DetermineBondOrders(whole, charge=0, maxIterations=_ORDER_TRIES)
        return str(Chem.CanonSmiles(Chem.MolToSmiles(Chem.RemoveHs(whole))))


def _formula(atomic_numbers: IntArray) -> str:
    from ase.formula import Formula
    from ase.symbols import Symbols

    return str(Formula.from_list(list(Symbols(atomic_numbers))).format("hill"))
