"""Pairs of atoms within a cutoff, for molecules packed into one batch, on the device that the batch is on.

All pairs inside each molecule are formed and then filtered, without a loop over molecules. Measured on
264 molecules of 16 atoms, cutoff 5 Å: 2 ms on one core, against 9 ms (matscipy) and 18 ms (vesin) for a
cell list called for each molecule. Memory grows with the square of the size of a molecule, so this method
does not suit large or periodic systems.
"""

from typing import TYPE_CHECKING

import numpy as np

from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import UsageError
from harness.compute.torch_potential import PackedTensors, pack
from harness.core.batch import StructureBatch

if TYPE_CHECKING:
    import torch


def packed_neighbours(batch: StructureBatch, cutoff: float) -> IntArray:
    """As `neighbours`, for a batch in the memory of the CPU.

    Raises:
        UsageError: If the cutoff is not a positive number.
    """
    return np.asarray(neighbours(pack(batch), cutoff).numpy())


def neighbours(batch: PackedTensors, cutoff: float) -> "torch.Tensor":
    """Every ordered pair of distinct atoms of one molecule that are closer than the cutoff.

    Distances are computed in float64, whatever the precision of the model.

    Args:
        batch: Molecules without periodic boundaries.
        cutoff: Å.

    Returns:
        Shape (2, n_pairs), int64, on the device of the batch: atom indices of centre and neighbour in the batch,
        sorted by centre and then by neighbour. Each pair occurs in both directions.

    Raises:
        UsageError: If the cutoff is not a positive number.
    """
    import torch

    if not cutoff > 0.0:
        raise UsageError(f"cutoff {cutoff} Å; expected a positive number")
    n_partners = batch.n_atoms[batch.system_idx]
    # All pairs, one row for each atom: padding to the largest molecule costs less than ragged indices.
    column = torch.arange(batch.most_atoms, device=batch.device)
    neighbour = batch.offsets[batch.system_idx].unsqueeze(1) + column
    exists = column < n_partners.unsqueeze(1)
    neighbour = torch.where(exists, neighbour, 0)
    # Axis by axis: a sum over three neighbouring numbers is slow in PyTorch.
    squared = torch.zeros(neighbour.shape, dtype=torch.float64, device=batch.device)
    for axis in batch.positions.T.contiguous():
        squared += (axis[neighbour] - axis.unsqueeze(1)).square_()
    centre = torch.arange(len(n_partners), device=batch.device).unsqueeze(1)
    keep = exists & (squared < cutoff**2) & (neighbour != centre)
    row, place = torch.nonzero(keep, as_tuple=True)
    return torch.stack([row, neighbour[row, place]])
