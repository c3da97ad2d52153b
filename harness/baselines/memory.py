"""Predictions from memorised frames by similarity: kernel regression over the nearest environments.

The force on an atom is regressed over the k memorised atoms of its element whose environments are nearest, with the
kernel exp(-|d - d'|²/2L²) sum over a of v_a v'_a^T, where d are descriptors and v polar vectors. The second factor, a
3 x 3 matrix, transfers a force from one environment to the other under any rotation or reflection: it is the covariant
equivalent of a local frame, without the discontinuities of a frame whose axes are nearly undefined. (A plain mean of
the neighbours' forces in such frames has several times the error: stretching a bond a little changes the forces a lot
and the descriptors hardly.)

The energy of a molecule is regressed over all memorised frames. The forces are not its gradient.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import ModelError
from harness.baselines.descriptors import ELEMENTS, Environments, atomic_descriptors, nearest_environments
from harness.baselines.polar_vectors import polar_vectors
from harness.core.batch import StructureBatch

LENGTH_SCALE: Final = 3.0
"""Length scale of the Gaussian kernels, in units of the descriptors; nearest environments are some 0.25 apart, so that
the regression mostly interpolates between neighbours instead of averaging them."""

FORCE_RIDGE: Final = 1e-3
"""Ridge added to the diagonal, as a fraction of its mean."""

ENERGY_RIDGE: Final = 1e-5

_SMALLEST_RIDGE: Final = 1e-12
"""For atoms without neighbours, whose polar vectors are zero."""

_ATOMS_PER_BLOCK: Final = 64


@dataclass(frozen=True, slots=True)
class LabelledFrames:
    """Frames to memorise.

    Attributes:
        batch: The geometries.
        energy: Energies minus reference energies, shape (n_structures,), eV.
        forces: Shape (n_atoms_total, 3), eV/Å.
    """

    batch: StructureBatch
    energy: FloatArray
    forces: FloatArray


class Memory:
    """Memorised frames, with descriptors computed once.

    Args:
        frames: The frames to memorise.

    Raises:
        MissingPackageError: If TorchANI is not installed.
        ModelError: If a molecule contains an element that the descriptors do not support.
    """

    def __init__(self, frames: LabelledFrames) -> None:
        descriptors = atomic_descriptors(frames.batch, "float64")
        self._numbers = frames.batch.atomic_numbers
        self._used = descriptors.any(axis=0)
        self._descriptors = self._compact(descriptors)
        self._vectors = polar_vectors(frames.batch)
        self._forces = np.asarray(frames.forces, dtype=np.float64)
        self._compositions = _by_element(frames.batch, self._descriptors)
        kernel = _gaussian(_squared_distances(self._compositions, self._compositions))
        kernel[np.diag_indices(len(kernel))] += ENERGY_RIDGE
        from scipy.linalg import cho_factor, cho_solve

        self._weights = cho_solve(cho_factor(kernel), frames.energy / frames.batch.n_atoms)

    def energies_and_forces(self, batch: StructureBatch, n_neighbours: int) -> tuple[FloatArray, FloatArray]:
        """Predicts energies and forces from the memorised frames.

        Args:
            batch: Molecules of memorised elements.
            n_neighbours: Number of nearest environments to use; all for an element with fewer.

        Returns:
            Energies minus reference energies, shape (n_structures,), eV, and forces, shape (n_atoms_total, 3), eV/Å.

        Raises:
            ModelError: If an element does not occur in the memorised frames.
        """
        descriptors = self._compact(atomic_descriptors(batch, "float64"))
        similarity = _gaussian(_squared_distances(_by_element(batch, descriptors), self._compositions))
        vectors = polar_vectors(batch)
        forces = np.empty((len(descriptors), 3))
        for number in np.unique(batch.atomic_numbers):
            atoms = np.flatnonzero(batch.atomic_numbers == number)
            known = np.flatnonzero(self._numbers == number)
            if not len(known):
                raise ModelError(
                    f"no memorised frame contains atomic number {number}; expected an element of the training set"
                )
            queries = Environments(batch.atomic_numbers[atoms], descriptors[atoms])
            remembered = Environments(self._numbers[known], self._descriptors[known])
            distances, nearest = nearest_environments(queries, remembered, min(n_neighbours, len(known)))
            for block in _blocks(len(atoms)):
                forces[atoms[block]] = self._regressed(vectors[atoms[block]], distances[block], known[nearest[block]])
        return batch.n_atoms * (similarity @ self._weights), forces

    def _regressed(self, vectors: FloatArray, distances: FloatArray, nearest: IntArray) -> FloatArray:
        """Forces on some atoms of one element.

        Args:
            vectors: Their polar vectors, shape (n_atoms, n_vectors, 3).
            distances: Distances to the nearest memorised environments, shape (n_atoms, k).
            nearest: Indices of the memorised atoms, same shape.
        """
        n_atoms, k = nearest.shape
        environments = self._descriptors[nearest]
        similarity = _three_times(_gaussian(_squared_distances(environments, environments)))
        remembered = self._vectors[nearest].transpose(0, 1, 3, 2).reshape(n_atoms, 3 * k, -1)
        kernel = np.matmul(remembered, remembered.transpose(0, 2, 1)) * similarity
        diagonal = np.arange(3 * k)
        mean = np.trace(kernel, axis1=1, axis2=2)[:, None] / (3 * k)
        kernel[:, diagonal, diagonal] += FORCE_RIDGE * mean + _SMALLEST_RIDGE
        labels = self._forces[nearest].reshape(n_atoms, 3 * k, 1)
        weights = np.linalg.solve(kernel, labels) * np.repeat(_gaussian(distances**2), 3, axis=1)[..., None]
        forces: FloatArray = np.matmul(vectors.transpose(0, 2, 1), np.matmul(remembered.transpose(0, 2, 1), weights))
        return forces[..., 0]

    def _compact(self, descriptors: FloatArray) -> FloatArray:
        """The features that memorised atoms have, and the norm of all others, which preserves every distance."""
        others = np.linalg.norm(descriptors[:, ~self._used], axis=1, keepdims=True)
        return np.concatenate([descriptors[:, self._used], others], axis=1)


def _by_element(batch: StructureBatch, descriptors: FloatArray) -> FloatArray:
    """Descriptors of molecules: sums over the atoms of each element, divided by the total number of atoms."""
    sums = [
        np.add.reduceat(descriptors * (batch.atomic_numbers == number)[:, None], batch.offsets[:-1], axis=0)
        for number in ELEMENTS
    ]
    means: FloatArray = np.concatenate(sums, axis=1) / batch.n_atoms[:, None]
    return means


def _squared_distances(left: FloatArray, right: FloatArray) -> FloatArray:
    """Squared distances between all rows of two matrices, or stacks of them, by a fast matrix product."""
    centre = right.mean(axis=-2, keepdims=True)  # centred values lose less to rounding
    left, right = left - centre, right - centre
    lengths = (left**2).sum(axis=-1)[..., :, None] + (right**2).sum(axis=-1)[..., None, :]
    squared: FloatArray = np.maximum(lengths - 2.0 * np.matmul(left, np.swapaxes(right, -1, -2)), 0.0)
    return squared


def _gaussian(squared_distances: FloatArray) -> FloatArray:
    kernel: FloatArray = np.exp(-0.5 * squared_distances / LENGTH_SCALE**2)
    return kernel


def _three_times(kernel: FloatArray) -> FloatArray:
    """Expands each entry of matrices of shape (n, k, k) to a 3 x 3 block."""
    return np.repeat(np.repeat(kernel, 3, axis=1), 3, axis=2)


def _blocks(length: int) -> Iterator[slice]:
    for start in range(0, length, _ATOMS_PER_BLOCK):
        yield slice(start, start + _ATOMS_PER_BLOCK)
