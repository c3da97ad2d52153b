"""The network: energies of atoms, of which the harness takes the derivative."""

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from harness.networks.graph import MoleculeGraph
    from mlip_ood_gaussnet import GaussNetArguments


class GaussNet(torch.nn.Module):
    """Sums Gaussians of the distances to the neighbours, weighted by their element, and gives them to a small network.

    Args:
        arguments: Its shape.
        elements: Atomic numbers that it has embeddings for.
    """

    def __init__(self, arguments: "GaussNetArguments", elements: tuple[int, ...]) -> None:
        super().__init__()
        count, hidden = arguments.gaussians, arguments.hidden
        self.cutoff = arguments.cutoff
        self.width = arguments.cutoff / count
        # What is computed with is a parameter or a buffer, so that the checkpoint holds it.
        self.register_buffer("centres", torch.linspace(0.5, arguments.cutoff, count))
        index = torch.zeros(max(elements) + 1, dtype=torch.int64)
        index[list(elements)] = torch.arange(len(elements))
        self.register_buffer("index_of_element", index)
        self.embedding = torch.nn.Embedding(len(elements), count)
        self.energy = torch.nn.Sequential(
            torch.nn.Linear(2 * count, hidden),
            torch.nn.SiLU(),
            torch.nn.Linear(hidden, hidden),
            torch.nn.SiLU(),
            torch.nn.Linear(hidden, 1),
        )

    def forward(self, graph: "MoleculeGraph") -> dict[str, torch.Tensor]:
        """The energy of each atom, eV, shape (n_atoms_total, 1), as `local_energies`."""
        centre, neighbour = graph.neighbour_list
        distance = torch.linalg.vector_norm(graph.R[neighbour] - graph.R[centre], dim=1)[:, None]
        smooth = 0.5 * (1.0 + torch.cos(math.pi * distance / self.cutoff))  # nothing jumps at the cutoff
        gaussians = smooth * torch.exp(-(((distance - self.centres) / self.width) ** 2))
        element = self.embedding(self.index_of_element[graph.Z])
        density = torch.zeros_like(element).index_add(0, centre, element[neighbour] * gaussians)
        return {"local_energies": self.energy(torch.cat([element, density], dim=1))}
