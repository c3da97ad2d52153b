"""Parts of a molecule beyond the environments of its atoms: torsion types, element pairs, and rotatable bonds.

All functions read the graph of a molecule only. Indices are those of the atoms of `AddHs(MolFromSmiles(smiles))`, which
is the order of every frame.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from dataset_builders.chemistry.mmff94 import molecule

if TYPE_CHECKING:
    from rdkit.Chem import Atom, Mol

Quadruple: TypeAlias = tuple[int, int, int, int]
"""Atoms i, j, k and l of a torsion i-j-k-l about the bond j-k."""


@functools.lru_cache(maxsize=8192)
def torsion_types(smiles: str) -> Mapping[str, tuple[Quadruple, ...]]:
    """The four-atom torsion types of a molecule, with the atoms of each.

    A type names the element and the number of bonded atoms of each of the four atoms, and the orders of the three
    bonds, as in `C4-C4-C3=O1`; it is the same read backwards. This is what force fields distinguish at least: without
    the number of bonded atoms, the nitrogen of an amine and of a nitrile would be one atom, and with the bonded
    hydrogens (CH3 or CH2), every longer chain would have a new type. Hybridisation would divide the molecules of the
    four tasks in the same way. Torsions with a linear atom in the middle, such as C-C-C#N, have no angle and are left
    out.

    Args:
        smiles: SMILES of the molecule.

    Returns:
        All torsions by type, each once, in the direction in which the type is written. Do not modify it.

    Raises:
        DataError: If RDKit cannot read the SMILES.
    """
    mol = molecule(smiles)
    found: dict[str, list[Quadruple]] = {}
    for bond in mol.GetBonds():
        j, k = bond.GetBeginAtom(), bond.GetEndAtom()
        if _is_linear(j) or _is_linear(k):
            continue
        for i in _others(j, k):
            for end in _others(k, j):
                if i != end:  # in a ring of three atoms, both ends are one atom
                    name, torsion = _named_torsion(mol, (i, j.GetIdx(), k.GetIdx(), end))
                    found.setdefault(name, []).append(torsion)
    return MappingProxyType({name: tuple(found[name]) for name in sorted(found)})


@functools.lru_cache(maxsize=8192)
def heavy_pairs(smiles: str) -> frozenset[tuple[str, str]]:
    """Pairs of elements of two heavy atoms of a molecule, each in alphabetical order, such as `("Cl", "N")`.

    A pair of equal elements, such as `("N", "N")`, needs two atoms. How far apart the atoms are does not matter.

    Raises:
        DataError: If RDKit cannot read the SMILES.
    """
    symbols = sorted(atom.GetSymbol() for atom in molecule(smiles).GetAtoms() if atom.GetAtomicNum() > 1)
    return frozenset(combinations(symbols, 2))


@dataclass(frozen=True, slots=True)
class Rotor:
    """A bond whose rotation gives rotamers.

    Attributes:
        atoms: A torsion about the bond; its end atoms are the references of the two sides.
        wells: 3, or 2 if an end of the bond is planar.
        lone_pairs: For each side, the two hydrogens of an NH2 group; the opposite of their direction, where the lone
            pair is, replaces the reference. Empty for other groups.
    """

    atoms: Quadruple
    wells: Literal[2, 3]
    lone_pairs: tuple[tuple[int, ...], tuple[int, ...]]


def rotatable_bonds(smiles: str) -> tuple[Quadruple, ...]:
    """One torsion for each bond whose rotation gives rotamers of the backbone and of the end groups.

    See `rotors`, which says which bonds these are and how the end atoms are chosen.

    Raises:
        DataError: If RDKit cannot read the SMILES.
    """
    return tuple(rotor.atoms for rotor in rotors(smiles))


@functools.lru_cache(maxsize=8192)
def rotors(smiles: str) -> tuple[Rotor, ...]:
    """The bonds whose rotation gives rotamers.

    These are the single bonds between heavy atoms outside rings that have a reference atom on both sides. The reference
    is a neighbour that differs from all other neighbours on its side: the chain, or the double-bonded oxygen of
    CHO, COOH and CONH2, otherwise a heavy atom, otherwise a hydrogen, as in OH, SH and the hydroxyl of COOH. Of NH2, it
    is the lone pair. There is no reference, and the bond is no rotor, where all neighbours on a side are equal, because
    its rotation gives the same molecule: CH3, CF3, the NH2 of an amide. Neither is a bond to a linear atom, as in a
    nitrile, which has no angle.

    A bond has three wells (gauche-, trans, gauche+) unless one end is planar: an sp2 atom with three neighbours, as the
    carbon of CHO, COOH and CONH2. Then it has two (trans and cis to the reference of that end).

    Args:
        smiles: SMILES of the molecule.

    Returns:
        Rotors sorted by their lower middle atom, then the other one, with the lower middle atom second in the torsion.

    Raises:
        DataError: If RDKit cannot read the SMILES.
    """
    from rdkit import Chem

    mol = molecule(smiles)
    classes = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
    found = []
    for bond in mol.GetBonds():
        if bond.GetBondType() != Chem.BondType.SINGLE or bond.IsInRing():
            continue
        j, k = sorted((bond.GetBeginAtom(), bond.GetEndAtom()), key=lambda atom: int(atom.GetIdx()))
        if _is_linear(j) or _is_linear(k):
            continue
        first, last = _references(mol, j, k, classes), _references(mol, k, j, classes)
        if first and last:
            atoms = (first[0], j.GetIdx(), k.GetIdx(), last[0])
            lone_pairs = tuple(each if len(each) > 1 else () for each in (first, last))
            found.append(Rotor(atoms, 2 if _is_planar(j) or _is_planar(k) else 3, (lone_pairs[0], lone_pairs[1])))
    return tuple(sorted(found, key=lambda rotor: rotor.atoms[1:3]))


def _references(mol: "Mol", atom: "Atom", other: "Atom", classes: list[int]) -> tuple[int, ...]:
    """The reference atom of one side of a bond, or the two hydrogens next to a lone pair; empty without a reference."""
    neighbours = _others(atom, other)
    of_class = [classes[index] for index in neighbours]
    unique = [index for index, each in zip(neighbours, of_class, strict=True) if of_class.count(each) == 1]
    if unique:
        return (min(unique, key=lambda index: _precedence(mol, atom, index, classes)),)
    is_pyramidal = atom.GetDegree() == 3 and not _is_planar(atom)
    return tuple(neighbours) if is_pyramidal and len(neighbours) == 2 else ()


def _precedence(mol: "Mol", atom: "Atom", index: int, classes: list[int]) -> tuple[float, ...]:
    neighbour = mol.GetAtomWithIdx(index)
    order = mol.GetBondBetweenAtoms(atom.GetIdx(), index).GetBondTypeAsDouble()
    # The class comes last, and not the index: the choice must be the same for equal bonds of a symmetric molecule.
    return (neighbour.GetAtomicNum() == 1, -order, -neighbour.GetAtomicNum(), classes[index])


def _others(atom: "Atom", excluded: "Atom") -> list[int]:
    return [each.GetIdx() for each in atom.GetNeighbors() if each.GetIdx() != excluded.GetIdx()]


def _is_linear(atom: "Atom") -> bool:
    from rdkit import Chem

    return bool(atom.GetHybridization() == Chem.HybridizationType.SP)


def _is_planar(atom: "Atom") -> bool:
    from rdkit import Chem

    return bool(atom.GetHybridization() == Chem.HybridizationType.SP2 and atom.GetDegree() == 3)


_BOND_SYMBOLS = MappingProxyType({1.0: "-", 1.5: ":", 2.0: "=", 3.0: "#"})


def _named_torsion(mol: "Mol", torsion: Quadruple) -> tuple[str, Quadruple]:
    """The type of a torsion, and the torsion in the direction of the type."""
    backwards = torsion[::-1]
    return min((_name_of(mol, torsion), torsion), (_name_of(mol, backwards), backwards))


def _name_of(mol: "Mol", torsion: Quadruple) -> str:
    atoms = [mol.GetAtomWithIdx(index) for index in torsion]
    bonds = (mol.GetBondBetweenAtoms(*pair) for pair in pairwise(torsion))
    symbols = [*(_BOND_SYMBOLS[bond.GetBondTypeAsDouble()] for bond in bonds), ""]
    return "".join(f"{atom.GetSymbol()}{atom.GetDegree()}{symbol}" for atom, symbol in zip(atoms, symbols, strict=True))
