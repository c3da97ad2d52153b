"""Whether the dynamics sample what the card says: kinetic energies, forces that are those of the energy, rotamers.

Velocities of a burst are not kept, so the same steps are run here, by the function that the recipe runs.
"""

import numpy as np
import pytest
from ase import Atoms, units
from ase.md.velocitydistribution import thermalize_momenta
from scipy.optimize import minimize

from dataset_builders.chemistry import sampling
from dataset_builders.chemistry.mmff94 import Mmff94, atomic_numbers_of
from dataset_builders.chemistry.sampling import RECIPE, embed, sample_burst, seed_sequence
from dataset_builders.chemistry.xtb import XtbSeries
from dataset_builders.tasks.words import word

pytestmark = pytest.mark.slow

ETHANOL = word("OH", 2, "H").smiles
BUTANE = word("H", 4, "H")
TRANS = 120.0
"""Dihedral angle, degrees, above which a frame of butane is trans."""


def started(smiles, seed):
    """Atoms at the start of a burst, after the MMFF94 dynamics of the recipe, and the random numbers that go on."""
    random = np.random.default_rng(seed)
    atoms = Atoms(atomic_numbers_of(smiles), embed(smiles, seed))
    thermalize_momenta(atoms, RECIPE.temperature, rng=random)
    field = Mmff94(smiles).singlepoint
    sampling._run_langevin(atoms, field, RECIPE.seed_steps, RECIPE.seed_friction / units.fs, random, RECIPE)
    return atoms, random


def temperatures(atoms, singlepoint, friction, n_samples, interval, random):
    """Kinetic temperature at intervals, K, and the mean of each atom."""
    of_atoms, masses = [], atoms.get_masses()[:, None]
    for _ in range(n_samples):
        sampling._run_langevin(atoms, singlepoint, interval, friction / units.fs, random, RECIPE)
        of_atoms.append((masses * atoms.get_velocities() ** 2).mean(axis=1) / units.kB)
    kinetic = np.array(of_atoms)
    return kinetic.mean(axis=1), kinetic.mean(axis=0)


def test_kinetic_energies_of_the_force_field_are_those_of_the_canonical_ensemble():
    """Mean and variance of the kinetic temperature, for hydrogen, carbon and oxygen alike.

    With 3N degrees of freedom its variance is 2 T^2 / 3N. At 1 fs the integrator leaves it 1 % low, since bonds to
    hydrogen vibrate with a period of 11 fs.
    """
    atoms, random = started(ETHANOL, 1)
    n_atoms, n_samples = len(atoms), 2000
    found, of_atoms = temperatures(atoms, Mmff94(ETHANOL).singlepoint, RECIPE.seed_friction, n_samples, 20, random)
    blocks = found.reshape(20, -1).mean(axis=1)
    error = blocks.std(ddof=1) / np.sqrt(len(blocks))
    print(f"MMFF94: {found.mean():.1f} +- {error:.1f} K")
    assert error < 5.0
    assert abs(found.mean() - RECIPE.temperature) < 0.01 * RECIPE.temperature + 3.5 * error
    assert found.var() / (2.0 * RECIPE.temperature**2 / (3 * n_atoms)) == pytest.approx(1.0, abs=0.25)
    assert of_atoms == pytest.approx(np.full(n_atoms, RECIPE.temperature), rel=0.12)


def test_kinetic_energies_of_the_bursts_are_those_of_the_canonical_ensemble():
    """The same of GFN2-xTB dynamics, which take longer: 1.5 ps."""
    atoms, random = started(ETHANOL, 2)
    xtb = XtbSeries("GFN2-xTB", atoms.numbers, accuracy=RECIPE.xtb_accuracy)
    sampling._run_langevin(atoms, xtb.singlepoint, 100, RECIPE.burst_friction / units.fs, random, RECIPE)
    found, _ = temperatures(atoms, xtb.singlepoint, RECIPE.burst_friction, 150, 10, random)
    blocks = found.reshape(15, -1).mean(axis=1)
    error = blocks.std(ddof=1) / np.sqrt(len(blocks))
    print(f"GFN2-xTB: {found.mean():.1f} +- {error:.1f} K")
    assert error < 25.0
    assert abs(found.mean() - RECIPE.temperature) < 0.01 * RECIPE.temperature + 3.5 * error
    assert found.var() / (2.0 * RECIPE.temperature**2 / (3 * len(atoms))) == pytest.approx(1.0, abs=0.6)


def test_the_work_along_a_burst_is_the_loss_of_energy():
    """Forces are the gradient of the energy that is stored beside them, step by step along real dynamics."""
    atoms, random = started(ETHANOL, 3)
    xtb = XtbSeries("GFN2-xTB", atoms.numbers, accuracy=RECIPE.xtb_accuracy)
    energies, positions, forces = [], [], []

    def recorded(place):
        energy, force = xtb.singlepoint(place)
        for seen, value in ((energies, energy), (positions, place.copy()), (forces, force.copy())):
            seen.append(value)
        return energy, force

    steps = RECIPE.burst_steps + 4 * RECIPE.frame_interval
    sampling._run_langevin(atoms, recorded, steps, RECIPE.burst_friction / units.fs, random, RECIPE)
    energy, place, force = map(np.array, (energies, positions, forces))
    work = 0.5 * ((force[1:] + force[:-1]) * np.diff(place, axis=0)).sum(axis=(1, 2))
    error = np.diff(energy) + work
    total = energy - energy[0] + np.concatenate([[0.0], np.cumsum(work)])
    print(
        f"energies {np.ptp(energy):.3f} eV; work differs by {abs(total).max():.1e} eV, a step by {abs(error).max():.1e}"
    )
    assert len(energy) > steps
    assert np.ptp(energy) > 0.2
    assert abs(total).max() < 0.02 * np.ptp(energy)


def dihedral(positions):
    """The dihedral angle of the carbon chain, degrees, 0 to 180."""
    carbons = np.flatnonzero(np.array(atomic_numbers_of(BUTANE.smiles)) == 6)
    first, second, third, fourth = positions[carbons].astype(float)
    axis = (third - second) / np.linalg.norm(third - second)
    one, other = first - second, fourth - third
    one, other = one - (one @ axis) * axis, other - (other @ axis) * axis
    return float(np.degrees(np.arccos(np.clip(one @ other / np.linalg.norm(one) / np.linalg.norm(other), -1.0, 1.0))))


def free_energy(positions, xtb):
    """Classical harmonic free energy of a minimum at the temperature of the recipe, eV, up to a constant."""

    def energy_and_gradient(flat):
        energy, forces = xtb.singlepoint(flat.reshape(-1, 3))
        return energy, -forces.ravel()

    found = minimize(energy_and_gradient, positions.ravel(), jac=True, method="BFGS", options={"gtol": 1e-3})
    assert np.abs(found.jac).max() < 0.01
    atoms = Atoms(atomic_numbers_of(BUTANE.smiles), found.x.reshape(-1, 3))
    step, masses = 0.005, np.repeat(atoms.get_masses(), 3)
    hessian = []
    for coordinate in range(len(masses)):
        shift = np.zeros(len(masses))
        shift[coordinate] = step
        ends = [xtb.singlepoint(atoms.positions + sign * shift.reshape(-1, 3))[1].ravel() for sign in (1.0, -1.0)]
        hessian.append((ends[1] - ends[0]) / (2.0 * step))
    symmetric = 0.5 * (np.array(hessian) + np.array(hessian).T) / np.sqrt(np.outer(masses, masses))
    modes = np.sort(np.linalg.eigvalsh(symmetric))[6:]
    assert modes.min() > 0.0
    kt = units.kB * RECIPE.temperature
    rotation = 0.5 * np.log(atoms.get_moments_of_inertia()).sum()
    return found.fun + kt * (0.5 * np.log(modes).sum() - rotation), dihedral(atoms.positions)


def test_rotamers_of_butane_are_those_of_the_embedding_and_not_of_the_level():
    """Bursts are too short to turn a bond, so ETKDG decides between trans and gauche; the card says so."""
    conformers = [embed(BUTANE.smiles, seed) for seed in range(300)]
    angles = np.array([dihedral(each) for each in conformers])
    embedded = float((angles > TRANS).mean())
    kept = []
    for burst in range(10):
        sequence = seed_sequence(0, BUTANE.molecule_id, "primary", burst, 0)
        random = np.random.Generator(np.random.PCG64(sequence))
        start = dihedral(embed(BUTANE.smiles, int(random.integers(2**31 - 1)))) > TRANS
        frames = sample_burst(BUTANE.smiles, BUTANE.molecule_id, "primary", burst, 0).positions
        kept.append(np.mean([(dihedral(frame) > TRANS) == start for frame in frames]))
    xtb = XtbSeries("GFN2-xTB", atomic_numbers_of(BUTANE.smiles))
    (trans, at_trans), (gauche, at_gauche) = (
        free_energy(conformers[int(place)], xtb) for place in (angles.argmax(), abs(angles - 65.0).argmin())
    )
    boltzmann = 1.0 / (1.0 + 2.0 * np.exp((trans - gauche) / (units.kB * RECIPE.temperature)))
    print(f"trans: ETKDG {embedded:.3f}, Boltzmann {boltzmann:.3f}; frames that keep their rotamer {np.mean(kept):.2f}")
    assert at_trans > 175.0
    assert 55.0 < at_gauche < 75.0
    assert np.mean(kept) > 0.8
    assert embedded == pytest.approx(0.465, abs=0.09)
    assert boltzmann == pytest.approx(0.58, abs=0.08)
    assert boltzmann - embedded > 0.02
