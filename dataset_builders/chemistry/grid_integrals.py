"""Exchange and correlation on the integration grid of PySCF: energy, matrix and gradient, in few large products.

PySCF evaluates the same integrals in many small products with the linear algebra library in its wheel, which dates
from 2018. Here orbitals and functional come from PySCF and the products from NumPy. The gradient uses the occupied
orbitals and never builds a matrix between basis functions. Both agree with PySCF to rounding.

Source of the expressions: Johnson, Gill and Pople, J. Chem. Phys. 98, 5612 (1993), with the response of the grid;
for the kinetic energy density Neumann, Nobes and Handy, Mol. Phys. 87, 1 (1996).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray

_SCREENED: Final = 56
"""Size of PySCF's screening blocks, in grid points."""

BLOCK: Final = 8 * _SCREENED
"""Number of grid points per block."""

SCREENING: Final = 40
"""On PySCF's scale, which is 100 for a basis-function value of 1 and 0 for 1e-15: functions below 1e-9 on all points
of a block are omitted there."""

Kind = Literal["LDA", "GGA", "MGGA"]
"""Variables of a functional: the density, its gradient, and the kinetic energy density."""

_ROWS: Final[dict[Kind, int]] = {"LDA": 1, "GGA": 4, "MGGA": 5}

_SECOND: Final = ((4, 5, 6), (5, 7, 8), (6, 8, 9))
"""Index of the second derivatives of basis functions in PySCF's arrays, by the two directions."""


@dataclass(frozen=True, slots=True, eq=False)
class Functional:
    """A density functional on a grid.

    Attributes:
        name: PySCF name of the functional.
        kind: Its variables.
        evaluate: `eval_xc_eff` of PySCF.
        numint: PySCF's integrator, which evaluates basis functions.
    """

    name: str
    kind: Kind
    evaluate: Callable[..., Any]
    numint: Any

    def on(self, density: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Energy per electron, shape (n_points,), and its derivatives with respect to the rows of a density."""
        rows = density[0] if self.kind == "LDA" else density
        energy, potential = self.evaluate(self.name, rows, deriv=1, xctype=self.kind, spin=0)[:2]
        return np.asarray(energy), np.asarray(potential)


def functional_of(field: Any) -> Functional:
    """The functional of a restricted Kohn-Sham object of PySCF."""
    numint = field._numint
    return Functional(field.xc, numint._xc_type(field.xc), numint.eval_xc_eff, numint)


def xc_matrix(functional: Functional, molecule: Any, grids: Any, orbitals: FloatArray) -> tuple[float, FloatArray]:
    """Exchange-correlation energy, Hartree, and its matrix in the basis.

    Args:
        functional: The functional.
        molecule: PySCF's molecule.
        grids: Its grid, built.
        orbitals: Occupied orbitals times the square root of their occupation, shape (n_functions, n_occupied).
    """
    n_functions, energy, start = molecule.nao, 0.0, 0
    matrix = np.zeros((n_functions, n_functions))
    derivatives = 0 if functional.kind == "LDA" else 1
    for ao, _, weights, _ in functional.numint.block_loop(molecule, grids, n_functions, derivatives, blksize=BLOCK):
        kept = _kept(molecule, grids.non0tab[start : start + BLOCK // _SCREENED])
        start += BLOCK // _SCREENED
        basis = np.reshape(ao, (-1, *ao.shape[-2:])).transpose(0, 2, 1)[:, kept]
        density = _density(_on_points(orbitals[kept], basis), functional.kind)
        each, potential = functional.on(density)
        energy += float(density[0] * weights @ each)
        block = sum(basis[row] @ scaled.T for row, scaled in _scaled(basis, potential * weights))
        matrix[np.ix_(kept, kept)] += block
    return energy, matrix + matrix.T


def _kept(molecule: Any, levels: FloatArray) -> IntArray:
    """Indices of the non-negligible basis functions on some points, from PySCF's screening of shells."""
    return np.flatnonzero(np.repeat((levels > SCREENING).any(axis=0), np.diff(molecule.ao_loc)))


def _scaled(basis: FloatArray, potential: FloatArray) -> Iterator[tuple[int, FloatArray]]:
    """Half of the matrix, as a product of basis functions with scaled ones; the transpose is the other half."""
    scaled = basis[0] * (0.5 * potential[0])
    for row in range(1, min(len(potential), 4)):
        scaled += basis[row] * potential[row]
    yield 0, scaled
    if len(potential) > 4:
        for row in (1, 2, 3):
            yield row, np.multiply(basis[row], 0.25 * potential[4], out=scaled)


def _on_points(orbitals: FloatArray, basis: FloatArray) -> FloatArray:
    """Occupied orbitals, with derivatives if the basis functions have them, shape (1 or 4, n_occupied, n)."""
    return np.stack([orbitals.T @ rows for rows in basis[:4]])


def _density(values: FloatArray, kind: Kind) -> FloatArray:
    density = np.empty((_ROWS[kind], values.shape[-1]))
    density[0] = np.einsum("ig,ig->g", values[0], values[0])
    for row in range(1, min(len(density), 4)):
        density[row] = 2.0 * np.einsum("ig,ig->g", values[0], values[row])
    if kind == "MGGA":
        density[4] = 0.5 * np.einsum("dig,dig->g", values[1:4], values[1:4])
    return density


def xc_gradient(
    functional: Functional, molecule: Any, grids: Any, orbitals: FloatArray, *, grid_response: bool = True
) -> FloatArray:
    """Gradient of the exchange-correlation energy with respect to positions, at fixed orbital coefficients.

    Args:
        functional: The functional.
        molecule: PySCF's molecule.
        grids: Its grid.
        orbitals: Occupied orbitals times the square root of their occupation, shape (n_functions, n_occupied).
        grid_response: Whether to include the response of points and weights.

    Returns:
        Hartree/Bohr, shape (n_atoms, 3).
    """
    from pyscf.grad.rks import grids_response_cc

    gradient = np.zeros((molecule.natm, 3))
    slices = molecule.aoslice_by_atom()[:, 2:]
    for atom, (points, weights, weights_by_atom) in enumerate(grids_response_cc(grids)):
        energies, by_function = _of_points(functional, molecule, grids, (points, weights), orbitals)
        for other, (start, end) in enumerate(slices):
            gradient[other] -= 2.0 * by_function[:, start:end].sum(axis=1)
        if grid_response:
            gradient += weights_by_atom @ energies
            gradient[atom] += 2.0 * by_function.sum(axis=1)
    return gradient


def _of_points(
    functional: Functional,
    molecule: Any,
    grids: Any,
    points_and_weights: tuple[FloatArray, FloatArray],
    orbitals: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Energy density at the points of one atom, and the integral over the derivative of each basis function."""
    from pyscf.dft.gen_grid import make_mask

    points, weights = points_and_weights
    energies, by_function = np.empty(len(points)), np.zeros((3, molecule.nao))
    for start in range(0, len(points), BLOCK):
        part = slice(start, start + BLOCK)
        mask = make_mask(molecule, points[part])
        ao = functional.numint.eval_ao(molecule, points[part], deriv=2, non0tab=mask, cutoff=grids.cutoff)
        kept = _kept(molecule, mask)
        basis = ao.transpose(0, 2, 1)[:, kept]
        values = _on_points(orbitals[kept], basis)
        density = _density(values, functional.kind)
        each, potential = functional.on(density)
        energies[part] = each * density[0]
        for rows, factor in _factors(values, potential * weights[part]):
            on_functions = orbitals[kept] @ factor
            for direction in range(3):
                by_function[direction, kept] += np.einsum("mg,mg->m", basis[rows[direction]], on_functions)
    return energies, by_function


def _factors(values: FloatArray, potential: FloatArray) -> Iterator[tuple[tuple[int, int, int], FloatArray]]:
    """Factors of the derivatives of basis functions, which are given by their rows in the three directions."""
    rows = min(len(potential), 4)
    first = potential[0] * values[0]
    for row in range(1, rows):
        first += potential[row] * values[row]
    yield (1, 2, 3), first
    for row in range(1, rows):
        factor = potential[row] * values[0]
        if len(potential) > 4:
            factor += 0.5 * potential[4] * values[row]
        yield _SECOND[row - 1], factor
