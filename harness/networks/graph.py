"""Molecules packed into one batch, the input of networks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


class MoleculeGraph(NamedTuple):
    """A packed batch of molecules without periodic boundaries.

    The fields are those of graph-pes' `AtomicGraph`, so that its networks accept a batch, and networks of other
    libraries do not need that package.

    Attributes:
        Z: Atomic numbers, shape (n_atoms_total,), int64.
        R: Positions, shape (n_atoms_total, 3), Å.
        cell: Zeros, shape (n_structures, 3, 3).
        neighbour_list: Central atom and neighbour of each edge, shape (2, n_edges), int64.
        neighbour_cell_offsets: Zeros, shape (n_edges, 3).
        properties: Empty.
        cutoff: Distance used to find the edges, Å.
        other: Empty.
        batch: Index of the structure of each atom, shape (n_atoms_total,), int64.
        ptr: Start of each structure, and the end, shape (n_structures + 1,), int64.
    """

    Z: "Tensor"
    R: "Tensor"
    cell: "Tensor"
    neighbour_list: "Tensor"
    neighbour_cell_offsets: "Tensor"
    properties: Mapping[str, "Tensor"]
    cutoff: float
    other: Mapping[str, "Tensor"]
    batch: "Tensor"
    ptr: "Tensor"


def pack_graph(
    atomic_numbers: "Tensor", positions: "Tensor", n_atoms: "Tensor", edge_index: "Tensor", cutoff: float
) -> MoleculeGraph:
    """Combines tensors into the input of a network.

    Args:
        atomic_numbers: Shape (n_atoms_total,), int64.
        positions: Shape (n_atoms_total, 3), Å.
        n_atoms: Atoms of each molecule, shape (n_structures,), int64.
        edge_index: Central atom and neighbour of each edge, shape (2, n_edges), int64.
        cutoff: Distance used to find the edges, Å.
    """
    import torch

    n_structures = len(n_atoms)
    device = positions.device
    return MoleculeGraph(
        Z=atomic_numbers,
        R=positions,
        cell=positions.new_zeros((n_structures, 3, 3)),
        neighbour_list=edge_index,
        neighbour_cell_offsets=positions.new_zeros((edge_index.shape[1], 3)),
        properties={},
        cutoff=cutoff,
        other={},
        batch=torch.repeat_interleave(torch.arange(n_structures, device=device), n_atoms),
        ptr=torch.cat([n_atoms.new_zeros(1), n_atoms.cumsum(0)]),
    )


def energies_and_forces(
    network: "Module", graph: MoleculeGraph, *, create_graph: bool = False
) -> "tuple[Tensor, Tensor]":
    """Predictions of a network for a packed batch, without reference energies.

    Args:
        network: Network that returns local energies.
        graph: Packed batch from `pack_graph`.
        create_graph: Whether the forces will be differentiated again, as in training.

    Returns:
        Energies, shape (n_structures,), float64, eV, and forces, shape (n_atoms_total, 3), eV/Å.
    """
    import torch

    positions = graph.R.detach().requires_grad_(True)
    local_energies = network(graph._replace(R=positions))["local_energies"].view(-1)
    (gradient,) = torch.autograd.grad(local_energies.sum(), positions, create_graph=create_graph)
    # Summed in float64: the energy of a large molecule must not lose digits of its small changes.
    energies = torch.zeros(len(graph.cell), dtype=torch.float64, device=positions.device)
    return energies.index_add(0, graph.batch, local_energies.double()), -gradient
