from dataclasses import replace

import numpy as np
import pytest

from dataset_builders.chemistry import dft, scf_solvers
from dataset_builders.chemistry.dft import dft_singlepoint, isolated_atom_energy
from dataset_builders.chemistry.isolated_atoms import ISOLATED_ATOMS
from dataset_builders.chemistry.labels import compute_label, label_metadata
from dataset_builders.chemistry.levels import GFN2, LEVELS, DftSettings
from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.chemistry.xtb import cold_singlepoint
from dataset_builders.core.errors import ConvergenceError, MissingPackageError, SetupError, UsageError
from dataset_builders.core.units import BOHR, HARTREE, HARTREE_PER_BOHR
from dataset_builders.tasks.words import word

pytest.importorskip("pyscf")

SMALL = DftSettings(
    functional="pbe",
    basis="sto-3g",
    cartesian=False,
    auxiliary_basis="def2-universal-jfit",
    grid=((20, 50), (30, 110)),
    energy_convergence=1e-10,
    gradient_convergence=1e-6,
)
WATER = np.array([8, 1, 1]), np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.1, -0.74, -0.45]])
DFT_LEVELS = [name for name, level in LEVELS.items() if level.dft]
TOLERANCE = 1e-3
"""eV/Å, what docs/labels.md states of the forces."""


def by_pyscf(settings, numbers, positions, **grid):
    """The same functional through PySCF's own interface, in Å, with exact integrals."""
    from pyscf import dft as pyscf_dft
    from pyscf import gto

    molecule = gto.M(
        atom=list(zip(numbers.tolist(), positions.tolist(), strict=True)),
        basis=settings.basis,
        cart=settings.cartesian,
        verbose=0,
    )
    field = pyscf_dft.RKS(molecule, xc=settings.functional)
    field.nlc = False
    field.set(conv_tol=1e-11, conv_tol_grad=1e-7)
    for name, value in grid.items():
        setattr(field.grids, name, value)
    energy = field.kernel()
    gradients = field.nuc_grad_method()
    gradients.grid_response = True
    return energy, gradients.kernel()


def test_energy_and_forces_in_the_units_of_the_project():
    energy, forces = dft_singlepoint(replace(SMALL, auxiliary_basis=None), *WATER)
    expected, gradient = by_pyscf(SMALL, *WATER, atom_grid={"H": (20, 50), "O": (30, 110)})
    assert energy == pytest.approx(expected * HARTREE, abs=1e-4)
    np.testing.assert_allclose(forces, -gradient * HARTREE_PER_BOHR, atol=1e-4)
    assert forces.shape == (3, 3)
    assert forces.dtype == np.float64


def test_forces_are_the_slope_of_the_energy_and_sum_to_nothing():
    numbers, positions = WATER
    _, forces = dft_singlepoint(SMALL, numbers, positions)
    step = 1e-3
    for atom, axis in ((0, 2), (1, 1)):
        moved = [positions.copy(), positions.copy()]
        moved[0][atom, axis] += step
        moved[1][atom, axis] -= step
        up, down = (dft_singlepoint(SMALL, numbers, each)[0] for each in moved)
        assert forces[atom, axis] == pytest.approx((down - up) / (2 * step), abs=1e-3)
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-5)


def test_dispersion_is_added():
    plain, forces = dft_singlepoint(SMALL, *WATER)
    corrected, more_forces = dft_singlepoint(replace(SMALL, dispersion="pbe"), *WATER)
    from dftd3.interface import DispersionModel, RationalDampingParam

    numbers, positions = WATER
    found = DispersionModel(numbers, positions / BOHR).get_dispersion(
        RationalDampingParam(s6=1.0, s8=0.7875, a1=0.4289, a2=4.4407, s9=0.0), grad=True
    )
    assert corrected - plain == pytest.approx(found["energy"] * HARTREE, abs=1e-7)
    np.testing.assert_allclose(more_forces - forces, -found["gradient"] * HARTREE_PER_BOHR, atol=1e-5)


def test_an_scf_that_does_not_converge_says_what_was_tried(monkeypatch):
    monkeypatch.setattr(scf_solvers, "MAX_CYCLES", 1)
    with pytest.raises(ConvergenceError, match=r"pbe/sto-3g did not converge in 1 cycles with DIIS, a"):
        dft_singlepoint(SMALL, *WATER)


def test_a_second_solver_takes_over(monkeypatch):
    def stopped(field):
        field.max_cycle = 0
        return field

    exact = replace(SMALL, auxiliary_basis=None)
    expected, _ = dft_singlepoint(exact, *WATER)
    for broken in (["plain"], ["plain", "shifted"]):
        with monkeypatch.context() as patch:
            for name in broken:
                patch.setattr(scf_solvers, name, stopped)
            energy, _ = dft_singlepoint(exact, *WATER)
        assert energy == pytest.approx(expected, abs=1e-6)


def test_a_missing_package_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr(dft, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'mlip-ood\[dft\]'"):
        label_metadata(LEVELS["wb97x"])


def test_a_level_that_is_no_functional_is_computed_by_tblite():
    energy, forces = compute_label(GFN2, *WATER)
    expected, expected_forces = cold_singlepoint("GFN2-xTB", *WATER)
    assert energy == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(forces, expected_forces, atol=1e-9)


def test_without_a_gpu_labels_come_from_pyscf_alone():
    assert dft.programs()[:2] == ("pyscf", "dftd3")


def test_a_gpu_that_is_asked_for_and_is_not_there_is_told(monkeypatch):
    level = LEVELS["wb97m-d3bj"]
    with pytest.raises(UsageError, match="GFN2-xTB is computed with tblite; expected a density functional"):
        dft.require_gpu(GFN2)
    monkeypatch.setattr(dft, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"gpu4pyscf and cupy is not installed.*install 'gpu4pyscf-cuda12x>=1\.9\.0'"):
        dft.require_gpu(level)
    monkeypatch.setattr(dft, "find_spec", lambda name: object())
    monkeypatch.setattr(dft, "uses_gpu", lambda: False)
    with pytest.raises(SetupError, match=r"CuPy sees no CUDA device; expected one\. See `nvidia-smi`"):
        dft.require_gpu(level)


def test_a_gpu4pyscf_whose_forces_lack_the_response_of_the_grid_is_refused(monkeypatch):
    versions = {"gpu4pyscf-cuda12x": "1.8.2"}
    monkeypatch.setattr(dft, "uses_gpu", lambda: True)
    monkeypatch.setattr(dft, "packages_distributions", lambda: {"gpu4pyscf": ["gpu4pyscf-cuda12x"]})
    monkeypatch.setattr(dft, "version", versions.__getitem__)
    with pytest.raises(SetupError, match=r"gpu4pyscf-cuda12x 1\.8\.2 would compute labels; expected 1\.9\.0 or later"):
        dft.programs()
    versions["gpu4pyscf-cuda12x"] = "1.10.0"
    assert dft.programs() == ("pyscf", "dftd3", "gpu4pyscf-cuda12x")


@pytest.mark.slow
@pytest.mark.parametrize("molecule_id", [("H", 1, "H"), ("OH", 1, "H"), ("CN", 1, "H")])
def test_pbe_agrees_with_an_independent_calculation_at_tighter_settings(molecule_id):
    from rdkit.Chem import AddHs, MolFromSmiles
    from rdkit.Chem.AllChem import EmbedMolecule

    smiles = word(*molecule_id).smiles
    mol = AddHs(MolFromSmiles(smiles))
    EmbedMolecule(mol, randomSeed=7)
    numbers, positions = atomic_numbers_of(smiles), np.asarray(mol.GetConformer().GetPositions())
    level = LEVELS["pbe-d3bj"]
    energy, forces = compute_label(level, numbers, positions)
    bare = replace(level.dft, dispersion=None)
    expected, gradient = by_pyscf(bare, numbers, positions, atom_grid=(120, 770))
    without, forces_without = dft_singlepoint(bare, numbers, positions)
    assert without == pytest.approx(expected * HARTREE, abs=0.05)
    np.testing.assert_allclose(forces_without, -gradient * HARTREE_PER_BOHR, atol=3 * TOLERANCE)
    assert energy < without
    assert np.abs(forces - forces_without).max() < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", DFT_LEVELS)
@pytest.mark.parametrize(("symbol", "number"), [("H", 1), ("C", 6), ("O", 8)])
def test_energies_of_isolated_atoms(name, symbol, number):
    assert isolated_atom_energy(LEVELS[name].dft, number) == pytest.approx(ISOLATED_ATOMS[name][symbol], abs=1e-4)
