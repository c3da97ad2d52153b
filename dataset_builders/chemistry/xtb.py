"""GFN-xTB energies and forces, through tblite.

Sources: GFN2-xTB, Bannwarth et al., J. Chem. Theory Comput. 15, 1652 (2019); GFN1-xTB, Grimme et
al., J. Chem. Theory Comput. 13, 1989 (2017).

Set `OMP_NUM_THREADS=1` before the first call: more threads are not faster for molecules of this size
and change the last bits.
"""

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import ConvergenceError
from dataset_builders.core.units import BOHR, HARTREE, HARTREE_PER_BOHR

if TYPE_CHECKING:
    from tblite.interface import Calculator

XtbMethod = Literal["GFN2-xTB", "GFN1-xTB"]

LABEL_ACCURACY: Final = 0.1
"""SCF accuracy of labels (tblite's scale, 1 is its default): forces are converged to 0.03 meV/Å."""

MAX_ITERATIONS: Final = 500


def cold_singlepoint(
    method: XtbMethod, atomic_numbers: IntArray, positions: FloatArray, accuracy: float = LABEL_ACCURACY
) -> tuple[float, FloatArray]:
    """Energy and forces of one neutral closed-shell molecule, from a fresh SCF guess.

    A restart from the last geometry is faster, and moves forces by up to 0.7 meV/Å at this accuracy:
    a label must not depend on earlier calculations.

    Args:
        method: GFN2-xTB or GFN1-xTB.
        atomic_numbers: Shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.
        accuracy: SCF accuracy on tblite's scale; smaller is tighter.

    Returns:
        Total energy in eV and forces in eV/Å, shape (n_atoms, 3), float64.

    Raises:
        ConvergenceError: If the SCF does not converge or gives a number that is not finite.
    """
    return XtbSeries(method, atomic_numbers, accuracy).singlepoint(positions)


class XtbSeries:
    """Successive geometries of one molecule, with each SCF started from the previous one.

    Args:
        method: GFN2-xTB or GFN1-xTB.
        atomic_numbers: Shape (n_atoms,).
        accuracy: SCF accuracy on tblite's scale.
    """

    def __init__(self, method: XtbMethod, atomic_numbers: IntArray, accuracy: float = 1.0) -> None:
        self._method = method
        self._atomic_numbers = np.asarray(atomic_numbers, dtype=np.int64)
        self._accuracy = accuracy
        self._calculator: Calculator | None = None
        self._last: Any = None

    def singlepoint(self, positions: FloatArray) -> tuple[float, FloatArray]:
        """Energy (eV) and forces (eV/Å, shape (n_atoms, 3)) at positions of shape (n_atoms, 3), Å.

        Raises:
            ConvergenceError: If the SCF does not converge or gives a number that is not finite.
        """
        positions_in_bohr = np.asarray(positions, dtype=np.float64) / BOHR
        try:
            if self._calculator is None:
                self._calculator = self._make_calculator(positions_in_bohr)
            else:
                self._calculator.update(positions=positions_in_bohr)
            self._last = self._calculator.singlepoint(self._last)
        except RuntimeError as cause:
            raise ConvergenceError(f"{self._method} failed: {cause}") from cause
        energy = float(self._last.get("energy")) * HARTREE
        forces = -np.asarray(self._last.get("gradient"), dtype=np.float64) * HARTREE_PER_BOHR
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise ConvergenceError(f"{self._method} returned an energy or forces that are not finite")
        return energy, forces

    def _make_calculator(self, positions_in_bohr: FloatArray) -> "Calculator":
        from tblite.interface import Calculator

        calculator = Calculator(self._method, self._atomic_numbers, positions_in_bohr, charge=0.0, uhf=0)
        calculator.set("verbosity", 0)
        calculator.set("accuracy", self._accuracy)
        calculator.set("max-iter", MAX_ITERATIONS)
        return calculator
