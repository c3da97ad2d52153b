"""The fit of the additive force field, on labels whose law is known."""

import math

import numpy as np
import pytest

from dataset_builders.core.arrays import FloatArray
from harness.baselines.force_field.coordinates import internal_coordinates
from harness.baselines.force_field.model import ForceField
from harness.baselines.force_field.topology import topology_of
from harness.train.fit_additive import MoleculeFrames, fit_additive, origins_of
from tests.harness.baselines.force_field.geometries import shaken

TRAINING = ("CCO", "CCCO", "CCN", "CCCN", "CCC=O")
UNSEEN = ("NCCO", "OCCCO", "NCCC=O")


def labelled(smiles: str, n_frames: int, seed: int) -> MoleculeFrames:
    """Frames with a force field of springs: bonds, cosines of angles, torsions with three minima.

    Constants depend on the labels of the atoms alone, so that unseen molecules obey the same law.
    """
    topology, positions = topology_of(smiles), shaken(smiles, n_frames, seed)
    values, by_position = internal_coordinates(topology, positions)
    energy = np.zeros(n_frames)
    slopes = np.zeros_like(values)
    n_bonds, n_angles = len(topology.bonds), len(topology.angles)

    def number_of(*atoms: int) -> float:
        return sum(len(topology.labels[atom]) * (1 + ord(topology.labels[atom][0]) % 7) for atom in atoms) / 10.0

    for index, (a, b) in enumerate(topology.bonds):
        off, constant = values[:, index] - 1.0 - 0.1 * number_of(a, b), 20.0 + number_of(a, b)
        energy += constant * off**2
        slopes[:, index] = 2.0 * constant * off
    for index, (a, b, c) in enumerate(topology.angles, start=n_bonds):
        off, constant = values[:, index] + 0.3, 1.0 + number_of(a, b, c)
        energy += constant * off**2
        slopes[:, index] = 2.0 * constant * off
    for index, (_, b, c, _) in enumerate(topology.torsions, start=n_bonds + n_angles):
        cosine, constant = values[:, index], 0.05 * number_of(b, c)
        energy += constant * (4.0 * cosine**3 - 3.0 * cosine)
        slopes[:, index] = constant * (12.0 * cosine**2 - 3.0)
    energy += sum(0.3 * number_of(atom) for atom in range(len(topology.labels)))
    return MoleculeFrames(smiles, positions, energy, -np.einsum("fc,fcad->fad", slopes, by_position))


@pytest.fixture(scope="module")
def field() -> ForceField:
    train = [labelled(smiles, 60, 1) for smiles in TRAINING]
    fit = fit_additive(train, [labelled(smiles, 5, 2) for smiles in TRAINING], ridges=(1e-7,))
    return ForceField(fit.coefficients, fit.origins)


@pytest.mark.parametrize("smiles", TRAINING)
def test_recovers_an_additive_force_field(field: ForceField, smiles: str) -> None:
    expected = labelled(smiles, 4, 3)
    energy, forces = field.energies_and_forces(smiles, expected.positions)
    np.testing.assert_allclose(forces, expected.forces, atol=1e-6)
    np.testing.assert_allclose(energy, expected.energy, atol=1e-6)


@pytest.mark.parametrize("smiles", UNSEEN)
def test_carries_it_over_to_unseen_combinations(field: ForceField, smiles: str) -> None:
    # Coarse and fine types share what training tells of either, so this is close and not exact.
    expected = labelled(smiles, 4, 3)
    _, forces = field.energies_and_forces(smiles, expected.positions)
    assert np.abs(forces - expected.forces).mean() < 0.05 * np.abs(expected.forces).mean()


def test_validation_chooses_the_ridge() -> None:
    train = [labelled(smiles, 20, 1) for smiles in TRAINING[:2]]
    validation = [labelled(smiles, 5, 2) for smiles in TRAINING[:2]]
    fit = fit_additive(train, validation, ridges=(1e-6, 1.0, 1e6))
    assert fit.ridge == 1e-6
    assert list(fit.validation_force_mae) == [1e-6, 1.0, 1e6]
    assert sorted(fit.validation_force_mae.values()) == list(fit.validation_force_mae.values())
    field = ForceField(fit.coefficients, fit.origins)
    errors = [field.energies_and_forces(each.smiles, each.positions)[1] - each.forces for each in validation]
    error = np.abs(np.concatenate([each.ravel() for each in errors])).mean()
    assert fit.validation_force_mae[1e-6] == pytest.approx(error, rel=1e-9)
    strong = fit_additive(train, validation, ridges=(1e12,))
    zero = np.abs(np.concatenate([each.forces.ravel() for each in validation])).mean()
    assert strong.validation_force_mae[1e12] == pytest.approx(zero, rel=1e-3)


def test_origins_by_hand() -> None:
    def stretched(lengths: FloatArray) -> MoleculeFrames:
        positions = np.zeros((len(lengths), 2, 3))
        positions[:, 1, 0] = lengths
        return MoleculeFrames("Cl", positions, np.zeros(len(lengths)), np.zeros_like(positions))

    origins = origins_of([stretched(np.array([1.2, 1.4])), stretched(np.array([1.3]))])
    np.testing.assert_allclose(origins["origin/Cl1sp3-H"], [1.3, math.sqrt(0.02 / 3)])
    np.testing.assert_allclose(origins_of([stretched(np.array([1.3]))])["origin/Cl1sp3-H"], [1.3, 0.01])
