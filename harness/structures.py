"""A packed batch of molecules, and what a potential returns for it."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dataset_builders.errors import ModelError, ShapeError
from dataset_builders.structures import FloatArray, IntArray, require_shape

STORED_ENERGY: Final = np.float64
STORED_FORCES: Final = np.float32
"""Precision in which predictions are stored; that of forces is the one of the labels."""

_NOT_FINITE: Final = "energy or forces are not finite"
_TOO_LARGE: Final = "energy or forces are beyond the range of single precision, 3.4e38 eV or eV/Å"
_LARGEST_ENERGY: Final = float(np.finfo(np.float32).max)
"""An energy is stored in double precision. A larger one would make sums over a split overflow there, too."""


@dataclass(frozen=True, slots=True)
class StructureBatch:
    """Molecules packed one after the other; all neutral, closed-shell (charge 0, spin multiplicity 1).

    Attributes:
        atomic_numbers: Shape (n_atoms_total,), integers.
        positions: Shape (n_atoms_total, 3), Å.
        n_atoms: Atoms of each structure, shape (n_structures,), int64.
        smiles: SMILES of each structure, for potentials that need bonds; the atoms are in the order of
            RDKit's `AddHs(MolFromSmiles(smiles))`.
    """

    atomic_numbers: IntArray
    positions: FloatArray
    n_atoms: IntArray
    smiles: tuple[str, ...]

    def __post_init__(self) -> None:
        total = int(self.n_atoms.sum())
        require_shape("atomic_numbers", self.atomic_numbers, (total,))
        require_shape("positions", self.positions, (total, 3))
        if len(self.smiles) != len(self.n_atoms):
            raise ShapeError(f"{len(self.smiles)} SMILES for {len(self.n_atoms)} structures; expected one each")

    def slice(self, start: int, stop: int) -> "StructureBatch":
        """The structures `start` to `stop` (exclusive)."""
        atoms = slice(int(self.n_atoms[:start].sum()), int(self.n_atoms[:stop].sum()))
        return StructureBatch(
            self.atomic_numbers[atoms], self.positions[atoms], self.n_atoms[start:stop], self.smiles[start:stop]
        )

    @property
    def n_structures(self) -> int:
        """How many structures the batch holds."""
        return len(self.n_atoms)

    @property
    def offsets(self) -> IntArray:
        """Where each structure begins, and the end; shape (n_structures + 1,), int64."""
        return np.concatenate([[0], np.cumsum(self.n_atoms, dtype=np.int64)])

    @property
    def system_idx(self) -> IntArray:
        """Number of the structure that each atom belongs to, shape (n_atoms_total,), int64."""
        return np.repeat(np.arange(self.n_structures, dtype=np.int64), self.n_atoms)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Energies and forces of a batch, in its order.

    Attributes:
        energy: Shape (n_structures,), float64, eV; NaN where the structure failed.
        forces: Shape (n_atoms_total, 3), float64, eV/Å; NaN where the structure failed.
        failures: Cause of each failure, by number of the structure in the batch.
    """

    energy: FloatArray
    forces: FloatArray
    failures: dict[int, str]


def check_prediction(prediction: Prediction, batch: StructureBatch, model_id: str) -> Prediction:
    """Brings a prediction to the precision that it is stored in, and checks it there.

    A structure whose numbers are not finite although the potential did not report it becomes a
    failure of its own, so that it is counted and never averaged over.

    Returns:
        The prediction, with energies in `STORED_ENERGY` and forces in `STORED_FORCES`.

    Raises:
        ShapeError: If an array or the number of a failure does not fit the batch.
        ModelError: If an array holds anything but real numbers.
    """
    require_shape(f"energy of {model_id}", prediction.energy, (batch.n_structures,))
    require_shape(f"forces of {model_id}", prediction.forces, (len(batch.atomic_numbers), 3))
    outside = [number for number in prediction.failures if not 0 <= number < batch.n_structures]
    if outside:
        raise ShapeError(
            f"{model_id} reports a failure of structure {outside[0]} of a batch of {batch.n_structures}; "
            f"expected numbers from 0 to {batch.n_structures - 1}"
        )
    energy = _stored(prediction.energy, STORED_ENERGY, f"energy of {model_id}")
    forces = _stored(prediction.forces, STORED_FORCES, f"forces of {model_id}")
    usable = (np.abs(energy) <= _LARGEST_ENERGY) & _all_finite(forces, batch)
    was_finite = np.isfinite(prediction.energy) & _all_finite(prediction.forces, batch)
    silent = {
        int(number): _TOO_LARGE if was_finite[number] else _NOT_FINITE
        for number in np.flatnonzero(~usable)
        if int(number) not in prediction.failures
    }
    return Prediction(energy, forces, prediction.failures | silent)


def _stored(array: npt.NDArray[Any], dtype: type[np.floating[Any]], name: str) -> FloatArray:
    if array.dtype.kind not in "fiu":
        raise ModelError(f"{name} has the type {array.dtype}; expected real numbers")
    # What overflows is seen where finite numbers are asked for.
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def _all_finite(forces: FloatArray, batch: StructureBatch) -> npt.NDArray[np.bool_]:
    """Whether all forces on a structure are finite, shape (n_structures,)."""
    finite: npt.NDArray[np.bool_] = np.logical_and.reduceat(np.isfinite(forces).all(axis=1), batch.offsets[:-1])
    return finite
