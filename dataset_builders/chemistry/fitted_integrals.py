"""Two-electron integrals by density fitting: Coulomb and exchange matrices, and their gradient.

For each operator the product of two basis functions is expanded in an auxiliary basis, with the metric of the same
operator, as in PySCF; results agree with PySCF to rounding. Two changes reduce the cost. Matrix products use NumPy,
whose linear algebra library supports recent processors. The gradient does not need integrals over derivatives of the
auxiliary functions, since the derivatives with respect to all three centres sum to zero.

Sources: Vahtras, Almlöf and Feyereisen, Chem. Phys. Lett. 213, 514 (1993); Weigend, Phys. Chem. Chem. Phys. 4, 4285
(2002); Komornicki and Fitzgerald, J. Chem. Phys. 98, 1398 (1993), for the sum over the centres.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dataset_builders.core.arrays import FloatArray

FUNCTIONS_AT_A_TIME: Final = 48
"""Approximate number of auxiliary functions whose integrals are in memory at a time."""

BUILD_MEGABYTES: Final = 8000
"""Memory that PySCF may use to compute the integrals, besides the integrals themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedOperator:
    """A density-fitted two-electron operator.

    Attributes:
        molecule: PySCF molecule with the orbital basis.
        auxiliary: PySCF molecule with the auxiliary basis.
        omega: 0 for 1/r, else erf(omega r)/r, 1/Bohr.
        coulomb: Whether the operator contributes to the Coulomb energy.
        exchange: Fraction of its exchange in the functional.
        integrals: Shape (n_kept, n_pairs), over pairs of basis functions, such that the integral of two pairs is the
            product of their columns.
        root: Transformation from integrals over the auxiliary functions: the lower Cholesky factor of the metric, or
            the retained scaled eigenvectors, as rows, if the metric is singular to rounding.
        triangular: Whether `root` is a Cholesky factor.
    """

    molecule: Any
    auxiliary: Any
    omega: float
    coulomb: bool
    exchange: float
    integrals: FloatArray
    root: FloatArray
    triangular: bool


def fitted_operators(field: Any, auxiliary_basis: str) -> tuple[FittedOperator, ...]:
    """The operators for a restricted Kohn-Sham object of PySCF: 1/r, and for range separation erf(omega r)/r.

    Args:
        field: PySCF object with molecule and functional.
        auxiliary_basis: Name of the auxiliary basis.
    """
    numint = field._numint
    omega, long_range, short_range = numint.rsh_and_hybrid_coeff(field.xc, spin=0)
    if not numint.libxc.is_hybrid_xc(field.xc):
        return (_fitted(field.mol, auxiliary_basis, 0.0, coulomb=True, exchange=0.0),)
    full = _fitted(field.mol, auxiliary_basis, 0.0, coulomb=True, exchange=short_range)
    if not omega:
        return (full,)
    return full, _fitted(field.mol, auxiliary_basis, omega, coulomb=False, exchange=long_range - short_range)


def _fitted(molecule: Any, auxiliary_basis: str, omega: float, *, coulomb: bool, exchange: float) -> FittedOperator:
    import scipy.linalg
    from pyscf.df import addons, incore

    auxiliary = addons.make_auxmol(molecule, auxiliary_basis)
    with _range(molecule, auxiliary, omega):
        integrals = incore.cholesky_eri(molecule, auxmol=auxiliary, max_memory=BUILD_MEGABYTES)
        metric = auxiliary.intor("int2c2e", hermi=1)
    try:
        # As in `cholesky_eri`, which returns only the integrals.
        root, triangular = scipy.linalg.cholesky(metric, lower=True), True
    except scipy.linalg.LinAlgError:
        root, triangular = incore._eig_decompose(molecule, metric), False
    return FittedOperator(molecule, auxiliary, omega, coulomb, exchange, integrals, np.asarray(root), triangular)


@contextlib.contextmanager
def _range(molecule: Any, auxiliary: Any, omega: float) -> Iterator[None]:
    with molecule.with_range_coulomb(omega), auxiliary.with_range_coulomb(omega):
        yield


def coulomb_matrix(operator: FittedOperator, density: FloatArray) -> FloatArray:
    """Coulomb matrix of a density, shape (n_functions, n_functions), Hartree.

    Args:
        operator: The operator.
        density: Density matrix, symmetric.
    """
    from pyscf import lib

    packed = lib.pack_tril(2.0 * density)
    diagonal = np.arange(len(density))
    packed[diagonal * (diagonal + 3) // 2] *= 0.5
    return np.asarray(lib.unpack_tril((operator.integrals @ packed) @ operator.integrals))


def exchange_matrix(operator: FittedOperator, orbitals: FloatArray) -> FloatArray:
    """Exchange matrix, shape (n_functions, n_functions), Hartree; not scaled by the fraction in the functional.

    Args:
        operator: The operator.
        orbitals: Occupied orbitals times the square root of their occupation, shape (n_functions, n_occupied).
    """
    matrix = np.zeros((len(orbitals), len(orbitals)))
    for half in _half_transformed(operator, orbitals):
        rows = half.reshape(-1, len(orbitals))
        matrix += rows.T @ rows
    return matrix


def _half_transformed(operator: FittedOperator, orbitals: FloatArray) -> Iterator[FloatArray]:
    """Half-transformed integrals, shape (n, n_occupied, n_functions), for some auxiliary functions."""
    from pyscf import lib

    n_functions = len(orbitals)
    square = np.empty((FUNCTIONS_AT_A_TIME, n_functions, n_functions))
    for start in range(0, len(operator.integrals), FUNCTIONS_AT_A_TIME):
        packed = operator.integrals[start : start + FUNCTIONS_AT_A_TIME]
        yield orbitals.T @ lib.unpack_tril(packed, out=square[: len(packed)])


def two_electron_gradient(operator: FittedOperator, orbitals: FloatArray) -> FloatArray:
    """Gradient of the Coulomb energy and of the functional's exchange energy, at fixed orbital coefficients.

    Args:
        operator: The operator.
        orbitals: Occupied orbitals times the square root of their occupation, shape (n_functions, n_occupied).

    Returns:
        Hartree/Bohr, shape (n_atoms, 3).
    """
    molecule, auxiliary = operator.molecule, operator.auxiliary
    fits = _fits_of_orbital_pairs(operator, orbitals)
    by_function, by_auxiliary = _three_centre_derivatives(operator, orbitals, fits)
    by_auxiliary -= 2.0 * _two_centre_derivatives(operator, fits)
    gradient = np.zeros((molecule.natm, 3))
    for centres, derivatives in ((molecule, by_function), (auxiliary, by_auxiliary)):
        for atom, (start, end) in enumerate(centres.aoslice_by_atom()[:, 2:]):
            gradient[atom] += derivatives[:, start:end].sum(axis=1)
    return gradient


def _fits_of_orbital_pairs(operator: FittedOperator, orbitals: FloatArray) -> FloatArray:
    """Fit coefficients of each pair of orbitals in the auxiliary basis, shape (n_auxiliary, n_occupied, n_occupied)."""
    import scipy.linalg

    n_occupied = orbitals.shape[1]
    halves = _half_transformed(operator, orbitals)
    pairs = np.concatenate([half @ orbitals for half in halves]).reshape(len(operator.integrals), -1)
    if operator.triangular:
        fits = scipy.linalg.solve_triangular(operator.root, pairs, lower=True, trans=1, overwrite_b=True)
    else:
        fits = operator.root.T @ pairs
    return np.asarray(fits).reshape(-1, n_occupied, n_occupied)


def _three_centre_derivatives(
    operator: FittedOperator, orbitals: FloatArray, fits: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Derivatives with respect to the centre of each basis and each auxiliary function, shapes (3, n)."""
    from pyscf.ao2mo.outcore import balance_partition
    from pyscf.df.grad.rhf import _int3c_wrapper

    molecule, auxiliary = operator.molecule, operator.auxiliary
    by_function, by_auxiliary = np.zeros((3, len(orbitals))), np.zeros((3, len(fits)))
    with _range(molecule, auxiliary, operator.omega):
        integrals_of = _int3c_wrapper(molecule, auxiliary, "int3c2e_ip1", "s1")
        shells = (0, molecule.nbas, 0, molecule.nbas)
        for first, last, _ in balance_partition(auxiliary.ao_loc, FUNCTIONS_AT_A_TIME):
            part = slice(auxiliary.ao_loc[first], auxiliary.ao_loc[last])
            # Axes: direction, auxiliary function, basis function, differentiated basis function.
            integrals = integrals_of((*shells, first, last)).transpose(0, 3, 2, 1)
            weights = _pair_weights(operator, orbitals, fits[part])
            for direction in range(3):
                each = np.einsum("pnm,pnm->pm", weights, integrals[direction])
                # The integrals differentiate by the electron: minus the derivative by the centre. Twice, for the
                # two functions of a pair.
                by_function[direction] -= 2.0 * each.sum(axis=0)
                by_auxiliary[direction, part] = 2.0 * each.sum(axis=1)
    return by_function, by_auxiliary


def _pair_weights(operator: FittedOperator, orbitals: FloatArray, fits: FloatArray) -> FloatArray:
    """Derivative of the energy with respect to each three-centre integral, shape (n, m, m)."""
    n_functions, n_occupied = orbitals.shape
    half = (orbitals @ fits).reshape(-1, n_occupied)
    weights = (half @ orbitals.T).reshape(len(fits), n_functions, n_functions)
    weights *= -0.5 * operator.exchange
    if operator.coulomb:
        weights += np.einsum("pii->p", fits)[:, None, None] * (orbitals @ orbitals.T)
    return np.asarray(weights)


def _two_centre_derivatives(operator: FittedOperator, fits: FloatArray) -> FloatArray:
    """Weighted two-centre integrals over derivatives of the auxiliary functions, shape (3, n)."""
    pairs = fits.reshape(len(fits), -1)
    weights = 0.25 * operator.exchange * (pairs @ pairs.T)
    if operator.coulomb:
        charges = np.einsum("pii->p", fits)
        weights -= 0.5 * np.outer(charges, charges)
    with _range(operator.molecule, operator.auxiliary, operator.omega):
        integrals = operator.auxiliary.intor("int2c2e_ip1")
    return np.asarray(np.einsum("pq,xpq->xp", weights, integrals))
