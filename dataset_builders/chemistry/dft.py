"""Energies and forces of density functional theory, through PySCF, and through gpu4pyscf where a GPU is there.

Two-electron integrals are fitted (RI-J for PBE, RI-JK with a range-separated exchange for the hybrids). Forces
contain the response of the integration grid to the motion of the atoms, so that they sum to nothing; without
it the same grid is off by up to 3 meV/Å. docs/labels.md has the measured errors.

Sources: PySCF, Sun et al., J. Chem. Phys. 153, 024109 (2020); D3(BJ) from the package dftd3, Grimme et al.,
J. Comput. Chem. 32, 1456 (2011), without its three-body term.
"""

import functools
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from dataset_builders.chemistry.levels import DftSettings
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import ConvergenceError, MissingPackageError
from dataset_builders.core.units import BOHR, HARTREE, HARTREE_PER_BOHR

MAX_CYCLES: Final = 100
COARSE_GRID: Final = (30, 110)
"""Radial and angular points on each atom of the SCF that gives the first density."""

COARSE_CONVERGENCE: Final = 1e-5
"""Hartree, of the energy of that SCF."""

LEVEL_SHIFT: Final = 0.3
"""Hartree, added to the virtual orbitals where the plain SCF does not converge."""

ATOM_SPINS: Final[Mapping[int, int]] = MappingProxyType({1: 1, 6: 2, 7: 3, 8: 2, 9: 1, 16: 2, 17: 1})
"""Unpaired electrons of the ground state of an isolated atom, by atomic number."""


def dft_singlepoint(settings: DftSettings, atomic_numbers: IntArray, positions: FloatArray) -> tuple[float, FloatArray]:
    """Energy and forces of one neutral closed-shell molecule, from a fresh SCF guess.

    An SCF that does not converge is tried again with a level shift, then with a second-order solver.

    Args:
        settings: Functional, basis, grid and thresholds.
        atomic_numbers: Shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.

    Returns:
        Total energy in eV and forces in eV/Å, shape (n_atoms, 3), float64.

    Raises:
        MissingPackageError: If PySCF or dftd3 is not installed.
        ConvergenceError: If no solver converges, or gives a number that is not finite.
    """
    numbers = np.asarray(atomic_numbers, dtype=np.int64)
    positions_in_bohr = np.asarray(positions, dtype=np.float64) / BOHR
    field = _converged(lambda: _mean_field(settings, _molecule(settings, numbers, positions_in_bohr)), settings)
    gradients = field.nuc_grad_method()
    gradients.grid_response = settings.grid_response
    energy = float(field.e_tot)
    gradient = _on_host(gradients.kernel())
    if settings.dispersion is not None:
        more_energy, more_gradient = _dispersion(settings.dispersion, numbers, positions_in_bohr)
        energy, gradient = energy + more_energy, gradient + more_gradient
    if not (np.isfinite(energy) and np.isfinite(gradient).all()):
        raise ConvergenceError(f"{settings.functional} gave an energy or forces that are not finite")
    return energy * HARTREE, -gradient * HARTREE_PER_BOHR


def isolated_atom_energy(settings: DftSettings, atomic_number: int) -> float:
    """Total energy of a free atom in its ground state, spin-unrestricted, eV.

    Args:
        settings: Functional, basis, grid and thresholds.
        atomic_number: One of `ATOM_SPINS`.

    Raises:
        MissingPackageError: If PySCF is not installed.
        ConvergenceError: If no solver converges.
    """
    numbers, origin = np.array([atomic_number]), np.zeros((1, 3))
    spin = ATOM_SPINS[atomic_number]
    field = _converged(lambda: _mean_field(settings, _molecule(settings, numbers, origin, spin)), settings)
    return float(field.e_tot) * HARTREE


def _molecule(settings: DftSettings, numbers: IntArray, positions_in_bohr: FloatArray, spin: int = 0) -> Any:
    # One constant for the Bohr radius: PySCF would convert from Å with its own.
    return _pyscf().gto.M(
        atom=[(int(number), tuple(place)) for number, place in zip(numbers, positions_in_bohr, strict=True)],
        unit="Bohr",
        basis=settings.basis,
        cart=settings.cartesian,
        charge=0,
        spin=spin,
        verbose=0,
    )


def _mean_field(settings: DftSettings, molecule: Any) -> Any:
    dft = _pyscf().dft
    kind = dft.UKS if molecule.spin else dft.RKS
    field = kind(molecule, xc=settings.functional)
    if settings.auxiliary_basis is not None:
        field = field.density_fit(auxbasis=settings.auxiliary_basis)
    field.nlc = False  # wB97M-V without its V: D3(BJ) stands for the non-local correlation
    light, heavy = settings.grid
    field.grids.atom_grid = {symbol: light if symbol == "H" else heavy for symbol in molecule.elements}
    field.conv_tol = settings.energy_convergence
    field.conv_tol_grad = settings.gradient_convergence
    field.max_cycle = MAX_CYCLES
    if uses_gpu():
        return field.to_gpu()
    if settings.auxiliary_basis is not None:
        field.with_df.build()  # kept: without exchange, PySCF would compute these integrals in every cycle
    return field


def _converged(make: Callable[[], Any], settings: DftSettings) -> Any:
    for solver in (_plain, _shifted, _second_order):
        field = solver(make())
        field.kernel(dm0=_first_density(make()))
        if field.converged:
            return field
    raise ConvergenceError(
        f"the SCF of {settings.functional}/{settings.basis} did not converge in {MAX_CYCLES} cycles: neither plainly, "
        f"nor with a level shift of {LEVEL_SHIFT:g} Hartree, nor with a second-order solver"
    )


def _first_density(field: Any) -> Any:
    """Density of an SCF on a coarse grid, which takes most cycles at a fraction of the cost."""
    field.grids.atom_grid = COARSE_GRID
    field.conv_tol, field.conv_tol_grad = COARSE_CONVERGENCE, None
    field.kernel()
    return field.make_rdm1()


def _plain(field: Any) -> Any:
    return field


def _shifted(field: Any) -> Any:
    field.level_shift = LEVEL_SHIFT
    return field


def _second_order(field: Any) -> Any:
    return field.newton()


def _dispersion(functional: str, numbers: IntArray, positions_in_bohr: FloatArray) -> tuple[float, FloatArray]:
    from dftd3.interface import DispersionModel, RationalDampingParam

    found = DispersionModel(numbers, positions_in_bohr).get_dispersion(
        RationalDampingParam(method=functional, atm=False), grad=True
    )
    return float(found["energy"]), np.asarray(found["gradient"])


@functools.cache
def uses_gpu() -> bool:
    """Whether labels are computed on a GPU: gpu4pyscf is installed and CuPy sees a CUDA device."""
    if find_spec("gpu4pyscf") is None or find_spec("cupy") is None:
        return False
    import cupy

    try:
        return int(cupy.cuda.runtime.getDeviceCount()) > 0
    except cupy.cuda.runtime.CUDARuntimeError:
        return False


def programs() -> tuple[str, ...]:
    """Names of the packages that a label depends on.

    Raises:
        MissingPackageError: If PySCF or dftd3 is not installed.
    """
    names = ("pyscf", "dftd3")
    for name in names:
        if find_spec(name) is None:
            raise MissingPackageError(name, "dft", "a label of density functional theory")
    return (*names, "gpu4pyscf") if uses_gpu() else names


def _on_host(array: Any) -> FloatArray:
    return np.asarray(array.get() if hasattr(array, "get") else array)


@functools.cache
def _pyscf() -> Any:
    programs()
    import pyscf
    import pyscf.dft
    import pyscf.gto

    return pyscf
