"""How much of a gap follows from the make-up of the OOD molecules alone.

An OOD molecule may have a larger share of the atoms that a method describes badly: a duplicated fragment has twice the
polar atoms, a longer chain has more CH2. If each of its atoms had the mean ID force error of its environment (the
heavy atom it is or sits on, and all within one bond of that), a certain OOD error would follow. Where it is the error
that was measured, the OOD molecules are not harder in themselves.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset_builders.chemistry.environments import environment_of_atom
from dataset_builders.chemistry.mmff94 import molecule
from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import DataError
from harness.scoring.intervals import BootstrapSettings, Interval, MoleculeSums, draw_molecules, ratio_interval
from harness.scoring.metric_terms import Float64Array, force_mae_terms
from harness.scoring.paired_frames import FrameIndex, SplitFrames

RADIUS: Final = 1
"""Bonds from the heavy atom; training covers every OOD molecule at this radius, in all tasks."""

_STREAM: Final = 1

AtomEnvironment = tuple[bool, str]
"""Whether the atom is heavy, and the environment of it or of the heavy atom that it sits on."""


@dataclass(frozen=True, slots=True)
class CompositionGap:
    """An OOD error beside the one that the make-up of the molecules predicts.

    Attributes:
        id_force_mae: Force MAE on `test_id`, eV/Å.
        ood_force_mae: Force MAE on `test_ood`, eV/Å.
        expected_force_mae: What it would be if each atom had the mean ID error of its environment, eV/Å.
        excess: Measured divided by expected, with its interval: OOD molecules are drawn, ID errors held fixed.
        expected_by_molecule: The expected error of each OOD molecule, in the order of the index, shape
            (n_molecules,), eV/Å.
    """

    id_force_mae: float
    ood_force_mae: float
    expected_force_mae: float
    excess: Interval
    expected_by_molecule: Float64Array


def composition_gap(
    test_id: SplitFrames,
    test_ood: SplitFrames,
    smiles: Mapping[str, str],
    settings: BootstrapSettings | None = None,
) -> CompositionGap:
    """Compares the OOD error with the one that ID errors of the same environments add up to.

    Args:
        test_id: Frames of the training molecules, with predictions; one or more.
        test_ood: Frames of the unseen combinations, with predictions; one or more.
        smiles: SMILES of every molecule, by its id.
        settings: Resamples, confidence and seed; the defaults where `None`.

    Raises:
        DataError: If an OOD molecule has an environment that no ID molecule has, or a SMILES describes another
            number of atoms than its frames have.
    """
    known, codes_id = _environments(test_id.index, smiles, {})
    n_known = len(known)
    known, codes_ood = _environments(test_ood.index, smiles, known)
    if len(known) > n_known:
        is_heavy, text = list(known)[n_known]
        raise DataError(
            f"the environment {text} of {'an atom' if is_heavy else 'a hydrogen'} in test_ood does not occur in "
            f"test_id of this data set; expected every environment of radius {RADIUS} there. Certify the data set"
        )
    errors_id, errors_ood = (
        force_mae_terms(frames.predicted.forces, frames.reference.forces).numerator / 3.0
        for frames in (test_id, test_ood)
    )
    expected = (np.bincount(codes_id, errors_id) / np.bincount(codes_id))[codes_ood]
    n_molecules, atom_idx = len(test_ood.index.molecules), test_ood.index.atom_molecule_idx
    measured_sum, expected_sum, n_atoms = (
        np.bincount(atom_idx, weights, n_molecules).astype(np.float64) for weights in (errors_ood, expected, None)
    )
    draws = draw_molecules(n_molecules, settings or BootstrapSettings(), _STREAM)
    return CompositionGap(
        id_force_mae=float(errors_id.mean()),
        ood_force_mae=float(errors_ood.mean()),
        expected_force_mae=float(expected.mean()),
        excess=ratio_interval(MoleculeSums(measured_sum, expected_sum, "the ID errors are zero"), draws),
        expected_by_molecule=expected_sum / n_atoms,
    )


@functools.cache
def environments_of_atoms(smiles: str) -> tuple[AtomEnvironment, ...]:
    """The environment of each atom of a molecule; a hydrogen has that of its heavy neighbour, marked as one."""
    found = []
    for atom in molecule(smiles).GetAtoms():
        is_heavy = atom.GetAtomicNum() > 1
        centre = atom.GetIdx() if is_heavy else atom.GetNeighbors()[0].GetIdx()
        found.append((is_heavy, environment_of_atom(smiles, centre, RADIUS)))
    return tuple(found)


def _environments(
    index: FrameIndex, smiles: Mapping[str, str], known: Mapping[AtomEnvironment, int]
) -> tuple[dict[AtomEnvironment, int], IntArray]:
    """The number of the environment of each atom, shape (n_atoms_total,), and all environments with their numbers."""
    numbers = dict(known)
    of_molecule = []
    for each in index.molecules:
        found = environments_of_atoms(smiles[each.molecule_id])
        of_molecule.append(np.array([numbers.setdefault(environment, len(numbers)) for environment in found]))
    sizes = np.array([len(codes) for codes in of_molecule])
    wrong = np.flatnonzero(sizes[index.molecule_idx] != index.n_atoms)
    if len(wrong):
        frame = int(wrong[0])
        name = index.molecules[index.molecule_idx[frame]].molecule_id
        raise DataError(
            f"a frame of {name} has {index.n_atoms[frame]} atoms and its SMILES {smiles[name]} has "
            f"{sizes[index.molecule_idx[frame]]}; expected as many"
        )
    return numbers, np.concatenate([of_molecule[position] for position in index.molecule_idx])
