"""Force errors of a split by molecule and condition: rotamer seen in training or not, ends in contact or apart.

The tables have a number for each atom of each molecule under each condition, however many frames there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import DataError
from harness.scoring.frame_traits import APART, CONTACT, FrameTraits
from harness.scoring.metric_terms import Float64Array
from harness.scoring.paired_frames import FrameIndex

UNSEEN: Final = 0
SEEN: Final = 1


@dataclass(frozen=True, slots=True)
class ConditionSums:
    """Sums of a split by molecule and condition; an error is the sum of the three absolute component errors, eV/Å.

    Attributes:
        smiles: SMILES of each molecule, length n_molecules.
        n_frames: Frames of unseen and of seen rotamers, shape (n_molecules, 2).
        atom_error: For each molecule, errors of its atoms in frames of unseen and of seen rotamers, shape (2, n_atoms).
        contact_frames: Frames with the ends apart and in contact, shape (n_molecules, 2); zero without two ends.
        contact_error: Errors in these frames, summed over their atoms, same shape.
        misfit: A frame that has other atoms than its SMILES, so that its conditions are unknown; `None` if all fit.
    """

    smiles: tuple[str, ...]
    n_frames: IntArray
    atom_error: tuple[Float64Array, ...]
    contact_frames: IntArray
    contact_error: Float64Array
    misfit: str | None


class ConditionSumsBuilder:
    """Adds up the sums piece by piece."""

    def __init__(self) -> None:
        self._smiles: dict[str, str] = {}
        self._sizes = np.empty(0, dtype=np.int64)
        self._atom_error = np.empty(0)
        self._n_frames = np.zeros((0, 2), dtype=np.int64)
        self._contact_frames = np.zeros((0, 2), dtype=np.int64)
        self._contact_error = np.zeros((0, 2))
        self._misfit: str | None = None

    def add(self, traits: FrameTraits, index: FrameIndex, positions: IntArray, error: Float64Array) -> None:
        """Adds the frames of a piece.

        Args:
            traits: Traits of the frames.
            index: The frames.
            positions: Number of each molecule of the index among all that were added, by first occurrence.
            error: Error of each atom, shape (n_atoms_total,), eV/Å.
        """
        self._note(traits.smiles)
        self._misfit = self._misfit or traits.misfit
        molecule = positions[index.molecule_idx]
        self._grow(molecule, index.n_atoms)
        n = len(self._sizes)
        seen = traits.is_seen.astype(np.int64)
        begins = 2 * (np.cumsum(self._sizes) - self._sizes)
        first_cell = begins[molecule] + seen * self._sizes[molecule]
        first_atom = np.cumsum(index.n_atoms) - index.n_atoms
        cells = np.arange(len(error)) + np.repeat(first_cell - first_atom, index.n_atoms)
        self._atom_error += np.bincount(cells, error, len(self._atom_error))
        self._n_frames += np.bincount(2 * molecule + seen, minlength=2 * n).reshape(n, 2)
        has_pair = (traits.contact == APART) | (traits.contact == CONTACT)
        pair = 2 * molecule[has_pair] + traits.contact[has_pair]
        of_frame = np.add.reduceat(error, first_atom) if len(first_atom) else np.empty(0)
        self._contact_frames += np.bincount(pair, minlength=2 * n).reshape(n, 2)
        self._contact_error += np.bincount(pair, of_frame[has_pair], 2 * n).reshape(n, 2)

    def finish(self, names: tuple[str, ...], order: IntArray) -> ConditionSums:
        """The sums of all pieces.

        Args:
            names: Names of the molecules in their final order.
            order: Number of each of these molecules by first occurrence.
        """
        ends = 2 * np.cumsum(self._sizes)
        blocks = [block.reshape(2, -1) for block in np.split(self._atom_error, ends[:-1])] if len(ends) else []
        return ConditionSums(
            tuple(self._smiles[name] for name in names),
            self._n_frames[order],
            tuple(blocks[number] for number in order),
            self._contact_frames[order],
            self._contact_error[order],
            self._misfit,
        )

    def _note(self, smiles: Mapping[str, str]) -> None:
        for name, text in smiles.items():
            if self._smiles.setdefault(name, text) != text:
                raise DataError(
                    f"{name} has the SMILES {self._smiles[name]} in one row and {text} in another; expected one"
                )

    def _grow(self, molecule: IntArray, n_atoms: IntArray) -> None:
        """Makes room for molecules that occur for the first time."""
        known, n = len(self._sizes), int(molecule.max(initial=len(self._sizes) - 1)) + 1
        if n == known:
            return
        sizes = np.zeros(n, dtype=np.int64)
        sizes[:known] = self._sizes
        is_new = molecule >= known
        sizes[molecule[is_new]] = n_atoms[is_new]
        self._atom_error = np.concatenate([self._atom_error, np.zeros(2 * int(sizes[known:].sum()))])
        self._sizes = sizes
        room = n - known
        self._n_frames = np.concatenate([self._n_frames, np.zeros((room, 2), dtype=np.int64)])
        self._contact_frames = np.concatenate([self._contact_frames, np.zeros((room, 2), dtype=np.int64)])
        self._contact_error = np.concatenate([self._contact_error, np.zeros((room, 2))])
