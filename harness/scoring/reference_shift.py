"""The shift between two zeros of total energy, fitted on training molecules only.

A model and the labels may have different zeros of energy. The difference is modelled as one
energy per element, equivalent to isolated-atom references. It is never fitted on test
molecules: in a homologous series the counts of C and H are coupled, so that a fit on longer chains would
hide exactly the error that chain extension is meant to show.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset_builders.core.arrays import IntArray, require_finite, require_shape
from dataset_builders.core.errors import DataError
from dataset_builders.core.linear_span import outside_span
from harness.scoring.metric_terms import BoolArray, Float64Array
from harness.scoring.paired_frames import TrainFrames

N_ELEMENTS: Final = 119
"""Number of atomic numbers in a composition, counted from 0."""


@dataclass(frozen=True, slots=True)
class ReferenceShift:
    """Energies per element that convert predicted to reference total energies.

    Attributes:
        elements: Atomic numbers seen in training, ascending.
        energies: Energy added to the prediction for each atom of an element, shape (n_elements,), eV.
        rank: Rank of the composition matrix of the fit. Below the number of elements, the
            training compositions leave some combination of elements undetermined; it is set by least norm.
        n_molecules: Number of distinct molecules in the fit.
        n_frames: Number of frames in the fit.
        compositions: Distinct compositions of these frames, atoms per element, shape (n_distinct, n_elements).
    """

    elements: tuple[int, ...]
    energies: Float64Array
    rank: int
    n_molecules: int
    n_frames: int
    compositions: Float64Array

    def leaves_open(self, composition: IntArray) -> BoolArray:
        """The compositions whose shift the training set does not determine.

        A shift is determined if the composition is a linear combination of training compositions: all element energies
        that fit training equally well then have the same sum. Otherwise least norm decides, which is not physical.

        Args:
            composition: Atoms of each element, by atomic number, shape (n, 119).

        Returns:
            Shape (n,); also true for a composition with an element that training lacks.
        """
        known = np.zeros((len(self.compositions), composition.shape[1]))
        known[:, self.elements] = self.compositions
        return outside_span(known.T, composition.T.astype(np.float64))

    def apply(self, atomic_numbers: IntArray, n_atoms: IntArray) -> Float64Array:
        """The shift of each frame, to be added to the predicted total energy.

        Args:
            atomic_numbers: Packed, shape (n_atoms_total,).
            n_atoms: Atoms of each frame, shape (n_frames,).

        Returns:
            Shifts, shape (n_frames,), eV.

        Raises:
            DataError: If an element is not in the training set.
        """
        shifts: Float64Array = count_elements(atomic_numbers, n_atoms, self.elements) @ self.energies
        return shifts


def fit_reference_shift(train: TrainFrames) -> ReferenceShift:
    """Fits E_reference - E_predicted = sum over elements of count x energy, by least squares.

    Every frame has the same weight; if the solution is not unique, that of least norm is taken.

    Args:
        train: Energies of training frames.

    Returns:
        The shift, with the rank of the composition matrix.

    Raises:
        DataError: If there are no frames, or an energy is not finite.
    """
    index = train.index
    if index.n_frames == 0:
        raise DataError("no training frame was computed, so the reference shift cannot be fitted; expected one or more")
    require_finite("reference energies of train", train.reference_energy)
    require_finite("predicted energies of train", train.predicted_energy)
    elements = tuple(int(number) for number in np.unique(index.atomic_numbers))
    counts = count_elements(index.atomic_numbers, index.n_atoms, elements)
    difference = np.asarray(train.reference_energy, np.float64) - np.asarray(train.predicted_energy, np.float64)
    energies, _, rank, _ = np.linalg.lstsq(counts, difference, rcond=None)
    return ReferenceShift(
        elements=elements,
        energies=energies.astype(np.float64),
        rank=int(rank),
        n_molecules=len(index.molecules),
        n_frames=index.n_frames,
        compositions=np.unique(counts, axis=0),
    )


def composition_of(atomic_numbers: IntArray, n_atoms: IntArray) -> IntArray:
    """Atoms of each element in each frame, by atomic number.

    Args:
        atomic_numbers: Packed, shape (n_atoms_total,).
        n_atoms: Atoms of each frame, shape (n_frames,).

    Returns:
        Shape (n_frames, 119).
    """
    frame = np.repeat(np.arange(len(n_atoms)), n_atoms)
    counts = np.bincount(frame * N_ELEMENTS + atomic_numbers, minlength=len(n_atoms) * N_ELEMENTS)
    return counts.reshape(-1, N_ELEMENTS).astype(np.int32)


def count_elements(atomic_numbers: IntArray, n_atoms: IntArray, elements: tuple[int, ...]) -> Float64Array:
    """Counts the atoms of given elements in each frame.

    Args:
        atomic_numbers: Packed, shape (n_atoms_total,).
        n_atoms: Atoms of each frame, shape (n_frames,).
        elements: Atomic numbers to count, ascending.

    Returns:
        Numbers of atoms, shape (n_frames, n_elements).

    Raises:
        DataError: If a frame contains an element that is not among `elements`.
    """
    require_shape("atomic_numbers", atomic_numbers, (int(n_atoms.sum()),))
    unknown = np.setdiff1d(atomic_numbers, elements)
    if len(unknown):
        raise DataError(
            f"atomic number {int(unknown[0])} does not occur in the training molecules (they have "
            f"{', '.join(map(str, elements))}), so it has no reference shift; expected a molecule of known elements"
        )
    column = np.searchsorted(np.asarray(elements, dtype=np.int64), atomic_numbers)
    row = np.repeat(np.arange(len(n_atoms)), n_atoms)
    flat = np.bincount(row * len(elements) + column, minlength=len(n_atoms) * len(elements))
    return flat.reshape(len(n_atoms), len(elements)).astype(np.float64)
