"""Identifies which molecule of a task a geometry is, and the order of its atoms.

Bonds are perceived from distances (RDKit). With explicit hydrogens, the connectivity alone identifies a neutral
closed-shell molecule; bond orders are needed only to name a molecule that is not in the task. Finding them can take
unbounded time (https://github.com/rdkit/rdkit/issues/7922), so it is limited, and other molecules are named by their
formula.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dataset_builders.chemistry.mmff94 import atomic_numbers_of, molecule
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.tasks.skeleton import skeleton_of, spelling_of
from dataset_builders.tasks.words import Word

if TYPE_CHECKING:
    from rdkit.Chem import Mol


_NAMED_ATOMS: Final = 100
"""Atoms of the largest geometry whose SMILES is searched."""
_ORDER_TRIES: Final = 3_000
"""Most combinations of valences in this search: up to 0.2 s; trinitrotoluene needs less than 1,000."""
_HEAVIEST: Final = 118


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of a geometry.

    Attributes:
        word: The molecule.
        order: For each atom of `AddHs(MolFromSmiles(smiles))`, its index in the geometry; shape (n_atoms,).
    """

    word: Word
    order: IntArray


class Identifier:
    """Identifies geometries as molecules of a task.

    Args:
        words: The molecules, all different.

    Raises:
        UsageError: If two of them are one molecule.
    """

    def __init__(self, words: Iterable[Word]) -> None:
        skeletons = {word: skeleton_of(molecule(word.smiles)) for word in words}
        self._words: dict[str, Word] = {}
        for word, skeleton in skeletons.items():
            other = self._words.setdefault(spelling_of(skeleton), word)
            if other != word:
                raise UsageError(f"{other.molecule_id} and {word.molecule_id} are the same molecule ({word.smiles})")
        self._sizes = {
            (_composition(atomic_numbers_of(word.smiles)), skeleton.GetNumBonds())
            for word, skeleton in skeletons.items()
        }
        self._compositions = {composition for composition, _ in self._sizes}

    def find(self, atomic_numbers: IntArray, positions: FloatArray) -> Identity | None:
        """Identifies a geometry; `None` if it is not one of the molecules.

        Args:
            atomic_numbers: Shape (n_atoms,).
            positions: Shape (n_atoms, 3), Å, finite.
        """
        # Bonds are perceived, and their graph is canonicalised, only if the composition matches.
        composition = _composition(atomic_numbers)
        if composition not in self._compositions:
            return None
        perceived = _perceived(atomic_numbers, positions)
        if perceived is None or (composition, perceived.GetNumBonds()) not in self._sizes:
            return None
        found = skeleton_of(perceived)
        word = self._words.get(spelling_of(found))
        if word is None:
            return None
        order = found.GetSubstructMatch(skeleton_of(molecule(word.smiles)))
        return Identity(word, np.array(order, dtype=np.int64))

    def identify(self, atomic_numbers: IntArray, positions: FloatArray) -> Identity:
        """Identifies a geometry, as `find` does.

        Raises:
            DataError: If it is not one of the molecules; the message names it as far as RDKit can.
        """
        found = self.find(atomic_numbers, positions)
        if found is None:
            raise DataError(f"a geometry of {name_of(atomic_numbers, positions)}")
        return found


def name_of(atomic_numbers: IntArray, positions: FloatArray) -> str:
    """SMILES of a geometry; its formula if no neutral molecule has its bonds, or if the search would take too long.

    Args:
        atomic_numbers: Shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å, finite.
    """
    if not len(atomic_numbers) or int(atomic_numbers.min()) < 1 or int(atomic_numbers.max()) > _HEAVIEST:
        return f"{len(atomic_numbers):,} atoms, not all of them chemical elements"
    formula = _formula(atomic_numbers)
    perceived = None if len(atomic_numbers) > _NAMED_ATOMS else _perceived(atomic_numbers, positions)
    # Coinciding atoms count as bonded to all others.
    if perceived is None or perceived.GetNumBonds() > 2 * len(atomic_numbers):
        return formula
    try:
        return _smiles(perceived)
    except ValueError:  # RDKit: no bond orders fit
        return f"{formula}, whose bonds do not form a neutral closed-shell molecule"
    except RuntimeError:  # RDKit: too many combinations tried
        return f"{formula}, whose bond orders would take too long to determine"


def _composition(atomic_numbers: IntArray) -> bytes:
    return np.sort(atomic_numbers).astype(np.int64).tobytes()


def _perceived(atomic_numbers: IntArray, positions: FloatArray) -> "Mol | None":
    """The atoms and their connectivity; `None` if RDKit cannot determine it."""
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
    except (ValueError, RuntimeError):  # RDKit: not a molecular geometry
        return None
    return mol


def _smiles(perceived: "Mol") -> str:
    """SMILES of the perceived molecule."""
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
