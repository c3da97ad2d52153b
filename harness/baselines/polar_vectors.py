"""Vectors at each atom that rotate and reflect with its molecule: weighted sums of directions to its neighbours.

There is one vector for each element and each radial shell, which weights the neighbours around a distance. The space
that they span is covariant, also if they all lie in a plane or on a line: a force expanded in them then has no
component perpendicular to it, as the symmetry of the environment requires.
"""

from typing import Final

import numpy as np

from dataset_builders.core.arrays import FloatArray
from harness.baselines.descriptors import ELEMENTS
from harness.compute.neighbours import packed_neighbours
from harness.core.batch import StructureBatch

CUTOFF: Final = 5.0
"""Cutoff, Å; the weight of a neighbour falls smoothly to zero there."""

SPACING: Final = 0.4
"""Spacing of the shells, and width of the Gaussian around each, Å."""

SHELLS: Final = tuple(float(each) for each in np.arange(0.8, CUTOFF, SPACING))
"""Distances of the shells, Å."""

N_VECTORS: Final = len(ELEMENTS) * len(SHELLS)


def polar_vectors(batch: StructureBatch) -> FloatArray:
    """The polar vectors of all atoms of a batch.

    Args:
        batch: Molecules whose elements are among `ELEMENTS`.

    Returns:
        Shape (n_atoms_total, N_VECTORS, 3), float64, dimensionless.
    """
    centre, neighbour = packed_neighbours(batch, CUTOFF)
    positions = np.asarray(batch.positions, dtype=np.float64)
    apart = positions[neighbour] - positions[centre]
    distance = np.linalg.norm(apart, axis=1)
    fade = 0.5 * (1.0 + np.cos(np.pi * distance / CUTOFF))
    directions = apart / distance[:, None]
    index_of = np.zeros(max(ELEMENTS) + 1, dtype=np.int64)
    index_of[list(ELEMENTS)] = np.arange(len(ELEMENTS))
    element = index_of[batch.atomic_numbers[neighbour]]
    vectors = np.zeros((len(ELEMENTS), len(SHELLS), len(positions), 3))
    for shell, middle in enumerate(SHELLS):
        weight = fade * np.exp(-(((distance - middle) / SPACING) ** 2))
        np.add.at(vectors, (element, shell, centre), weight[:, None] * directions)
    return np.ascontiguousarray(vectors.reshape(N_VECTORS, len(positions), 3).transpose(1, 0, 2))
