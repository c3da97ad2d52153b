"""Atom environments of a molecule, and their coverage by the training molecules.

The environment of radius r of an atom is everything within r bonds of it, including hydrogens, written as
SMILES that start at the atom. Training covers an unseen molecule at radius r if each of its heavy-atom environments of
that radius occurs in a training molecule.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import numpy as np

from dataset_builders.chemistry.mmff94 import molecule
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.linear_span import outside_span
from dataset_builders.tasks.regions import Task
from dataset_builders.tasks.words import Word

Subset = Literal["far", "near", ""]
"""`far` if training covers an OOD molecule at `FAR_RADIUS`, else `near`; empty where neither applies."""

FAR_RADIUS: Final = 3
"""Radius, in bonds, at which training must cover an OOD molecule that is `far`."""


@functools.lru_cache(maxsize=8192)
def environments(smiles: str, radius: int) -> Mapping[str, int]:
    """Environments of the heavy atoms of a molecule, with the number of atoms of each.

    Args:
        smiles: SMILES of the molecule.
        radius: Bonds from the atom, 0 or more. In a smaller molecule, the environment is the whole molecule, rooted at
            the atom.

    Returns:
        Number of heavy atoms by environment, as rooted canonical SMILES. Do not modify it.

    Raises:
        UsageError: If the radius is negative.
        DataError: If RDKit cannot read the SMILES.
    """
    if radius < 0:
        raise UsageError(f"radius {radius}; expected 0 or more bonds")
    heavy = [atom.GetIdx() for atom in molecule(smiles).GetAtoms() if atom.GetAtomicNum() > 1]
    return Counter(environment_of_atom(smiles, index, radius) for index in heavy)


def environment_of_atom(smiles: str, index: int, radius: int) -> str:
    """The environment of one atom as rooted canonical SMILES.

    Two atoms, of any molecules, have the same text exactly if their environments are the same labelled graph with the
    same root. Bonds that leave the environment are not written.

    Args:
        smiles: SMILES of the molecule.
        index: Index of the atom in `AddHs(MolFromSmiles(smiles))`.
        radius: Bonds from the atom.
    """
    from rdkit import Chem

    mol = molecule(smiles)
    bonds = list(Chem.FindAtomEnvironmentOfRadiusN(mol, radius, index, useHs=True, enforceSize=False))
    ends = ((mol.GetBondWithIdx(bond).GetBeginAtomIdx(), mol.GetBondWithIdx(bond).GetEndAtomIdx()) for bond in bonds)
    atoms = sorted({index}.union(*ends))
    return str(Chem.MolFragmentToSmiles(mol, atomsToUse=atoms, bondsToUse=bonds, rootedAtAtom=index))


def uncovered(train: Iterable[str], unseen: Iterable[str], radius: int) -> tuple[str, ...]:
    """Finds the unseen molecules with an environment that no training molecule has, in input order.

    Args:
        train: SMILES of the training molecules.
        unseen: SMILES of the unseen molecules.
        radius: Bonds from each atom.
    """
    known = {environment for smiles in train for environment in environments(smiles, radius)}
    return tuple(smiles for smiles in unseen if not known.issuperset(environments(smiles, radius)))


def undetermined(train: Iterable[str], unseen: Iterable[str], radius: int) -> tuple[str, ...]:
    """Finds the unseen molecules whose energy, as a sum over environments, training does not determine, in input order.

    A model that sums one contribution per environment learns only the sums of the training molecules. It predicts a
    unique sum for an unseen molecule if its environment counts are a linear combination of theirs; otherwise any sum is
    compatible with training, even if every environment is known. For example, molecules with one fragment and one
    methyl end each do not determine which of the two an energy shift belongs to. Forces, and energies relative to other
    frames of the molecule, do not depend on it.

    Args:
        train: SMILES of the training molecules.
        unseen: SMILES of the unseen molecules.
        radius: Bonds from each atom.
    """
    asked = tuple(unseen)
    shown, sums = ([environments(smiles, radius) for smiles in each] for each in (train, asked))
    names = sorted({name for counts in (*shown, *sums) for name in counts})
    if not names:
        return ()
    # An environment that is not in training is a row of zeros there, so no linear combination gives a count.
    known, wanted = (
        np.array([[counts.get(name, 0) for counts in each] for name in names], dtype=np.float64)
        for each in (shown, sums)
    )
    is_open = outside_span(known, wanted)
    return tuple(smiles for smiles, each in zip(asked, is_open, strict=True) if each)


def divergence(train: Iterable[str], unseen: Iterable[str], radius: int) -> float:
    """Divergence of the environment distributions of two sets of molecules, from 0 (equal) to 1 (disjoint).

    One minus the Chernoff coefficient at alpha 0.5, 1 - sum sqrt(p q). Every heavy atom counts once:
    p and q are frequencies among the atoms of a set, so a long molecule weighs more than a short one,
    and an environment that a molecule has five times counts five times.

    Source: Keysers et al., "Measuring compositional generalization", ICLR 2020, section 2.1 (their
    atom divergence, with alpha 0.5).

    Args:
        train: SMILES of one set of molecules.
        unseen: SMILES of the other.
        radius: Bonds from each atom.

    Raises:
        DataError: If a set has no heavy atom.
    """
    p, q = _frequencies(train, radius), _frequencies(unseen, radius)
    # Sorted, since the order of summation affects the last bit; rounding may exceed 1.
    overlap = math.fsum(math.sqrt(p[environment] * q[environment]) for environment in sorted(p.keys() & q.keys()))
    return max(0.0, 1.0 - overlap)


def _frequencies(molecules: Iterable[str], radius: int) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for smiles in molecules:
        counts.update(environments(smiles, radius))
    total = counts.total()
    if total == 0:
        raise DataError("a set of molecules has no heavy atom; expected at least one molecule in training and in OOD")
    return {environment: count / total for environment, count in counts.items()}


@functools.cache
def far_molecules(task: Task) -> frozenset[str]:
    """Ids of the OOD molecules whose environments at `FAR_RADIUS` all occur in training."""
    train = [word.smiles for word in task.train_words()]
    missing = set(uncovered(train, [word.smiles for word in task.ood_words()], FAR_RADIUS))
    return frozenset(word.molecule_id for word in task.ood_words() if word.smiles not in missing)


def subset_of(task: Task, word: Word) -> Subset:
    """The `subset` column of a molecule in a task: empty in training and in a task without subsets."""
    if not task.has_subsets or word not in task.ood_words():
        return ""
    return "far" if word.molecule_id in far_molecules(task) else "near"
