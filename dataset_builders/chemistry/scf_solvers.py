"""What is tried until an SCF converges, and from where it starts."""

from collections.abc import Callable
from typing import Any, Final

from dataset_builders.chemistry.levels import DftSettings
from dataset_builders.core.errors import ConvergenceError

MAX_CYCLES: Final = 100

LEVEL_SHIFT: Final = 0.3
"""Hartree, added to the virtual orbitals where the plain SCF does not converge."""

COARSE_GRID: Final = ((30, 110), (30, 110))
"""Radial and angular points, for hydrogen and for the others, of the SCF that the one of the label starts from."""

COARSE_CONVERGENCE: Final = (1e-5, 3e-3)
"""Of that SCF: energy, and orbital gradient, Hartree."""

Solver = Callable[[Any], Any]
"""Changes how a mean field of PySCF is solved."""


def plain(field: Any) -> Any:
    """DIIS alone."""
    return field


def shifted(field: Any) -> Any:
    """DIIS with a level shift."""
    field.level_shift = LEVEL_SHIFT
    return field


def second_order(field: Any) -> Any:
    """Newton's method in the rotations of the orbitals."""
    return field.newton()


def not_converged(settings: DftSettings) -> ConvergenceError:
    """Says what was tried in vain."""
    return ConvergenceError(
        f"the SCF of {settings.functional}/{settings.basis} did not converge in {MAX_CYCLES} cycles: neither plainly, "
        f"nor with a level shift of {LEVEL_SHIFT:g} Hartree, nor with a second-order solver"
    )
