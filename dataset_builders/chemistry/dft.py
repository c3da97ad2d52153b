"""Energies and forces from density functional theory, with PySCF, or gpu4pyscf if a GPU is available.

Two-electron integrals use density fitting (RI-J for PBE, RI-JK with range-separated exchange for the hybrids): on the
CPU by `fitted_kohn_sham`, on a GPU by gpu4pyscf with the same fit. Forces include the response of the integration grid
to the motion of the atoms, so that they sum to zero; without it the errors of the same grid reach 3 meV/Å.
docs/labels.md lists the measured errors.

Sources: PySCF, Sun et al., J. Chem. Phys. 153, 024109 (2020); D3(BJ) from the package dftd3, Grimme et al.,
J. Comput. Chem. 32, 1456 (2011), without its three-body term.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from dataset_builders.chemistry import scf_solvers
from dataset_builders.chemistry.fitted_kohn_sham import gradient_of, solve
from dataset_builders.chemistry.levels import DftSettings, Level
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import ConvergenceError, MissingPackageError, SetupError, UsageError
from dataset_builders.core.units import BOHR, HARTREE, HARTREE_PER_BOHR

ATOM_SPINS: Final[Mapping[int, int]] = MappingProxyType({1: 1, 6: 2, 7: 3, 8: 2, 9: 1, 16: 2, 17: 1})
"""Unpaired electrons of the ground state of an isolated atom, by atomic number."""


def dft_singlepoint(settings: DftSettings, atomic_numbers: IntArray, positions: FloatArray) -> tuple[float, FloatArray]:
    """Energy and forces of one neutral closed-shell molecule, from a fresh SCF guess.

    If the SCF does not converge, it is repeated with a level shift, then with a second-order solver.

    Args:
        settings: Functional, basis, grid and thresholds.
        atomic_numbers: Shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.

    Returns:
        Total energy in eV and forces in eV/Å, shape (n_atoms, 3), float64.

    Raises:
        MissingPackageError: If PySCF or dftd3 is not installed.
        ConvergenceError: If no solver converges, or a result is not finite.
    """
    numbers = np.asarray(atomic_numbers, dtype=np.int64)
    positions_in_bohr = np.asarray(positions, dtype=np.float64) / BOHR
    if settings.auxiliary_basis is None or uses_gpu():
        energy, gradient = _by_pyscf(settings, numbers, positions_in_bohr)
    else:
        solution = solve(settings, partial(_molecule, settings, numbers, positions_in_bohr))
        energy, gradient = solution.energy, gradient_of(solution, grid_response=settings.grid_response)
    if settings.dispersion is not None:
        more_energy, more_gradient = _dispersion(settings.dispersion, numbers, positions_in_bohr)
        energy, gradient = energy + more_energy, gradient + more_gradient
    if not (np.isfinite(energy) and np.isfinite(gradient).all()):
        raise ConvergenceError(f"{settings.functional} returned an energy or forces that are not finite")
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
    molecule = _molecule(settings, numbers, origin, settings.basis, spin)
    return float(_converged(settings, molecule).e_tot) * HARTREE


def _by_pyscf(settings: DftSettings, numbers: IntArray, positions_in_bohr: FloatArray) -> tuple[float, FloatArray]:
    """Energy in Hartree and gradient in Hartree/Bohr, without dispersion, by unmodified PySCF or gpu4pyscf."""
    field = _converged(settings, _molecule(settings, numbers, positions_in_bohr, settings.basis))
    gradients = field.nuc_grad_method()
    gradients.grid_response = settings.grid_response
    return float(field.e_tot), _on_host(gradients.kernel())


def _molecule(
    settings: DftSettings, numbers: IntArray, positions_in_bohr: FloatArray, basis: str, spin: int = 0
) -> Any:
    # Use a single Bohr radius: PySCF would convert from Å with its own constant.
    return _pyscf().gto.M(
        atom=[(int(number), tuple(place)) for number, place in zip(numbers, positions_in_bohr, strict=True)],
        unit="Bohr",
        basis=basis,
        cart=settings.cartesian,
        charge=0,
        spin=spin,
        verbose=0,
    )


def _mean_field(settings: DftSettings, molecule: Any, fit: Any = None) -> Any:
    dft = _pyscf().dft
    kind = dft.UKS if molecule.spin else dft.RKS
    field = kind(molecule, xc=settings.functional)
    if settings.auxiliary_basis is not None:
        field = field.density_fit(auxbasis=settings.auxiliary_basis)
    field.nlc = False  # wB97M-V without VV10: D3(BJ) replaces the non-local correlation.
    light, heavy = settings.grid
    field.grids.atom_grid = {symbol: light if symbol == "H" else heavy for symbol in molecule.elements}
    field.conv_tol = settings.energy_convergence
    field.conv_tol_grad = settings.gradient_convergence
    field.max_cycle = scf_solvers.MAX_CYCLES
    if uses_gpu():
        field = field.to_gpu()
    if fit is not None:
        field.with_df = fit
    elif settings.auxiliary_basis is not None and not uses_gpu():
        field.with_df.build()  # Keep them: without exchange, PySCF would recompute these integrals in every cycle.
    return field


def _converged(settings: DftSettings, molecule: Any) -> Any:
    for solver in (scf_solvers.plain, scf_solvers.shifted, scf_solvers.second_order):
        coarse = _mean_field(replace(settings, grid=scf_solvers.COARSE_GRID), molecule)
        coarse.conv_tol, coarse.conv_tol_grad = scf_solvers.COARSE_CONVERGENCE
        coarse.kernel()
        field = solver(_mean_field(settings, molecule, getattr(coarse, "with_df", None)))
        field.kernel(dm0=coarse.make_rdm1())
        if field.converged:
            return field
    raise scf_solvers.not_converged(settings)


def _dispersion(functional: str, numbers: IntArray, positions_in_bohr: FloatArray) -> tuple[float, FloatArray]:
    from dftd3.interface import DispersionModel, RationalDampingParam

    found = DispersionModel(numbers, positions_in_bohr).get_dispersion(
        RationalDampingParam(method=functional, atm=False), grad=True
    )
    return float(found["energy"]), np.asarray(found["gradient"])


OLDEST_GPU4PYSCF: Final = (1, 9, 0)
"""The version whose source was checked for the features used here."""


@functools.cache
def uses_gpu() -> bool:
    """Whether labels are computed on a GPU: gpu4pyscf is installed and CuPy finds a CUDA device."""
    if find_spec("gpu4pyscf") is None or find_spec("cupy") is None:
        return False
    import cupy

    try:
        return int(cupy.cuda.runtime.getDeviceCount()) > 0
    except cupy.cuda.runtime.CUDARuntimeError:
        return False


def require_gpu(level: Level) -> None:
    """Checks that gpu4pyscf would compute the labels of a level.

    Raises:
        UsageError: If the level is not density functional theory.
        SetupError: If a package is not installed or too old, or CuPy finds no CUDA device.
    """
    if level.dft is None:
        raise UsageError(f"--program gpu4pyscf: {level.method} is computed with tblite; expected a density functional")
    lacking = [name for name in ("gpu4pyscf", "cupy") if find_spec(name) is None]
    if lacking:
        raise SetupError(
            f"--program gpu4pyscf: {' and '.join(lacking)} is not installed. On a machine with an NVIDIA GPU: pip "
            f"install 'gpu4pyscf-cuda12x>={_text_of(OLDEST_GPU4PYSCF)}' (or -cuda13x, by its driver); without a GPU, "
            "omit --program"
        )
    if not uses_gpu():
        raise SetupError(
            "--program gpu4pyscf: CuPy sees no CUDA device; expected one. See `nvidia-smi`, or omit --program to "
            "compute on the CPU"
        )
    programs()


def programs() -> tuple[str, ...]:
    """Names of the packages that affect a label.

    Raises:
        MissingPackageError: If PySCF or dftd3 is not installed.
        SetupError: If the GPU would be used with a gpu4pyscf that is too old.
    """
    names = ("pyscf", "dftd3")
    for name in names:
        if find_spec(name) is None:
            raise MissingPackageError(name, "dft", "a label of density functional theory")
    if not uses_gpu():
        return names
    found = _gpu4pyscf()
    if tuple(int(part) for part in re.findall(r"\d+", version(found))[:3]) < OLDEST_GPU4PYSCF:
        oldest = _text_of(OLDEST_GPU4PYSCF)
        raise SetupError(
            f"{found} {version(found)} would compute labels; expected {oldest} or later, since earlier versions "
            f"silently omit the grid response in forces: pip install '{found}>={oldest}'"
        )
    return (*names, found)


def _text_of(release: tuple[int, ...]) -> str:
    return ".".join(map(str, release))


def _gpu4pyscf() -> str:
    """Name of the installed distribution; each CUDA version has its own."""
    names = packages_distributions().get("gpu4pyscf", [])
    return names[0] if names else "gpu4pyscf"


def _on_host(array: Any) -> FloatArray:
    return np.asarray(array.get() if hasattr(array, "get") else array)


@functools.cache
def _pyscf() -> Any:
    programs()
    import pyscf
    import pyscf.dft
    import pyscf.gto

    return pyscf
