"""GemNet-T and eSEN of fairchem-core 1, with the neighbours of the packed batch.

Sources: GemNet-T, Gasteiger et al., arXiv 2106.08903; eSEN, Fu et al., arXiv 2502.12147. Written for fairchem-core
1.10.0 (MIT). Its EquiformerV2 is not offered: see docs/architectures.md.
"""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import torch

from harness.networks.edge_triplets import reversed_edges, triplets
from harness.networks.fairchem1_package import import_fairchem1
from harness.networks.graph import MoleculeGraph

if TYPE_CHECKING:
    from torch import Tensor

    from harness.networks.architecture import NetworkArguments

ELEMENTS: Final = 100
"""Elements that the networks embed, from hydrogen on."""
SPHERICAL_FUNCTIONS: Final = 7
"""Angular functions of GemNet, as in its paper."""
BASIS_CHANNELS: Final = 16
"""Features of a projected basis function in GemNet, as in its paper."""
ANGULAR_ORDER: Final = 2
"""Maximum spherical harmonic degree of eSEN's features and messages."""

_gemnet = import_fairchem1("gemnet.gemnet")
_esen = import_fairchem1("esen.esen")


class _GemNetWithTriplets(_gemnet.GemNetTBackbone):  # type: ignore[misc, name-defined]
    """GemNet-T for edges and triplets that are given; its own search needs compiled packages."""

    def generate_interaction_graph(self, data: SimpleNamespace) -> "tuple[Tensor, ...]":
        """The edges and triplets of the batch, as `forward` takes them."""
        centre, neighbour = data.edges
        vectors = data.pos[centre] - data.pos[neighbour]
        distances = torch.linalg.vector_norm(vectors, dim=1)
        return (
            torch.stack([neighbour, centre]),
            torch.bincount(data.batch[centre]),
            distances,
            vectors / distances[:, None],
            reversed_edges(data.edges, len(data.pos)),
            *triplets(centre, len(data.pos)),
        )


class GemNet(torch.nn.Module):
    """GemNet-T that returns the energies of atoms.

    Its scaling factors, which its authors fit to the variance of activations before training, are 1.

    Args:
        arguments: Its shape; channels are the features of an atom and of an edge.
    """

    def __init__(self, arguments: "NetworkArguments") -> None:
        super().__init__()
        channels, projected = arguments.channels, max(arguments.channels // 4, 1)
        self.blocks = _GemNetWithTriplets(
            num_spherical=SPHERICAL_FUNCTIONS,
            num_radial=arguments.radial_features,
            num_blocks=arguments.layers,
            emb_size_atom=channels,
            emb_size_edge=channels,
            emb_size_trip=projected,
            emb_size_rbf=BASIS_CHANNELS,
            emb_size_cbf=BASIS_CHANNELS,
            emb_size_bil_trip=projected,
            num_before_skip=1,
            num_after_skip=1,
            num_concat=1,
            num_atom=2,
            regress_forces=False,
            cutoff=arguments.cutoff,
            otf_graph=True,
            num_elements=ELEMENTS,
        )
        for block in self.blocks.out_blocks:
            del block.layers  # the same layers as its `seq_energy`, which is what it computes with

    def forward(self, graph: MoleculeGraph) -> "dict[str, Tensor]":
        """The energy of each atom, eV, shape (n_atoms_total,), as `local_energies`."""
        centre = graph.neighbour_list[0]
        # It fails on a batch without triplets.
        packed = graph if bool((centre[1:] == centre[:-1]).any()) else _with_trio(graph)
        return {"local_energies": self._energies(packed)[: len(graph.Z)]}

    def _energies(self, graph: MoleculeGraph) -> "Tensor":
        data = SimpleNamespace(pos=graph.R, atomic_numbers=graph.Z, batch=graph.batch, edges=graph.neighbour_list)
        energies: Tensor = self.blocks(data)["E_t"]
        return energies.view(-1)


class _ESENWithFixedRotations(_esen.eSEN_Backbone):  # type: ignore[misc, name-defined]
    """eSEN that draws the same numbers in each call, so that a repeated evaluation returns the same digits.

    A random vector chooses the rotation of an edge about itself, of which the energy is independent up to rounding.
    Constants of the Wigner matrices are kept in double precision and outside the checkpoint.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._constants = {name: self._buffers.pop(name) for name in list(self._buffers) if name.startswith("Jd_")}
        self._place_constants("cpu")

    def _place_constants(self, device: "torch.device | str") -> None:
        for name, constant in self._constants.items():
            setattr(self, name, constant.to(device))

    def get_rotmat_and_wigner(self, edge_distance_vecs: "Tensor") -> "tuple[Tensor, Tensor, Tensor]":
        """The rotation of each edge, and its Wigner matrices."""
        device = edge_distance_vecs.device
        if self.Jd_0.device != device:
            self._place_constants(device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            rotations: tuple[Tensor, Tensor, Tensor] = super().get_rotmat_and_wigner(edge_distance_vecs)
        return rotations


class ESEN(torch.nn.Module):
    """The conservative eSEN, with the smooth cutoff of its paper, that returns the energies of atoms.

    Args:
        arguments: Its shape; channels are those of each spherical harmonic.
    """

    def __init__(self, arguments: "NetworkArguments") -> None:
        super().__init__()
        channels = arguments.channels
        self.blocks = _ESENWithFixedRotations(
            max_num_elements=ELEMENTS + 1,
            sphere_channels=channels,
            hidden_channels=channels,
            edge_channels=channels,
            lmax=ANGULAR_ORDER,
            mmax=ANGULAR_ORDER,
            cutoff=arguments.cutoff,
            num_distance_basis=arguments.radial_features,
            num_layers=arguments.layers,
            use_pbc=False,
            direct_forces=False,
            regress_forces=False,
            act_type="gate",
            mlp_type="spectral",
            use_envelope=True,
        )
        self.energy = _esen.MLP_Energy_Head(self.blocks).energy_block

    def forward(self, graph: MoleculeGraph) -> "dict[str, Tensor]":
        """The energy of each atom, eV, shape (n_atoms_total,), as `local_energies`."""
        # It skips its blocks in a batch without edges, which would change the energies of single atoms.
        packed = graph if graph.neighbour_list.shape[1] else _with_trio(graph)
        return {"local_energies": self._energies(packed)[: len(graph.Z)]}

    def _energies(self, graph: MoleculeGraph) -> "Tensor":
        centre, neighbour = graph.neighbour_list
        data = {
            "pos": graph.R,
            "atomic_numbers": graph.Z,
            "atomic_numbers_full": graph.Z,
            "batch_full": graph.batch,
            "edge_index": torch.stack([neighbour, centre]),
            "nedges": torch.bincount(graph.batch[centre], minlength=len(graph.cell)),
            "cell": graph.cell,
            "cell_offsets": graph.neighbour_cell_offsets,
        }
        energies: Tensor = self.energy(self.blocks(data)["node_embedding"][:, 0])
        return energies.view(-1)


def _with_trio(graph: MoleculeGraph) -> MoleculeGraph:
    """The batch with three hydrogen atoms as a further molecule, for networks that need some edges."""
    n_atoms, n_molecules = len(graph.Z), len(graph.cell)
    places = graph.R.new_tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    edges = graph.neighbour_list.new_tensor([[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]]) + n_atoms
    return graph._replace(
        Z=torch.cat([graph.Z, graph.Z.new_ones(3)]),
        R=torch.cat([graph.R, places]),
        cell=torch.cat([graph.cell, graph.cell.new_zeros((1, 3, 3))]),
        neighbour_list=torch.cat([graph.neighbour_list, edges], dim=1),
        neighbour_cell_offsets=torch.cat([graph.neighbour_cell_offsets, graph.R.new_zeros((6, 3))]),
        batch=torch.cat([graph.batch, graph.batch.new_full((3,), n_molecules)]),
    )
