"""The sequence of SCF solvers, and the settings of the initial SCF."""

from collections.abc import Callable
from typing import Any, Final

from dataset_builders.chemistry.levels import DftSettings
from dataset_builders.core.errors import ConvergenceError

MAX_CYCLES: Final = 100

LEVEL_SHIFT: Final = 0.3
"""Level shift of the virtual orbitals, Hartree, if the plain SCF does not converge."""

COARSE_GRID: Final = ((30, 110), (30, 110))
"""Radial and angular points of the initial SCF, for hydrogen and for other elements."""

COARSE_CONVERGENCE: Final = (1e-5, 3e-3)
"""Thresholds of the initial SCF: energy and orbital gradient, Hartree."""

Solver = Callable[[Any], Any]
"""Changes the solver of a PySCF mean-field object."""


def plain(field: Any) -> Any:
    """DIIS alone."""
    return field


def shifted(field: Any) -> Any:
    """DIIS with a level shift."""
    field.level_shift = LEVEL_SHIFT
    return field


def second_order(field: Any) -> Any:
    """Newton's method in orbital rotations."""
    return field.newton()


def not_converged(settings: DftSettings) -> ConvergenceError:
    """The error that lists the solvers that failed to converge."""
    return ConvergenceError(
        f"the SCF of {settings.functional}/{settings.basis} did not converge in {MAX_CYCLES} cycles with DIIS, a level "
        f"shift of {LEVEL_SHIFT:g} Hartree, or a second-order solver"
    )
