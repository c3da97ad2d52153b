"""Conformations: torsion angles, rotamers, and contacts between the two ends of a chain.

Angles have the sign of IUPAC: i-j-k-l, seen along j-k, is positive if the front bond must turn clockwise to cover the
rear one.
"""

import functools
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from dataset_builders.chemistry.mmff94 import atomic_numbers_of, molecule
from dataset_builders.chemistry.molecule_parts import Rotor, rotors
from dataset_builders.chemistry.ordered_molecule import ordered_molecule
from dataset_builders.core.arrays import FloatArray, IntArray, require_shape
from dataset_builders.tasks.words import Word

if TYPE_CHECKING:
    from rdkit.Chem import Mol

CONTACT: Final = 5.0
"""Distance below which the two ends of a chain are in contact, Å: roughly the cutoff of local models."""

HYDROGEN_BOND_LENGTH: Final = 2.5
"""Largest distance of hydrogen and acceptor in a hydrogen bond, Å."""

HYDROGEN_BOND_ANGLE: Final = 120.0
"""Smallest angle donor-hydrogen-acceptor in a hydrogen bond, degrees."""

DONORS: Final = (7, 8)
"""Atomic numbers whose hydrogens form hydrogen bonds: N and O. S-H is a weak donor and is not counted."""

ACCEPTORS: Final = (7, 8, 9, 17)
"""Atomic numbers that accept hydrogen bonds: N and O, and the halogens F and Cl, whose bonds are weak."""

GAUCHE_MINUS: Final = -1
TRANS: Final = 0
GAUCHE_PLUS: Final = 1
CIS: Final = 2
"""The second well of a bond with a planar end; the first one is `TRANS`."""


def dihedral_angles(positions: FloatArray, quadruples: IntArray) -> FloatArray:
    """Torsion angles of frames of one molecule.

    Args:
        positions: Shape (n_frames, n_atoms, 3), Å.
        quadruples: Atoms of each torsion, shape (n, 4).

    Returns:
        Angles in radians from -pi to pi, shape (n_frames, n).

    Raises:
        ShapeError: If a shape differs.
    """
    require_shape("positions", positions, (None, None, 3))
    indices = np.asarray(quadruples, dtype=np.int64).reshape(-1, 4) if not len(quadruples) else np.asarray(quadruples)
    require_shape("quadruples", indices, (None, 4))
    i, j, k, end = (positions[:, indices[:, place]].astype(np.float64) for place in range(4))
    return _angles(i - j, k - j, end - k)


def _angles(front: FloatArray, axis: FloatArray, rear: FloatArray) -> FloatArray:
    """Angles of the vectors j to i, j to k, and k to l, each of shape (..., 3)."""
    first, second = np.cross(axis, front), np.cross(axis, rear)
    sine = (np.cross(first, second) * axis).sum(axis=-1) / np.linalg.norm(axis, axis=-1)
    angles: FloatArray = np.arctan2(sine, (first * second).sum(axis=-1))
    return angles


def rotamers(positions: FloatArray, smiles: str) -> npt.NDArray[np.int8]:
    """The rotamer of each frame: the well of each rotor of the molecule (see `molecule_parts.rotors`).

    A bond with three wells is `GAUCHE_MINUS` below 0°, `GAUCHE_PLUS` from 0°, and `TRANS` beyond 120° of either sign. A
    bond with a planar end is `CIS` up to 90° of either sign and `TRANS` beyond.

    A rotamer and its mirror image have equal energies and mirrored forces, so they count as one. So do rotamers that
    differ only by the numbering of equal atoms: a chain with equal ends read from either end. Of all these sequences,
    the lexicographically smallest is returned.

    Args:
        positions: Frames of one molecule, shape (n_frames, n_atoms, 3), Å.
        smiles: SMILES of the molecule.

    Returns:
        Shape (n_frames, n_rotors), rotors in the order of `rotatable_bonds`; two frames have the same rotamer if their
        rows are equal.

    Raises:
        ShapeError: If the shape differs.
        DataError: If RDKit cannot read the SMILES.
    """
    require_shape("positions", positions, (None, len(atomic_numbers_of(smiles)), 3))
    found = rotors(smiles)
    wells = np.empty((len(positions), len(found)), dtype=np.int8)
    for column, rotor in enumerate(found):
        wells[:, column] = _wells(positions.astype(np.float64), rotor)
    return _canonical(wells, _symmetries(smiles))


def _wells(positions: FloatArray, rotor: Rotor) -> npt.NDArray[np.int8]:
    i, j, k, end = rotor.atoms
    axis = positions[:, k] - positions[:, j]
    arms = []
    for reference, centre, lone_pair in ((i, j, rotor.lone_pairs[0]), (end, k, rotor.lone_pairs[1])):
        bonds = positions[:, list(lone_pair) or [reference]] - positions[:, [centre]]
        bonds /= np.linalg.norm(bonds, axis=2, keepdims=True)
        arms.append(-bonds.sum(axis=1) if lone_pair else bonds[:, 0])
    degrees = np.degrees(_angles(arms[0], axis, arms[1]))
    if rotor.wells == 2:
        return np.where(np.abs(degrees) <= 90.0, CIS, TRANS).astype(np.int8)
    gauche = np.where(degrees < 0.0, GAUCHE_MINUS, GAUCHE_PLUS)
    return np.where(np.abs(degrees) > 120.0, TRANS, gauche).astype(np.int8)


def _canonical(wells: npt.NDArray[np.int8], symmetries: tuple[tuple[int, ...], ...]) -> npt.NDArray[np.int8]:
    """The lexicographically smallest of all equivalent sequences, for each row."""
    if not wells.shape[1]:
        return wells
    best = wells
    rows = np.arange(len(wells))
    mirrored = np.where(np.abs(wells) == 1, -wells, wells)
    for order in symmetries:
        for each in (wells, mirrored):
            other = each[:, list(order)]
            differs = other != best
            first = differs.argmax(axis=1)
            # Where nothing differs, the first column is compared with itself, so nothing is smaller.
            smaller = other[rows, first] < best[rows, first]
            best = np.where(smaller[:, None], other, best)
    return best


@functools.lru_cache(maxsize=8192)
def _symmetries(smiles: str) -> tuple[tuple[int, ...], ...]:
    """Orders of the rotors under each permutation of equal heavy atoms, the identity included."""
    from rdkit import Chem

    mol = Chem.RemoveHs(molecule(smiles))  # heavy atoms come first, so they keep their indices
    bonds = [frozenset(rotor.atoms[1:3]) for rotor in rotors(smiles)]
    place = {bond: index for index, bond in enumerate(bonds)}
    orders = {
        tuple(place[frozenset(match[atom] for atom in bond)] for bond in bonds)
        for match in mol.GetSubstructMatches(mol, uniquify=False, useChirality=False)
    }
    return tuple(sorted(orders))


@functools.lru_cache(maxsize=8192)
def end_atoms(word: Word) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Atoms of the left and of the right fragment of a chain, with their hydrogens, in the order of every frame.

    The chain itself, `(CH2)k`, belongs to neither. An unsubstituted end has no fragment, so it has no atom here: its
    hydrogen is part of a methyl group, as in the training molecules.

    Args:
        word: The molecule.

    Raises:
        DataError: If RDKit cannot read its SMILES.
    """
    ordered = ordered_molecule(word)
    mol = molecule(word.smiles)
    match = mol.GetSubstructMatch(ordered.mol)
    first, last = (
        tuple(sorted({index for atom in atoms for index in (match[atom], *_hydrogens(mol, match[atom]))}))
        for atoms in (ordered.left, ordered.right)
    )
    return first, last


def _hydrogens(mol: "Mol", atom: int) -> list[int]:
    return [each.GetIdx() for each in mol.GetAtomWithIdx(atom).GetNeighbors() if each.GetAtomicNum() == 1]


def end_contacts(positions: FloatArray, word: Word) -> FloatArray:
    """Shortest distance between an atom of one end fragment and one of the other, hydrogens included.

    Args:
        positions: Frames of the molecule, shape (n_frames, n_atoms, 3), Å.
        word: The molecule.

    Returns:
        Distances in Å, shape (n_frames,); infinite if an end is unsubstituted (`H`), because it has no fragment.

    Raises:
        ShapeError: If the shape differs.
    """
    require_shape("positions", positions, (None, len(atomic_numbers_of(word.smiles)), 3))
    left, right = end_atoms(word)
    if not left or not right:
        return np.full(len(positions), np.inf)
    distances: FloatArray = _distances(positions, left, right).min(axis=(1, 2))
    return distances


def end_hydrogen_bonds(positions: FloatArray, word: Word) -> npt.NDArray[np.bool_]:
    """Whether a hydrogen bond connects the two end fragments.

    That is a hydrogen of `DONORS` of one fragment within `HYDROGEN_BOND_LENGTH` of an atom of `ACCEPTORS` of the other,
    with an angle donor-hydrogen-acceptor above `HYDROGEN_BOND_ANGLE`.

    Args:
        positions: Frames of the molecule, shape (n_frames, n_atoms, 3), Å.
        word: The molecule.

    Returns:
        Shape (n_frames,); false if an end is unsubstituted (`H`).

    Raises:
        ShapeError: If the shape differs.
    """
    require_shape("positions", positions, (None, len(atomic_numbers_of(word.smiles)), 3))
    left, right = end_atoms(word)
    bonded = np.zeros(len(positions), dtype=bool)
    for donors, acceptors in ((left, right), (right, left)):
        for donor, hydrogen in _donor_bonds(word.smiles, donors):
            for acceptor in acceptors:
                if atomic_numbers_of(word.smiles)[acceptor] in ACCEPTORS:
                    bonded |= _is_hydrogen_bond(positions, donor, hydrogen, acceptor)
    return bonded


def _donor_bonds(smiles: str, atoms: tuple[int, ...]) -> list[tuple[int, int]]:
    mol = molecule(smiles)
    return [
        (atom, each) for atom in atoms if atomic_numbers_of(smiles)[atom] in DONORS for each in _hydrogens(mol, atom)
    ]


def _is_hydrogen_bond(positions: FloatArray, donor: int, hydrogen: int, acceptor: int) -> npt.NDArray[np.bool_]:
    to_donor, to_acceptor = (
        positions[:, each].astype(np.float64) - positions[:, hydrogen].astype(np.float64) for each in (donor, acceptor)
    )
    lengths = np.linalg.norm(to_donor, axis=1), np.linalg.norm(to_acceptor, axis=1)
    cosine = (to_donor * to_acceptor).sum(axis=1) / (lengths[0] * lengths[1])
    return np.asarray((lengths[1] < HYDROGEN_BOND_LENGTH) & (cosine < np.cos(np.radians(HYDROGEN_BOND_ANGLE))))


def _distances(positions: FloatArray, first: tuple[int, ...], second: tuple[int, ...]) -> FloatArray:
    arms = positions[:, list(first), None].astype(np.float64) - positions[:, None, list(second)].astype(np.float64)
    lengths: FloatArray = np.linalg.norm(arms, axis=-1)
    return lengths
