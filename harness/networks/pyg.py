"""DimeNet++ and ViSNet: the blocks of PyTorch Geometric, with the neighbours of the packed batch.

Sources: DimeNet++, Gasteiger et al., arXiv 2011.14115; ViSNet, an equivariant transformer, Wang et al., Nat. Commun.
15, 313 (2024). PyG's own `forward` finds neighbours with compiled extensions that lack wheels for
some versions of PyTorch, so it is assembled here from the same blocks.
"""

import functools
import math
from typing import TYPE_CHECKING, Final

import torch
from torch_geometric.nn.models import DimeNetPlusPlus, dimenet_utils
from torch_geometric.nn.models.visnet import ViSNet as PygViSNet

from harness.networks.graph import MoleculeGraph

if TYPE_CHECKING:
    from torch import Tensor

    from harness.networks.architecture import NetworkArguments

SPHERICAL_FUNCTIONS: Final = 5
"""Angular functions of DimeNet++; the paper uses 7, whose second derivatives cost 50 % more."""
HEADS: Final = 8
"""Attention heads of ViSNet, as in its paper; fewer if the number of channels is not divisible by them."""
ANGULAR_ORDER: Final = 2
"""Maximum spherical harmonic degree of ViSNet, as in its paper for molecular dynamics."""
_COLLINEAR: Final = 1e-8
"""Å^4, added to a squared cross product, so that the derivative exists for a straight angle."""

# SymPy takes seconds to derive the formulas of a basis, and PyG asks for them again for each network.
for _formulas in ("bessel_basis", "real_sph_harm"):
    setattr(dimenet_utils, _formulas, functools.cache(getattr(dimenet_utils, _formulas)))


class DimeNet(torch.nn.Module):
    """DimeNet++ that returns the energies of atoms.

    Args:
        arguments: Its shape; channels are the features of an edge.
    """

    def __init__(self, arguments: "NetworkArguments") -> None:
        super().__init__()
        channels = arguments.channels
        self.blocks = DimeNetPlusPlus(
            hidden_channels=channels,
            out_channels=1,
            num_blocks=arguments.layers,
            int_emb_size=channels // 2,
            basis_emb_size=8,
            out_emb_channels=2 * channels,
            num_spherical=SPHERICAL_FUNCTIONS,
            num_radial=arguments.radial_features,
            cutoff=arguments.cutoff,
        )

    def forward(self, graph: MoleculeGraph) -> "dict[str, Tensor]":
        """The energy of each atom, eV, shape (n_atoms_total,), as `local_energies`."""
        blocks, positions, n_atoms = self.blocks, graph.R, len(graph.Z)
        to, start = graph.neighbour_list
        vectors = positions[to] - positions[start]
        distances = torch.linalg.vector_norm(vectors, dim=1)
        into, out_of = edge_pairs(graph.neighbour_list, n_atoms)
        first, second = vectors[into], vectors[out_of]
        sine = (torch.linalg.cross(second, first).square().sum(dim=1) + _COLLINEAR).sqrt()
        angles = torch.atan2(sine, (first * second).sum(dim=1))
        radial = blocks.rbf(distances)
        spherical = blocks.sbf(distances, angles, into)
        edges = blocks.emb(graph.Z, radial, to, start)
        energies = blocks.output_blocks[0](edges, radial, to, num_nodes=n_atoms)
        for interaction, output in zip(blocks.interaction_blocks, blocks.output_blocks[1:], strict=True):
            edges = interaction(edges, radial, spherical, into, out_of)
            energies = energies + output(edges, radial, to, num_nodes=n_atoms)
        return {"local_energies": energies.view(-1)}


class ViSNet(torch.nn.Module):
    """ViSNet that returns the energies of atoms.

    Args:
        arguments: Its shape.
    """

    def __init__(self, arguments: "NetworkArguments") -> None:
        super().__init__()
        self.blocks = PygViSNet(
            lmax=ANGULAR_ORDER,
            num_heads=math.gcd(HEADS, arguments.channels),
            num_layers=arguments.layers,
            hidden_channels=arguments.channels,
            num_rbf=arguments.radial_features,
            cutoff=arguments.cutoff,
        )
        self.blocks.representation_model.distance = _GivenNeighbours()
        self.blocks.prior_model = None  # energies of isolated atoms, which are fitted and added elsewhere

    def forward(self, graph: MoleculeGraph) -> "dict[str, Tensor]":
        """The energy of each atom, eV, shape (n_atoms_total,), as `local_energies`."""
        # PyG passes its second argument to the neighbour search, which is replaced here by the edges of the graph.
        scalars, vectors = self.blocks.representation_model(graph.Z, graph.R, graph.neighbour_list)
        return {"local_energies": self.blocks.output_model.pre_reduce(scalars, vectors).view(-1)}


class _GivenNeighbours(torch.nn.Module):
    """Replaces ViSNet's neighbour search; its neighbours include each atom itself."""

    def forward(self, positions: "Tensor", neighbour_list: "Tensor") -> "tuple[Tensor, Tensor, Tensor]":
        centre, neighbour = neighbour_list
        itself = torch.arange(len(positions), device=positions.device)
        vectors = positions[neighbour] - positions[centre]
        distances = torch.linalg.vector_norm(vectors, dim=1)
        edges = torch.stack([torch.cat([neighbour, itself]), torch.cat([centre, itself])])
        return (
            edges,
            torch.cat([distances, distances.new_zeros(len(positions))]),
            torch.cat([vectors, vectors.new_zeros(len(positions), 3)]),
        )


def edge_pairs(neighbour_list: "Tensor", n_atoms: int) -> "tuple[Tensor, Tensor]":
    """Every pair of edges k -> j -> i with k other than i.

    Args:
        neighbour_list: Central atom i and neighbour j of each edge, in the order of i, shape (2, n_edges).
        n_atoms: Number of atoms.

    Returns:
        Indices of the edges k -> j and of the edges j -> i, each of shape (n_pairs,).
    """
    centre, neighbour = neighbour_list
    count = torch.bincount(centre, minlength=n_atoms)
    first = count.cumsum(0) - count
    n_in = count[neighbour]
    out_of = torch.repeat_interleave(torch.arange(len(centre), device=centre.device), n_in)
    before = n_in.cumsum(0) - n_in
    into = torch.arange(len(out_of), device=centre.device) + (first[neighbour] - before)[out_of]
    kept = neighbour[into] != centre[out_of]
    return into[kept], out_of[kept]
