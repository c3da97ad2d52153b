"""Compares a network that was rebuilt from plain values with the one that it was rebuilt from."""

from typing import TYPE_CHECKING

import torch

from harness.networks.graph import pack_graph
from harness.networks.tensors import load_tensors, network_tensors

if TYPE_CHECKING:
    from torch.nn import Module


def energy_difference(original: "Module", rebuilt: "Module", numbers: list[int], reach: float, cutoff: float) -> float:
    """The largest difference of atomic energies on a molecule of all elements, eV; NaN if one is.

    Args:
        original: The network, in double precision.
        rebuilt: The rebuilt one, which receives its tensors.
        numbers: Atomic numbers of one atom of each element, which lie on a winding line.
        reach: Distance within which each atom has the next, Å.
        cutoff: Neighbour cutoff, Å.
    """
    load_tensors(rebuilt, network_tensors(original))
    turn = torch.arange(len(numbers), dtype=torch.float64)
    positions = 0.4 * reach * torch.stack([turn, torch.sin(turn), torch.cos(2.0 * turn)], dim=1)
    near = torch.cdist(positions, positions).fill_diagonal_(torch.inf) < cutoff
    graph = pack_graph(torch.tensor(numbers), positions, torch.tensor([len(numbers)]), near.nonzero().T, cutoff)
    energies = [network(graph)["local_energies"].detach() for network in (original, rebuilt)]
    return float((energies[0] - energies[1]).abs().max())
