"""The fast way against PySCF's own and against finite differences."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from dataset_builders.chemistry import dft, fitted_kohn_sham, scf_solvers
from dataset_builders.chemistry.dft import dft_singlepoint
from dataset_builders.chemistry.fitted_integrals import coulomb_matrix, exchange_matrix, fitted_operators
from dataset_builders.chemistry.fitted_kohn_sham import gradient_of, solve
from dataset_builders.chemistry.grid_integrals import functional_of, xc_matrix
from dataset_builders.chemistry.levels import LEVELS, DftSettings
from dataset_builders.core.errors import ConvergenceError
from dataset_builders.core.units import BOHR

pytest.importorskip("pyscf")

WATER = np.array([8, 1, 1]), np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.1, -0.74, -0.45]])
TIGHT = DftSettings(
    functional="wb97m-v",
    basis="def2-svp",
    cartesian=False,
    auxiliary_basis="def2-universal-jkfit",
    grid=((20, 86), (30, 110)),
    energy_convergence=1e-11,
    gradient_convergence=1e-7,
)
FUNCTIONALS = {
    "range-separated meta-GGA": TIGHT,
    "range-separated GGA with 6 d functions": replace(TIGHT, functional="wb97x", basis="6-31g*", cartesian=True),
    "global hybrid": replace(TIGHT, functional="pbe0"),
    "GGA": replace(TIGHT, functional="pbe"),
    "LDA": replace(TIGHT, functional="svwn"),
    "a basis that starts from a smaller one": replace(TIGHT, functional="pbe0", basis="def2-tzvppd"),
}


def solved(settings, positions=WATER[1]):
    return solve(settings, partial(dft._molecule, settings, WATER[0], positions / BOHR))


@pytest.mark.parametrize("grid_response", [True, False])
@pytest.mark.parametrize("settings", FUNCTIONALS.values(), ids=FUNCTIONALS)
def test_energy_and_gradient_are_those_of_pyscf(settings, grid_response):
    settings = replace(settings, grid_response=grid_response)
    solution = solved(settings)
    energy, gradient = dft._by_pyscf(settings, WATER[0], WATER[1] / BOHR)
    assert solution.energy == pytest.approx(energy, abs=1e-9)
    np.testing.assert_allclose(gradient_of(solution, grid_response=grid_response), gradient, atol=1e-7)


def test_the_gradient_is_the_slope_of_the_energy():
    gradient, step = gradient_of(solved(TIGHT)), 1e-3
    for atom, axis in ((0, 2), (1, 1), (2, 0)):
        energies = []
        for sign in (1, -1):
            moved = WATER[1].copy()
            moved[atom, axis] += sign * step * BOHR
            energies.append(solved(TIGHT, moved).energy)
        assert gradient[atom, axis] == pytest.approx((energies[0] - energies[1]) / (2 * step), abs=2e-6)
    np.testing.assert_allclose(gradient.sum(axis=0), 0.0, atol=1e-9)


@pytest.fixture(scope="module")
def field():
    return fitted_kohn_sham._field(
        fitted_kohn_sham.Scf("wb97m-v", TIGHT.grid, 1e-9, 1e-5),
        dft._molecule(TIGHT, WATER[0], WATER[1] / BOHR, "def2-svp"),
        (),
    )


@pytest.fixture(scope="module")
def orbitals(field):
    """Any five, since no SCF is needed to compare integrals."""
    return np.linalg.qr(np.random.default_rng(0).normal(size=(field.mol.nao, 5)))[0]


@pytest.fixture(scope="module")
def operators(field):
    return fitted_operators(field, "def2-universal-jkfit")


@pytest.mark.parametrize("number", [0, 1])
def test_two_electron_matrices_are_those_of_exact_integrals_but_for_the_fit(field, operators, orbitals, number):
    operator, density = operators[number], orbitals @ orbitals.T
    assert (operator.omega, operator.coulomb) == ((0.0, True), (0.3, False))[number]
    with field.mol.with_range_coulomb(operator.omega):
        integrals = field.mol.intor("int2e")
    repulsion = np.einsum("ijkl,kl->ij", integrals, density)
    exchange = np.einsum("ikjl,kl->ij", integrals, density)
    np.testing.assert_allclose(coulomb_matrix(operator, density), repulsion, atol=1e-2)
    np.testing.assert_allclose(exchange_matrix(operator, orbitals), exchange, atol=1e-2)
    # No more is left than what the fit costs PySCF.
    kept = operator.integrals
    from pyscf import lib

    fitted = lib.unpack_tril(kept)
    np.testing.assert_allclose(
        exchange_matrix(operator, orbitals), np.einsum("pik,pjl,kl->ij", fitted, fitted, density), atol=1e-11
    )


def test_parts_of_exchange_are_those_of_the_functional(operators):
    # wB97M: 15 % of exact exchange at short range, all of it at long range, omega 0.3.
    assert [operator.exchange for operator in operators] == pytest.approx([0.15, 0.85])


def test_a_singular_metric_is_cut(operators):
    assert operators[0].triangular
    full, long_range = operators[0].integrals, operators[1].integrals
    assert len(full) == operators[0].auxiliary.nao
    assert len(long_range) <= len(full)


def test_functions_that_vanish_on_a_block_change_nothing(field, orbitals, monkeypatch):
    field.grids.build(with_non0tab=True)
    functional = functional_of(field)
    energy, matrix = xc_matrix(functional, field.mol, field.grids, orbitals)
    monkeypatch.setattr("dataset_builders.chemistry.grid_integrals.SCREENING", -1)
    all_of_it, whole = xc_matrix(functional, field.mol, field.grids, orbitals)
    assert energy == pytest.approx(all_of_it, abs=1e-11)
    np.testing.assert_allclose(matrix, whole, atol=1e-9)
    _, expected, potential = field._numint.nr_rks(field.mol, field.grids, field.xc, 2.0 * orbitals @ orbitals.T / 2.0)
    assert energy == pytest.approx(expected, abs=1e-10)
    np.testing.assert_allclose(matrix, potential, atol=1e-9)


def test_a_second_solver_takes_over(monkeypatch):
    settings = replace(TIGHT, energy_convergence=1e-9, gradient_convergence=1e-5)
    expected = solved(settings).energy

    def stopped(field):
        field.max_cycle = 0
        return field

    for broken in (["plain"], ["plain", "shifted"]):
        with monkeypatch.context() as patch:
            for name in broken:
                patch.setattr(scf_solvers, name, stopped)
            solution = solved(settings)
        assert solution.energy == pytest.approx(expected, abs=1e-8)
        np.testing.assert_allclose(gradient_of(solution), gradient_of(solved(settings)), atol=2e-5)


def test_an_scf_that_does_not_converge_says_what_was_tried(monkeypatch):
    monkeypatch.setattr(scf_solvers, "MAX_CYCLES", 1)
    with pytest.raises(
        ConvergenceError, match=r"wb97m-v/def2-svp did not converge in 1 cycles with DIIS, a level shift"
    ):
        solved(TIGHT)


def test_labels_are_made_the_fast_way_with_dispersion():
    settings = replace(LEVELS["wb97m-d3bj"].dft, basis="def2-svp", grid=TIGHT.grid)
    energy, forces = dft_singlepoint(settings, *WATER)
    bare, forces_without = dft_singlepoint(replace(settings, dispersion=None), *WATER)
    assert -0.1 < energy - bare < 0
    assert 0 < np.abs(forces - forces_without).max() < 0.05
