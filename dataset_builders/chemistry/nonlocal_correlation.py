"""Adds the non-local correlation VV10 to a density functional, as wB97M-V has it.

The labels of this project replace VV10 by D3(BJ). The level of OMol25, wB97M-V/def2-TZVPD, has it in the SCF; here it
serves to measure how far that level lies from the labels. The potential of VV10 changes little with the density, so it
is kept fixed during an SCF and computed again from the density of that SCF, `_ROUNDS` times.

Sources: Vydrov and Van Voorhis, J. Chem. Phys. 133, 244103 (2010); its energy, potential and gradient are PySCF's.
"""

from functools import partial
from typing import Any, Final

import numpy as np

from dataset_builders.chemistry.fitted_kohn_sham import Grid, Molecule, Solution, gradient_of, solve
from dataset_builders.chemistry.levels import DftSettings
from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import ConvergenceError

VV10_GRID: Final[Grid] = ((20, 86), (30, 110))
"""Radial and angular points for hydrogen and for other elements; the cost grows with the square of their number."""

_ROUNDS: Final = 2


def with_vv10(settings: DftSettings, molecule: Molecule, grid: Grid = VV10_GRID) -> tuple[float, FloatArray]:
    """Energy in Hartree and gradient in Hartree/Bohr, shape (n_atoms, 3), of a functional with VV10, without D3.

    Args:
        settings: Functional, whose name in libxc has the parameters of VV10, basis, grid and thresholds.
        molecule: Builds the PySCF molecule in a basis.
        grid: Grid of the double integral of VV10.

    Raises:
        ConvergenceError: If an SCF does not converge.
    """
    solution = solve(settings, molecule)
    field = solution.field
    nonlocal_grid = _grid(field.mol, grid)
    core = field.get_hcore()
    for _ in range(_ROUNDS):
        density = field.make_rdm1()
        energy, potential = _energy_and_potential(field, nonlocal_grid, density)
        field.get_hcore = partial(_fixed, core + potential)
        field.kernel(dm0=density)
        if not field.converged:
            raise ConvergenceError(f"the SCF of {settings.functional} with VV10 does not converge")
    # The fixed potential enters the energy of the SCF to first order; the energy of VV10 replaces it.
    total = float(field.e_tot) - float(np.vdot(potential, field.make_rdm1()))
    energy, _ = _energy_and_potential(field, nonlocal_grid, field.make_rdm1())
    gradient = gradient_of(Solution(field, solution.operators), grid_response=settings.grid_response)
    return total + energy, gradient + _gradient(field, nonlocal_grid)


def _fixed(matrix: FloatArray, *_: Any) -> FloatArray:
    return matrix


def _grid(molecule: Any, grid: Grid) -> Any:
    from pyscf.dft import gen_grid

    light, heavy = grid
    points = gen_grid.Grids(molecule)
    points.atom_grid = {symbol: light if symbol == "H" else heavy for symbol in molecule.elements}
    return points.build(with_non0tab=True)


def _energy_and_potential(field: Any, grid: Any, density: Any) -> tuple[float, FloatArray]:
    _, energy, potential = field._numint.nr_nlc_vxc(field.mol, grid, field.xc, density)
    return float(energy), np.asarray(potential)


def _gradient(field: Any, grid: Any) -> FloatArray:
    """Gradient of the energy of VV10 at a fixed density matrix, with the response of its grid."""
    from pyscf.grad.rks import get_nlc_vxc_full_response

    density = np.asarray(field.make_rdm1())
    of_grid, matrix = get_nlc_vxc_full_response(field._numint, field.mol, grid, field.xc, density)
    gradient = np.array(of_grid)
    for atom, (start, end) in enumerate(field.mol.aoslice_by_atom()[:, 2:]):
        gradient[atom] += 2.0 * np.einsum("xij,ij->x", matrix[:, start:end], density[start:end])
    return gradient
