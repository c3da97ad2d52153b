"""A packed batch of molecules, and what a potential returns for it."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dataset_builders.core.arrays import FloatArray, IntArray, require_shape
from dataset_builders.core.errors import ModelError, ShapeError
from dataset_builders.core.markdown import printable

STORED_ENERGY: Final = np.float64
STORED_FORCES: Final = np.float32
"""Precision of stored predictions; forces have the precision of the labels."""

_NOT_FINITE: Final = "energy or forces are not finite"
_TOO_LARGE: Final = "energy or forces are beyond the range of single precision, 3.4e38 eV or eV/Å"
_LARGEST_ENERGY: Final = float(np.finfo(np.float32).max)
"""Energies are stored in double precision; the limit also keeps sums over a split from overflowing."""


@dataclass(frozen=True, slots=True)
class StructureBatch:
    """Molecules packed one after another; all are neutral and closed-shell (charge 0, spin multiplicity 1).

    Attributes:
        atomic_numbers: Shape (n_atoms_total,), integers.
        positions: Shape (n_atoms_total, 3), Å.
        n_atoms: Number of atoms of each structure, shape (n_structures,), int64.
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
            raise ShapeError(
                f"{len(self.smiles)} SMILES for {len(self.n_atoms)} structures; expected one per structure"
            )

    def slice(self, start: int, stop: int) -> "StructureBatch":
        """The structures `start` to `stop` (exclusive)."""
        atoms = slice(int(self.n_atoms[:start].sum()), int(self.n_atoms[:stop].sum()))
        return StructureBatch(
            self.atomic_numbers[atoms], self.positions[atoms], self.n_atoms[start:stop], self.smiles[start:stop]
        )

    @property
    def n_structures(self) -> int:
        """Number of structures in the batch."""
        return len(self.n_atoms)

    @property
    def offsets(self) -> IntArray:
        """First atom of each structure, then the total; shape (n_structures + 1,), int64."""
        return np.concatenate([[0], np.cumsum(self.n_atoms, dtype=np.int64)])

    @property
    def system_idx(self) -> IntArray:
        """Index of the structure that each atom belongs to, shape (n_atoms_total,), int64."""
        return np.repeat(np.arange(self.n_structures, dtype=np.int64), self.n_atoms)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Energies and forces of a batch, in its order.

    Attributes:
        energy: Shape (n_structures,), float64, eV; NaN where the structure failed.
        forces: Shape (n_atoms_total, 3), float64, eV/Å; NaN where the structure failed.
        failures: Cause of each failure, by index of the structure in the batch.
    """

    energy: FloatArray
    forces: FloatArray
    failures: dict[int, str]


def sound_prediction(prediction: Prediction, batch: StructureBatch, model_id: str) -> Prediction:
    """Checks that what a potential returned is a prediction for the batch.

    A structure with non-finite numbers that the potential did not report becomes a failure too,
    so that it is counted and never enters an average.

    Returns:
        The prediction, in float64.

    Raises:
        ModelError: If an array does not fit the batch or is not numeric, or a failure names a structure outside it.
    """
    given_energy, given_forces = without_mask(prediction.energy), without_mask(prediction.forces)
    energy = numbers_of_model(f"energy of {model_id}", given_energy, (batch.n_structures,))
    forces = numbers_of_model(f"forces of {model_id}", given_forces, (len(batch.atomic_numbers), 3))
    strange = [number for number in prediction.failures if number not in range(batch.n_structures)]
    if strange:
        raise ModelError(
            f"{model_id} reports the failure of structure {strange[0]!r} in a batch of {batch.n_structures}; expected "
            f"an index from 0 to {batch.n_structures - 1}"
        )
    failures = {int(number): printable(str(cause)) for number, cause in prediction.failures.items()}
    # Tested before the conversion: a number beyond float64 is too large, not an infinity of the model.
    finite = np.isfinite(np.asarray(given_energy)) & _all_finite(np.asarray(given_forces), batch)
    return Prediction(energy, forces, dict.fromkeys(map(int, np.flatnonzero(~finite)), _NOT_FINITE) | failures)


def check_prediction(prediction: Prediction, batch: StructureBatch, model_id: str) -> Prediction:
    """Converts a prediction to the precision in which it is stored, and checks it there.

    Returns:
        The prediction, with energies in `STORED_ENERGY` and forces in `STORED_FORCES`; structures with numbers that are
        not finite, or too large for these types, are failures.

    Raises:
        ModelError: If an array does not fit the batch or is not numeric, or a failure names a structure outside it.
    """
    sound = sound_prediction(prediction, batch, model_id)
    # The check for finite numbers below finds any overflow.
    with np.errstate(over="ignore"):
        energy, forces = sound.energy.astype(STORED_ENERGY), sound.forces.astype(STORED_FORCES)
    usable = (np.abs(energy) <= _LARGEST_ENERGY) & _all_finite(forces, batch)
    return Prediction(energy, forces, dict.fromkeys(map(int, np.flatnonzero(~usable)), _TOO_LARGE) | sound.failures)


def _all_finite(forces: FloatArray, batch: StructureBatch) -> npt.NDArray[np.bool_]:
    """Whether all forces of each structure are finite, shape (n_structures,)."""
    finite: npt.NDArray[np.bool_] = np.logical_and.reduceat(np.isfinite(forces).all(axis=1), batch.offsets[:-1])
    return finite


def without_mask(values: Any) -> Any:
    """A masked array of NumPy with NaN for masked numbers, which hold no result; anything else as it is."""
    if not isinstance(values, np.ma.MaskedArray) or values.dtype.kind not in "fiu":
        return values
    return np.ma.filled(values if values.dtype.kind == "f" else values.astype(np.float64), np.nan)


def numbers_of_model(name: str, values: Any, shape: tuple[int, ...]) -> FloatArray:
    """Converts what a model returned to an array of real numbers; masked ones become NaN.

    Raises:
        ModelError: If it is not one, or has another shape.
    """
    try:
        array = np.asarray(without_mask(values))
    # The conversion of a foreign object can raise anything.
    except Exception as cause:
        raise ModelError(
            f"{name} is a {type(values).__name__}, not an array: {type(cause).__name__}: {cause}"
        ) from cause
    if array.dtype.kind not in "fiu":
        raise ModelError(f"{name} has dtype {array.dtype} ({type(values).__name__}); expected real numbers")
    if array.shape != shape:
        wanted = f"shape {shape}" if shape else "a single number"
        raise ModelError(f"{name} has shape {array.shape}; expected {wanted}")
    with np.errstate(over="ignore"):
        return array.astype(np.float64, copy=False)
