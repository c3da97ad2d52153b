"""The bonds, angles, torsions and trigonal centres of a molecule, and the labels of its atoms.

Bonds come from the SMILES, with the atoms in the order of RDKit's `AddHs(MolFromSmiles(smiles))`.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dataset_builders.chemistry.mmff94 import molecule
from dataset_builders.core.arrays import IntArray

if TYPE_CHECKING:
    from rdkit.Chem import Atom

_LINEAR: Final = "sp"
_TRIGONAL: Final = "sp2"


@dataclass(frozen=True, slots=True)
class Topology:
    """The internal coordinates of a molecule.

    Coordinates are numbered: bonds first, then angles, torsions and trigonal centres.

    Attributes:
        labels: For each atom: element, number of neighbours and hybridisation, such as `C4sp3`.
        environments: For each atom: its label and those of its neighbours, such as `O2sp3(C4sp3,H)`.
        bonds: Indices of the two atoms, shape (n_bonds, 2).
        angles: Atom indices of end, centre, end; shape (n_angles, 3).
        torsions: Indices of four consecutive atoms; none around a bond to an atom with a linear environment, where a
            torsion is undefined; shape (n_torsions, 4).
        centres: Trigonal centre, then its three neighbours; shape (n_centres, 4).
        bonds_of_angle: Bonds to the first and to the last atom of each angle, as indices of coordinates; shape
            (n_angles, 2).
        parts_of_torsion: First, middle and last bond, first and last angle, likewise; shape (n_torsions, 5).
    """

    labels: tuple[str, ...]
    environments: tuple[str, ...]
    bonds: IntArray
    angles: IntArray
    torsions: IntArray
    centres: IntArray
    bonds_of_angle: IntArray
    parts_of_torsion: IntArray

    @property
    def n_coordinates(self) -> int:
        """Number of coordinates."""
        return len(self.bonds) + len(self.angles) + len(self.torsions) + len(self.centres)


@functools.lru_cache(maxsize=4096)
def topology_of(smiles: str) -> Topology:
    """The internal coordinates of a molecule.

    Raises:
        DataError: If RDKit cannot read the SMILES.
    """
    mol = molecule(smiles)
    labels = tuple(_label(atom) for atom in mol.GetAtoms())
    neighbours = [sorted(other.GetIdx() for other in atom.GetNeighbors()) for atom in mol.GetAtoms()]
    environments = tuple(
        f"{label}({','.join(sorted(labels[other] for other in near))})"
        for label, near in zip(labels, neighbours, strict=True)
    )
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    angles = [
        (first, centre, last)
        for centre, near in enumerate(neighbours)
        for first, last in itertools.combinations(near, 2)
    ]
    torsions = [
        (first, left, right, last)
        for left, right in bonds
        if not labels[left].endswith(_LINEAR) and not labels[right].endswith(_LINEAR)
        for first in neighbours[left]
        for last in neighbours[right]
        if first != right and last not in (left, first)
    ]
    centres = [
        (atom, *near) for atom, near in enumerate(neighbours) if labels[atom].endswith(_TRIGONAL) and len(near) == 3
    ]
    bond_number = {frozenset(bond): index for index, bond in enumerate(bonds)}
    angle_number = {(frozenset((a, c)), b): len(bonds) + index for index, (a, b, c) in enumerate(angles)}
    return Topology(
        labels,
        environments,
        _array(bonds, 2),
        _array(angles, 3),
        _array(torsions, 4),
        _array(centres, 4),
        _array([(bond_number[frozenset((a, b))], bond_number[frozenset((b, c))]) for a, b, c in angles], 2),
        _array(
            [
                (
                    bond_number[frozenset((a, b))],
                    bond_number[frozenset((b, c))],
                    bond_number[frozenset((c, d))],
                    angle_number[frozenset((a, c)), b],
                    angle_number[frozenset((b, d)), c],
                )
                for a, b, c, d in torsions
            ],
            5,
        ),
    )


def _label(atom: "Atom") -> str:
    if atom.GetAtomicNum() == 1:
        return "H"
    return f"{atom.GetSymbol()}{atom.GetDegree()}{str(atom.GetHybridization()).lower()}"


def _array(rows: Sequence[tuple[int, ...]], width: int) -> IntArray:
    array = np.array(rows, dtype=np.int64).reshape(-1, width)
    array.flags.writeable = False
    return array
