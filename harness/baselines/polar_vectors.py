"""Vectors at each atom that turn, and are mirrored, with its molecule: sums of directions to its neighbours.

There is one for each element and each of some distances, around which the neighbours are weighted. All that such
vectors span is covariant, also where they all lie in a plane or on a line: a force that is written in them has then no
part across it, as the symmetry of the environment demands.
"""

from typing import Final

import numpy as np

from dataset_builders.core.arrays import FloatArray
from harness.baselines.descriptors import ELEMENTS
from harness.compute.neighbours import packed_neighbours
from harness.core.batch import StructureBatch

CUTOFF: Final = 5.0
"""Å; the weight of a neighbour falls smoothly to zero there."""

SPACING: Final = 0.4
"""Å between the distances, and the width of the Gaussian around each."""

SHELLS: Final = tuple(float(each) for each in np.arange(0.8, CUTOFF, SPACING))
"""The distances, Å."""

N_VECTORS: Final = len(ELEMENTS) * len(SHELLS)


def polar_vectors(batch: StructureBatch) -> FloatArray:
    """The vectors of all atoms of a batch.

    Args:
        batch: Molecules whose elements are among `ELEMENTS`.

    Returns:
        Shape (n_atoms_total, N_VECTORS, 3), float64, without unit.
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
