"""The composition-matched gap: the OOD error that is expected from the composition of the OOD molecules alone.

OOD molecules may have a larger share of the atoms that a method describes badly: a duplicated fragment doubles the
polar atoms, a longer chain adds CH2. If each atom had the mean ID force error of its environment (the heavy atom that
it is or is bonded to, and all atoms within one bond of that), this would give an expected OOD error. If the measured
error equals it, the OOD molecules are not harder in themselves.
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
from dataset_builders.tasks.drawn import Drawn
from harness.scoring.clusters import Clusters, clusters_of
from harness.scoring.influences import Effect
from harness.scoring.intervals import Interval, IntervalSettings, interval_of
from harness.scoring.metric_terms import BoolArray, Float64Array, force_mae_terms
from harness.scoring.paired_frames import FrameIndex, SplitFrames

RADIUS: Final = 1
"""Bonds from the heavy atom; at this radius, training covers every OOD molecule in all tasks."""

ZERO_ID_ERRORS: Final = "the ID errors are zero"

AtomEnvironment = tuple[bool, str]
"""Whether the atom is heavy, and the environment of the atom or, for a hydrogen, of its heavy neighbour."""


@dataclass(frozen=True, slots=True)
class EnvironmentErrors:
    """Atoms and errors of the molecules in a split, by environment.

    Attributes:
        atoms: Atoms in all frames of a molecule, shape (n_molecules, n_environments).
        error: Sum over these atoms of the mean absolute error of the force components, same shape, eV/Å.
    """

    atoms: Float64Array
    error: Float64Array


@dataclass(frozen=True, slots=True)
class Expectation:
    """The errors of OOD molecules that ID errors of environments predict.

    Attributes:
        total: Expected error of each OOD molecule, summed over atoms, shape (n_ood,), eV/Å.
        id_influence: Influence of each ID molecule on the logarithm of the sum of `total`, shape (n_id,); `None` if
            that sum is zero.
    """

    total: Float64Array
    id_influence: Float64Array | None


@dataclass(frozen=True, slots=True)
class CompositionGap:
    """An OOD error beside the error that the composition of the molecules predicts.

    Attributes:
        id_force_mae: Force MAE on `test_id`, eV/Å.
        ood_force_mae: Force MAE on `test_ood`, eV/Å.
        expected_force_mae: OOD force MAE if each atom had the mean ID error of its environment, eV/Å.
        excess: Measured divided by expected error, with its interval; ID and OOD molecules are drawn together.
        expected_by_molecule: The expected error of each OOD molecule, in the order of the index, shape
            (n_molecules,), eV/Å.
        id_influence: Influence of each ID molecule on the logarithm of the expected error; see `Expectation`.
    """

    id_force_mae: float
    ood_force_mae: float
    expected_force_mae: float
    excess: Interval
    expected_by_molecule: Float64Array
    id_influence: Float64Array | None


def composition_gap(
    test_id: SplitFrames,
    test_ood: SplitFrames,
    smiles: Mapping[str, str],
    drawn: Drawn,
    settings: IntervalSettings | None = None,
) -> CompositionGap:
    """Compares the OOD error with the error expected from the ID errors of the same environments.

    Args:
        test_id: Frames of the training molecules, with predictions; at least one.
        test_ood: Frames of the OOD molecules, with predictions; at least one.
        smiles: SMILES of every molecule, by id.
        drawn: Sampling unit of the task.
        settings: Settings of the interval; the default if `None`.

    Raises:
        DataError: If an OOD molecule has an environment that no ID molecule has, or a SMILES has another
            number of atoms than the frames.
    """
    known, codes_id = _environments(test_id.index, smiles, {})
    n_known = len(known)
    known, codes_ood = _environments(test_ood.index, smiles, known)
    if len(known) > n_known:
        is_heavy, text = list(known)[n_known]
        raise DataError(
            f"the environment {text} of {'an atom' if is_heavy else 'a hydrogen'} in test_ood does not occur in "
            f"test_id of this data set; expected every environment of radius {RADIUS} in test_id. Certify the data set"
        )
    seen, unseen = _by_environment(test_id, codes_id, n_known), _by_environment(test_ood, codes_ood, n_known)
    clusters = [
        clusters_of(frames.index.split, [each.molecule_id for each in frames.index.molecules], drawn)
        for frames in (test_id, test_ood)
    ]
    expected = expectation(seen, unseen.atoms, clusters[0].is_fixed)
    measured, n_atoms = unseen.error.sum(axis=1), unseen.atoms.sum(axis=1)
    effect = excess_effect(measured, expected, clusters[0], clusters[1])
    return CompositionGap(
        id_force_mae=float(seen.error.sum() / seen.atoms.sum()),
        ood_force_mae=float(measured.sum() / n_atoms.sum()),
        expected_force_mae=float(expected.total.sum() / n_atoms.sum()),
        excess=Interval(None, reason=ZERO_ID_ERRORS) if effect is None else interval_of(effect, "log", settings),
        expected_by_molecule=expected.total / n_atoms,
        id_influence=expected.id_influence,
    )


def expectation(test_id: EnvironmentErrors, ood_atoms: Float64Array, is_fixed: BoolArray) -> Expectation:
    """The OOD errors to expect if each atom has the mean ID error of its environment.

    Args:
        test_id: Errors of the ID molecules; every environment occurs at least once.
        ood_atoms: Atoms of the OOD molecules by environment, shape (n_ood, n_environments).
        is_fixed: Which ID molecules have no drawn fragment, shape (n_id,); they vary around their own means.
    """
    atoms = test_id.atoms.sum(axis=0)
    mean = test_id.error.sum(axis=0) / atoms
    total = ood_atoms @ mean
    whole = float(total.sum())
    if whole == 0.0:
        return Expectation(total, None)
    weight = ood_atoms.sum(axis=0) / (atoms * whole)
    of_fixed = test_id.atoms[is_fixed].sum(axis=0)
    own_mean = np.divide(test_id.error[is_fixed].sum(axis=0), of_fixed, out=np.zeros_like(mean), where=of_fixed > 0.0)
    means = np.where(is_fixed[:, None], own_mean, mean)
    return Expectation(total, (test_id.error - means * test_id.atoms) @ weight)


def excess_effect(
    measured: Float64Array, expected: Expectation, id_clusters: Clusters, ood_clusters: Clusters
) -> Effect | None:
    """Measured divided by expected error, with the influence of every molecule; `None` if the expected error is zero.

    Args:
        measured: Error of each OOD molecule, summed over its atoms, shape (n_ood,), eV/Å.
        expected: The expected errors.
        id_clusters: Clusters of the ID molecules.
        ood_clusters: Clusters of the OOD molecules.
    """
    if expected.id_influence is None:
        return None
    whole = float(expected.total.sum())
    value = float(measured.sum()) / whole
    influence = (measured - value * expected.total) / whole
    return Effect(
        value,
        {
            id_clusters.part: (-value * expected.id_influence, id_clusters),
            ood_clusters.part: (influence, ood_clusters),
        },
    )


@functools.cache
def environments_of_atoms(smiles: str) -> tuple[AtomEnvironment, ...]:
    """The environment of each atom of a molecule; a hydrogen has that of its heavy neighbour, marked as hydrogen."""
    found = []
    texts: dict[int, str] = {}
    for atom in molecule(smiles).GetAtoms():
        is_heavy = atom.GetAtomicNum() > 1
        centre = atom.GetIdx() if is_heavy else atom.GetNeighbors()[0].GetIdx()
        if centre not in texts:
            texts[centre] = environment_of_atom(smiles, centre, RADIUS)
        found.append((is_heavy, texts[centre]))
    return tuple(found)


def _by_environment(frames: SplitFrames, codes: IntArray, n_environments: int) -> EnvironmentErrors:
    """Atoms and errors of each molecule, by index of the environment."""
    error = force_mae_terms(frames.predicted.forces, frames.reference.forces).numerator / 3.0
    shape = len(frames.index.molecules), n_environments
    cell = frames.index.atom_molecule_idx * n_environments + codes
    atoms, errors = (
        np.bincount(cell, weights, shape[0] * shape[1]).astype(np.float64).reshape(shape) for weights in (None, error)
    )
    return EnvironmentErrors(atoms, errors)


def _environments(
    index: FrameIndex, smiles: Mapping[str, str], known: Mapping[AtomEnvironment, int]
) -> tuple[dict[AtomEnvironment, int], IntArray]:
    """The index of the environment of each atom, shape (n_atoms_total,), and all environments with their indices."""
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
            f"a frame of {name} has {index.n_atoms[frame]} atoms, but its SMILES {smiles[name]} has "
            f"{sizes[index.molecule_idx[frame]]}; expected equal numbers"
        )
    return numbers, np.concatenate([of_molecule[position] for position in index.molecule_idx])
