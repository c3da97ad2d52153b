"""A random sample of atoms with the frames around them, of a size that does not grow with the data set."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dataset_builders.certify.geometry.support import Group
from dataset_builders.chemistry.atom_descriptors import ELEMENTS, N_FEATURES, atom_descriptors, nearest_distances
from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.core.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class _SampledAtom:
    priority: float
    group: Group
    smiles: str
    positions: FloatArray
    atom: int


class AtomSample:
    """Atoms drawn with equal probability from all frames that are added, one after another.

    Each atom draws a random number, and those with the smallest ones are kept.

    Args:
        size: Largest number of atoms.
        seed: Seed of the random numbers. The sample also depends on the order of the frames.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._random = np.random.default_rng(seed)
        self._atoms: list[_SampledAtom] = []
        self._limit = 1.0

    def add(self, smiles: str, positions: FloatArray, group: Group) -> None:
        """Adds frames of a molecule.

        Args:
            smiles: SMILES of the molecule.
            positions: Shape (n_frames, n_atoms, 3), Å.
            group: Group of the frames.
        """
        priorities = self._random.random(positions.shape[:2])
        for frame in np.flatnonzero((priorities < self._limit).any(axis=1)):
            kept = positions[frame].copy()  # not a view, which would keep the whole batch
            for atom in np.flatnonzero(priorities[frame] < self._limit):
                self._atoms.append(_SampledAtom(float(priorities[frame, atom]), group, smiles, kept, int(atom)))
        if len(self._atoms) > 2 * self._size:
            self._shrink()

    def _shrink(self) -> None:
        self._atoms.sort(key=lambda each: each.priority)
        del self._atoms[self._size :]
        self._limit = self._atoms[-1].priority if len(self._atoms) == self._size else 1.0

    def described(self) -> "DescribedAtoms":
        """The sample with the descriptors of its atoms."""
        self._shrink()
        atoms = sorted(self._atoms, key=lambda each: (each.smiles, each.priority))
        descriptors = np.empty((len(atoms), N_FEATURES), dtype=np.float32)
        numbers = np.empty(len(atoms), dtype=np.uint8)
        for smiles, rows in _runs([each.smiles for each in atoms]):
            elements = atomic_numbers_of(smiles)
            indices = np.array([each.atom for each in atoms[rows]])
            frames = np.stack([each.positions for each in atoms[rows]])
            descriptors[rows], numbers[rows] = atom_descriptors(elements, frames, indices), elements[indices]
        return DescribedAtoms(numbers, descriptors, tuple(each.group for each in atoms))


def _runs(names: list[str]) -> Iterator[tuple[str, slice]]:
    """Each name of a sorted list, with its places."""
    start = 0
    for stop in range(1, len(names) + 1):
        if stop == len(names) or names[stop] != names[start]:
            yield names[start], slice(start, stop)
            start = stop


@dataclass(frozen=True, slots=True)
class DescribedAtoms:
    """Sampled atoms with their descriptors.

    Attributes:
        atomic_numbers: Shape (n_atoms,).
        descriptors: Shape (n_atoms, N_FEATURES).
        groups: Group of each atom.
    """

    atomic_numbers: npt.NDArray[np.uint8]
    descriptors: npt.NDArray[np.float32]
    groups: tuple[Group, ...]

    def distances_to(self, others: "DescribedAtoms") -> FloatArray:
        """Distance of each atom to the nearest of the others of its element; infinite if there is none."""
        nearest = np.full(len(self.atomic_numbers), np.inf)
        for element in ELEMENTS:
            own, known = (each.atomic_numbers == element for each in (self, others))
            if own.any():
                nearest[own] = nearest_distances(self.descriptors[own], others.descriptors[known])
        return nearest
