"""A packed batch of molecules, and what a potential returns for it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset_builders.errors import ModelError, ShapeError
from dataset_builders.structures import FloatArray, IntArray, require_shape


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
    """Checks shapes and that every structure which did not fail has finite numbers.

    A structure whose numbers are not finite although the potential did not report it becomes a
    failure of its own, so that it is counted and never averaged over.

    Raises:
        ModelError: If an array does not fit the batch or holds no real numbers, or a failure is of no structure of it.
    """
    energy = numbers_of_model(f"energy of {model_id}", prediction.energy, (batch.n_structures,))
    forces = numbers_of_model(f"forces of {model_id}", prediction.forces, (len(batch.atomic_numbers), 3))
    strange = [index for index in prediction.failures if index not in range(batch.n_structures)]
    if strange:
        raise ModelError(f"{model_id} reports a failure of structure {strange[0]!r} of {batch.n_structures} structures")
    finite_atoms = np.isfinite(forces).all(axis=1)
    finite_forces = np.logical_and.reduceat(finite_atoms, batch.offsets[:-1])
    usable = finite_forces & np.isfinite(energy)
    silent = [int(index) for index in np.flatnonzero(~usable) if int(index) not in prediction.failures]
    failures = {int(index): str(cause) for index, cause in prediction.failures.items()}
    return Prediction(energy, forces, failures | dict.fromkeys(silent, "energy or forces are not finite"))


def numbers_of_model(name: str, values: Any, shape: tuple[int, ...]) -> FloatArray:
    """What a model returned, as an array of real numbers.

    Raises:
        ModelError: If it is none, or of another shape.
    """
    try:
        array = np.asarray(values)
    # Whatever a stranger's object raises where it is asked for its numbers.
    except Exception as cause:
        raise ModelError(
            f"{name} is a {type(values).__name__} and no array: {type(cause).__name__}: {cause}"
        ) from cause
    if array.dtype.kind not in "fiu":
        raise ModelError(f"{name} has dtype {array.dtype} ({type(values).__name__}); expected real numbers")
    if array.shape != shape:
        wanted = f"shape {shape}" if shape else "a single number"
        raise ModelError(f"{name} has shape {array.shape}; expected {wanted}")
    return array.astype(np.float64, copy=False)
