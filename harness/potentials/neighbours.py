"""Pairs of atoms within a cutoff, for molecules packed into one batch.

All pairs inside each molecule are formed and then filtered, without a loop over molecules. Measured on
264 molecules of 16 atoms, cutoff 5 Å: 6 ms on one core, against 8 ms (matscipy) and 11 ms (vesin) for a
cell list called for each molecule. Memory grows with the square of the size of a molecule, so this is no
method for large or periodic systems.
"""

import numpy as np

from dataset_builders.errors import UsageError
from dataset_builders.structures import IntArray
from harness.structures import StructureBatch


def packed_neighbours(batch: StructureBatch, cutoff: float) -> IntArray:
    """Every ordered pair of distinct atoms of one molecule that are closer than the cutoff.

    Distances are taken in float64, whatever the precision of the model.

    Args:
        batch: Molecules without periodic boundaries.
        cutoff: Å.

    Returns:
        Shape (2, n_pairs), int64: centre and neighbour, as numbers of atoms in the batch, in the order
        of the centre and then of the neighbour. Each pair occurs in both directions.

    Raises:
        UsageError: If the cutoff is not a positive number.
    """
    if not cutoff > 0.0:
        raise UsageError(f"cutoff {cutoff} Å; expected a positive number")
    n_partners = np.repeat(batch.n_atoms, batch.n_atoms)
    centre = np.repeat(np.arange(len(batch.atomic_numbers), dtype=np.int64), n_partners)
    first_pair = np.cumsum(n_partners) - n_partners
    first_atom = np.repeat(batch.offsets[:-1], batch.n_atoms)
    neighbour = np.arange(len(centre), dtype=np.int64) + np.repeat(first_atom - first_pair, n_partners)
    positions = np.asarray(batch.positions, dtype=np.float64)
    vectors = positions[neighbour] - positions[centre]
    squared = np.einsum("pc,pc->p", vectors, vectors)
    keep = (squared < cutoff**2) & (centre != neighbour)
    return np.stack([centre[keep], neighbour[keep]])
