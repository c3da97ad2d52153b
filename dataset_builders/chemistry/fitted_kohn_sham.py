"""Restricted Kohn-Sham theory with density fitting on the CPU: from a cold start to energy and gradient.

PySCF provides the molecule, one-electron integrals, grids and the SCF. Exchange and correlation come from
`grid_integrals`, the two-electron part from `fitted_integrals`. Most SCF cycles run at low cost: the first density
comes from a small basis, then from a coarse grid, and only the last cycles use the grid of the label. The starting
point changes a converged label only within the thresholds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from dataset_builders.chemistry import scf_solvers
from dataset_builders.chemistry.fitted_integrals import (
    FittedOperator,
    coulomb_matrix,
    exchange_matrix,
    fitted_operators,
    two_electron_gradient,
)
from dataset_builders.chemistry.grid_integrals import Functional, functional_of, xc_gradient, xc_matrix
from dataset_builders.chemistry.levels import DftSettings
from dataset_builders.core.arrays import FloatArray

START_BASIS: Final = "def2-svp"
"""Basis of the initial SCF, used if the basis of the label has more than twice as many functions."""

START_AUXILIARY: Final = "def2-universal-jkfit"

Grid = tuple[tuple[int, int], tuple[int, int]]

START_GRID: Final[Grid] = ((20, 50), (30, 86))
"""Radial and angular points, for hydrogen and for other elements."""

START_CONVERGENCE: Final = (1e-4, 1e-2)
"""Thresholds of energy and orbital gradient, Hartree."""

Molecule = Callable[[str], Any]
"""Builds the PySCF molecule in a basis."""


@dataclass(frozen=True, slots=True)
class Scf:
    """Settings of an SCF.

    Attributes:
        functional: PySCF name of the functional.
        grid: Radial and angular points, for hydrogen and for other elements.
        energy: Threshold of the energy, Hartree.
        gradient: Threshold of the orbital gradient, Hartree.
    """

    functional: str
    grid: Grid
    energy: float
    gradient: float


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """A converged SCF.

    Attributes:
        field: PySCF Kohn-Sham object with the orbitals.
        operators: The two-electron integrals.
    """

    field: Any
    operators: tuple[FittedOperator, ...]

    @property
    def energy(self) -> float:
        """Energy without dispersion, Hartree."""
        return float(self.field.e_tot)


def solve(settings: DftSettings, molecule: Molecule) -> Solution:
    """Solves an SCF from a cold start.

    If it does not converge, it is repeated with a level shift, then with a second-order solver.

    Raises:
        ConvergenceError: If no solver converges.
    """
    large = molecule(settings.basis)
    final = Scf(settings.functional, settings.grid, settings.energy_convergence, settings.gradient_convergence)
    coarse = Scf(settings.functional, scf_solvers.COARSE_GRID, *scf_solvers.COARSE_CONVERGENCE)
    operators = fitted_operators(_field(coarse, large, ()), str(settings.auxiliary_basis))
    start = _start(settings, molecule, large)
    by_newton = partial(_second_order, auxiliary_basis=str(settings.auxiliary_basis))
    for solver in (scf_solvers.plain, scf_solvers.shifted, by_newton):
        first = _field(coarse, large, operators)
        first.kernel(dm0=start)
        field = solver(_field(final, large, operators))
        field.kernel(dm0=first.make_rdm1())
        if field.converged:
            return Solution(field, operators)
    raise scf_solvers.not_converged(settings)


def _second_order(field: Any, auxiliary_basis: str) -> Any:
    # The second-order solver needs more than the matrices computed here, so PySCF computes everything.
    del field.get_veff
    return scf_solvers.second_order(field.density_fit(auxbasis=auxiliary_basis))


def _field(scf: Scf, molecule: Any, operators: tuple[FittedOperator, ...]) -> Any:
    from pyscf.dft import RKS

    field = RKS(molecule, xc=scf.functional)
    field.nlc = False  # wB97M-V without VV10: D3(BJ) replaces the non-local correlation.
    light, heavy = scf.grid
    field.grids.atom_grid = {symbol: light if symbol == "H" else heavy for symbol in molecule.elements}
    field.conv_tol, field.conv_tol_grad = scf.energy, scf.gradient
    field.max_cycle = scf_solvers.MAX_CYCLES
    field.conv_check = False  # It would add a cycle on the most expensive grid.
    field.verbose = 0
    # No reference back to the field: a cycle would keep gigabytes of integrals until garbage collection.
    field.get_veff = partial(_potential, functional_of(field), field.grids, operators)
    return field


def _potential(
    functional: Functional,
    grids: Any,
    operators: tuple[FittedOperator, ...],
    molecule: Any,
    dm: Any,
    *_: Any,
    **__: Any,
) -> Any:
    """Replaces PySCF's `get_veff`: the matrix of the effective potential, with its energies as attributes."""
    from pyscf import lib

    if grids.coords is None:
        grids.build(with_non0tab=True)
    orbitals, density = _orbitals_of(dm), np.asarray(dm)
    energy, matrix = xc_matrix(functional, molecule, grids, orbitals)
    repulsion, exchange = np.zeros_like(density), np.zeros_like(density)
    for operator in operators:
        if operator.coulomb:
            repulsion += coulomb_matrix(operator, density)
        if operator.exchange:
            exchange += operator.exchange * exchange_matrix(operator, orbitals)
    return lib.tag_array(
        matrix + repulsion - 0.5 * exchange,
        ecoul=0.5 * np.vdot(density, repulsion),
        exc=energy - 0.25 * np.vdot(density, exchange),
        vj=repulsion,
        vk=exchange,
    )


def _orbitals_of(dm: Any) -> FloatArray:
    """Orbitals times the square root of their occupation, shape (n_functions, n_occupied)."""
    if getattr(dm, "mo_coeff", None) is not None:
        occupation = np.asarray(dm.mo_occ)
        return np.asarray(dm.mo_coeff[:, occupation > 0] * np.sqrt(occupation[occupation > 0]))
    values, vectors = np.linalg.eigh(np.asarray(dm))
    kept = values > 1e-10  # The density of an initial guess is not a product of orbitals.
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


def _start(settings: DftSettings, molecule: Molecule, large: Any) -> Any:
    """Density of an SCF in a small basis, projected on the label's basis; PySCF's guess if the latter is small."""
    small = molecule(START_BASIS)
    if large.nao <= 2 * small.nao:
        return _field(Scf(settings.functional, scf_solvers.COARSE_GRID, *START_CONVERGENCE), large, ()).get_init_guess()
    scf = Scf(settings.functional, START_GRID, *START_CONVERGENCE)
    field = _field(scf, small, fitted_operators(_field(scf, small, ()), START_AUXILIARY))
    field.kernel()
    return _projected(field, small, large)


def _projected(field: Any, small: Any, large: Any) -> Any:
    """Density of the occupied orbitals, projected on another basis and orthonormalised."""
    import scipy.linalg
    from pyscf import lib
    from pyscf.gto import intor_cross

    overlap = large.intor_symmetric("int1e_ovlp")
    occupied = field.mo_coeff[:, field.mo_occ > 0]
    orbitals = scipy.linalg.solve(overlap, intor_cross("int1e_ovlp", large, small) @ occupied, assume_a="pos")
    values, vectors = np.linalg.eigh(orbitals.T @ overlap @ orbitals)
    orbitals = orbitals @ (vectors / np.sqrt(values)) @ vectors.T
    return lib.tag_array(2.0 * orbitals @ orbitals.T, mo_coeff=orbitals, mo_occ=np.full(orbitals.shape[1], 2.0))


def gradient_of(solution: Solution, *, grid_response: bool = True) -> FloatArray:
    """Gradient of the energy with respect to positions, Hartree/Bohr, shape (n_atoms, 3), without dispersion.

    Args:
        solution: The converged SCF.
        grid_response: Whether to include the response of the grid.
    """
    from pyscf.grad.rhf import Gradients

    field, molecule = solution.field, solution.field.mol
    of_one_electron = Gradients(field)
    density, orbitals = field.make_rdm1(), _orbitals_of(field.make_rdm1())
    weighted = of_one_electron.make_rdm1e(field.mo_energy, field.mo_coeff, field.mo_occ)
    core, overlap = of_one_electron.hcore_generator(molecule), of_one_electron.get_ovlp(molecule)
    gradient = np.array(of_one_electron.grad_nuc())
    for atom, (start, end) in enumerate(molecule.aoslice_by_atom()[:, 2:]):
        gradient[atom] += np.einsum("xij,ij->x", core(atom), density)
        gradient[atom] -= 2.0 * np.einsum("xij,ij->x", overlap[:, start:end], weighted[start:end])
    gradient += xc_gradient(functional_of(field), molecule, field.grids, orbitals, grid_response=grid_response)
    for operator in solution.operators:
        gradient += two_electron_gradient(operator, orbitals)
    return gradient
