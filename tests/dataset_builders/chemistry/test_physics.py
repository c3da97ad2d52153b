"""Labels and geometries against other programs and against differences."""

import numpy as np
import pytest

from dataset_builders.chemistry.mmff94 import Mmff94, atomic_numbers_of, molecule
from dataset_builders.chemistry.sampling import Recipe, check_bonds, embed, sample_burst, seed_sequence
from dataset_builders.chemistry.xtb import XtbSeries, cold_singlepoint
from dataset_builders.core.arrays import require_finite, require_shape
from dataset_builders.core.errors import ConvergenceError, DataError, ShapeError
from dataset_builders.core.units import BOHR, HARTREE, KCAL_PER_MOL
from dataset_builders.tasks.words import word

ETHANOL = word("OH", 2, "H").smiles


@pytest.fixture(scope="module")
def ethanol():
    random = np.random.default_rng(0)
    return embed(ETHANOL, 1) + random.normal(scale=0.05, size=(9, 3))


def central_difference(energy, positions, atom, axis, step):
    moved = positions.copy()
    moved[atom, axis] += step
    above = energy(moved)
    moved[atom, axis] -= 2 * step
    return (above - energy(moved)) / (2 * step)


def test_conversions_agree_with_scipy():
    from scipy import constants

    assert pytest.approx(constants.physical_constants["Hartree energy in eV"][0], rel=1e-9) == HARTREE
    assert pytest.approx(constants.physical_constants["Bohr radius"][0] * 1e10, rel=1e-9) == BOHR
    assert pytest.approx(constants.calorie * 1000 / constants.N_A / constants.e, rel=1e-9) == KCAL_PER_MOL


@pytest.mark.parametrize("method", ["GFN2-xTB", "GFN1-xTB"])
def test_xtb_agrees_with_tblite_s_own_calculator(method, ethanol):
    from ase import Atoms
    from tblite.ase import TBLite

    atoms = Atoms(numbers=atomic_numbers_of(ETHANOL), positions=ethanol)
    atoms.calc = TBLite(method=method, accuracy=0.1, verbosity=0)
    energy, forces = cold_singlepoint(method, atoms.numbers, ethanol)
    assert energy == pytest.approx(atoms.get_potential_energy(), rel=1e-7)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-5)


def test_xtb_forces_are_the_derivative_of_the_energy(ethanol):
    numbers = atomic_numbers_of(ETHANOL)
    _, forces = cold_singlepoint("GFN2-xTB", numbers, ethanol, accuracy=0.01)
    slope = central_difference(
        lambda positions: cold_singlepoint("GFN2-xTB", numbers, positions, accuracy=0.01)[0], ethanol, 2, 1, 5e-3
    )
    assert -forces[2, 1] == pytest.approx(slope, abs=1e-3)


def test_mmff94_forces_are_the_derivative_of_the_energy_at_whatever_geometry_came_before(ethanol):
    field = Mmff94(ETHANOL)
    field.singlepoint(ethanol + 0.3 * np.arange(9)[:, None])
    _, forces = field.singlepoint(ethanol)
    slope = central_difference(lambda positions: field.singlepoint(positions)[0], ethanol, 2, 1, 1e-4)
    assert -forces[2, 1] == pytest.approx(slope, abs=1e-4)


def test_a_label_does_not_depend_on_what_was_computed_before(ethanol):
    numbers = atomic_numbers_of(ETHANOL)
    first = cold_singlepoint("GFN2-xTB", numbers, ethanol)
    XtbSeries("GFN2-xTB", numbers).singlepoint(ethanol + 0.01)
    second = cold_singlepoint("GFN2-xTB", numbers, ethanol)
    assert first[0] == second[0]
    assert (first[1] == second[1]).all()


def test_an_scf_that_fails_says_so():
    with pytest.raises(ConvergenceError, match="GFN2-xTB failed"):
        cold_singlepoint("GFN2-xTB", np.array([1, 1]), np.zeros((2, 3)))


def test_atoms_are_in_the_order_of_rdkit():
    assert atomic_numbers_of("CCO").tolist() == [6, 6, 8, 1, 1, 1, 1, 1, 1]
    assert molecule("CCO").GetNumAtoms() == 9


def test_a_bad_smiles_is_named():
    with pytest.raises(DataError, match=r"cannot read the SMILES 'C\(\('"):
        molecule("C((")


def test_too_few_positions_are_refused():
    with pytest.raises(ShapeError, match=r"positions has shape \(2, 3\); expected \(9, 3\)"):
        Mmff94(ETHANOL).singlepoint(np.zeros((2, 3)))


def test_bursts_repeat_bit_for_bit_and_differ_from_each_other():
    smiles = word("H", 1, "H").smiles
    first = sample_burst(smiles, "H-1-H", "primary", 0, 0)
    assert first.positions.dtype == np.float32
    assert first.positions.shape == (5, 5, 3)
    assert (first.positions == sample_burst(smiles, "H-1-H", "primary", 0, 0).positions).all()
    assert not (first.positions == sample_burst(smiles, "H-1-H", "secondary", 0, 0).positions).any(axis=(1, 2)).any()


def test_seeds_differ_in_every_part():
    states = {
        tuple(seed_sequence(*parts).generate_state(2))
        for parts in [
            (0, "H-1-H", "primary", 0, 0),
            (1, "H-1-H", "primary", 0, 0),
            (0, "H-2-H", "primary", 0, 0),
            (0, "H-1-H", "secondary", 0, 0),
            (0, "H-1-H", "primary", 1, 0),
            (0, "H-1-H", "primary", 0, 1),
        ]
    }
    assert len(states) == 6


def test_a_broken_bond_is_found(ethanol):
    broken = ethanol.copy()
    broken[8] += 3.0
    with pytest.raises(ConvergenceError, match=r"bond 2-8 of CCO is \d\.\d+ Å long in frame 1"):
        check_bonds(ETHANOL, np.stack([ethanol, broken]))


def test_a_new_contact_is_found(ethanol):
    squeezed = ethanol.copy()
    squeezed[3] = squeezed[4] + 0.05
    with pytest.raises(ConvergenceError, match="atoms 3 and 4 of CCO are"):
        check_bonds(ETHANOL, squeezed[None])


def held(smiles, distances):
    """A conformer in which pairs of atoms are held at given distances, Å; shape (1, n_atoms, 3)."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    mol = Chem.Mol(molecule(smiles))
    bounds = rdDistGeom.GetMoleculeBoundsMatrix(mol)
    for (first, second), distance in distances.items():
        low, high = sorted((first, second))
        bounds[low, high], bounds[high, low] = distance + 0.003, distance - 0.003
    parameters = rdDistGeom.EmbedParameters()
    parameters.randomSeed = 5
    parameters.SetBoundsMat(bounds)
    assert rdDistGeom.EmbedMolecule(mol, parameters) == 0
    # The embedding is rough; springs hold the distances while the bonds relax.
    field = rdForceFieldHelpers.UFFGetMoleculeForceField(mol)
    field.Initialize()
    for (first, second), distance in distances.items():
        field.UFFAddDistanceConstraint(first, second, False, distance, distance, 3e6)
    field.Minimize(maxIts=20000)
    positions = np.array(mol.GetConformer().GetPositions())
    for pair, distance in distances.items():
        assert np.linalg.norm(positions[pair[0]] - positions[pair[1]]) == pytest.approx(distance, abs=0.03)
    return positions[None]


@pytest.mark.parametrize(
    ("smiles", "distances"),
    [
        ("CCCCCC", {(0, 5): 1.56}),  # cyclohexane with two hydrogens too many
        ("CCCCC", {(0, 4): 1.66}),
        ("OCCCO", {(0, 4): 1.50}),  # a peroxide
        ("OCCCCCC", {(0, 5): 1.45}),
        ("OCCCCO", {(0, 6): 1.21, (6, 5): 1.21}),  # the proton of one oxygen half way to the other
        ("NCCCO", {(0, 13): 1.28, (4, 13): 1.22}),
        ("SCCCCS", {(0, 6): 1.62, (6, 5): 1.62}),
    ],
)
def test_a_bond_that_has_formed_without_another_that_broke(smiles, distances):
    with pytest.raises(ConvergenceError, match=f"of {smiles} are .* Å apart in frame 0 of the burst without a bond"):
        check_bonds(smiles, held(smiles, distances))


def test_a_hydrogen_bond_is_no_bond():
    check_bonds("OCCCCO", held("OCCCCO", {(6, 5): 1.75}))
    check_bonds("NCCCO", held("NCCCO", {(0, 13): 1.80}))


@pytest.mark.parametrize("smiles", ["C1CCC1", "C1CC1", "C1CO1", "c1ccccc1", "CC(C)(C)C", "C#CC", "OO", "NN", "FC(F)F"])
def test_small_rings_and_crowded_atoms_pass(smiles):
    check_bonds(smiles, embed(smiles, 3)[None])


@pytest.mark.parametrize(("smiles", "seed"), [("O=C(O)CCO", 1), ("NCCCO", 2), ("FCCC", 3), ("N#CCCCl", 4)])
def test_hot_frames_that_are_intact_pass(smiles, seed):
    recipe = Recipe(temperature=1000.0, seed_steps=200, burst_steps=20, frame_interval=5)
    assert sample_burst(smiles, "hot", "primary", 0, seed, recipe).attempts == 1


def test_checks_of_arrays_name_what_they_saw():
    require_shape("x", np.zeros((2, 3)), (None, 3))
    with pytest.raises(ShapeError, match=r"x has shape \(2, 3\); expected \(any, 4\)"):
        require_shape("x", np.zeros((2, 3)), (None, 4))
    with pytest.raises(DataError, match=r"x is nan at index \(1,\)"):
        require_finite("x", np.array([0.0, np.nan]))
