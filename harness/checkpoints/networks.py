"""The networks of graph-pes: built from a description, applied to a packed batch."""

from typing import TYPE_CHECKING, Any, Final

from dataset_builders.errors import MissingPackageError, ModelError
from harness.checkpoints.format import ARCHITECTURES, FAMILY, Architecture, NetworkArguments, symbol_of

if TYPE_CHECKING:
    from graph_pes import AtomicGraph, GraphPESModel
    from torch import Tensor

ANGULAR_ORDER: Final = 2
"""Highest spherical harmonic of the edges in NequIP and MACE; the other networks have no such choice."""


def build_network(
    architecture: Architecture, arguments: NetworkArguments, elements: tuple[int, ...]
) -> "GraphPESModel":
    """Builds a network with random weights, drawn from torch's global generator.

    Args:
        architecture: Its class, of those on the list `ARCHITECTURES`.
        arguments: Its shape.
        elements: Atomic numbers it will see; PaiNN and SchNet do not need to know them beforehand.

    Raises:
        ModelError: If the architecture is not on the list.
        MissingPackageError: If graph-pes is not installed.
    """
    try:
        from graph_pes import models
    except ImportError as cause:
        raise MissingPackageError("graph-pes", FAMILY, f"A {architecture} network") from cause
    common: dict[str, Any] = {"layers": arguments.layers, "cutoff": arguments.cutoff}
    symbols = [symbol_of(number) for number in elements]
    match architecture:
        case "PaiNN":
            return models.PaiNN(channels=arguments.channels, radial_features=arguments.radial_features, **common)
        case "SchNet":
            return models.SchNet(channels=arguments.channels, expansion_features=arguments.radial_features, **common)
        case "NequIP":
            features = {"channels": arguments.channels, "l_max": ANGULAR_ORDER, "use_odd_parity": True}
            network = models.NequIP(symbols, features=features, radial_features=arguments.radial_features, **common)
            return _with_one_hot_of_own_dtype(network)
        case "MACE":
            network = models.MACE(
                symbols, channels=arguments.channels, n_radial=arguments.radial_features, l_max=ANGULAR_ORDER, **common
            )
            return _with_one_hot_of_own_dtype(network)
    raise ModelError(f"unknown architecture {architecture!r}; expected one of {' '.join(ARCHITECTURES)}")


def network_tensors(network: "GraphPESModel") -> "dict[str, Tensor]":
    """Parameters and buffers of a network by name: all that a checkpoint stores of it."""
    import torch

    # graph-pes adds a dictionary of its version to the state, which is no tensor.
    return {name: value for name, value in network.state_dict().items() if isinstance(value, torch.Tensor)}


def pack_graph(
    atomic_numbers: "Tensor", positions: "Tensor", n_atoms: "Tensor", edge_index: "Tensor", cutoff: float
) -> "AtomicGraph":
    """Molecules packed one after the other, as graph-pes takes them.

    Args:
        atomic_numbers: Shape (n_atoms_total,), int64.
        positions: Shape (n_atoms_total, 3), Å.
        n_atoms: Atoms of each molecule, shape (n_structures,), int64.
        edge_index: Central atom and neighbour of each edge, shape (2, n_edges), int64.
        cutoff: Distance within which the edges were sought, Å.
    """
    import torch
    from graph_pes import AtomicGraph

    n_structures = len(n_atoms)
    device = positions.device
    return AtomicGraph(
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
    network: "GraphPESModel", graph: "AtomicGraph", *, create_graph: bool = False
) -> "tuple[Tensor, Tensor]":
    """What a network says of a packed batch, without reference energies.

    Args:
        network: Network of local energies.
        graph: Packed batch of `pack_graph`.
        create_graph: Whether the forces are to be differentiated again, as training does.

    Returns:
        Energies, shape (n_structures,), float64, eV, and forces, shape (n_atoms_total, 3), eV/Å.
    """
    import torch

    positions = graph.R.detach().requires_grad_(True)
    local_energies = network(graph._replace(R=positions))["local_energies"].view(-1)
    (gradient,) = torch.autograd.grad(local_energies.sum(), positions, create_graph=create_graph)
    # Summed in float64, so that the energy of a large molecule does not lose digits of its small changes.
    energies = torch.zeros(len(graph.cell), dtype=torch.float64, device=positions.device)
    return energies.index_add(0, graph.batch, local_energies.double()), -gradient


def _with_one_hot_of_own_dtype(network: "GraphPESModel") -> "GraphPESModel":
    """Lets NequIP and MACE compute in float64, for which graph-pes 1.0.2 encodes elements in float32."""
    from graph_pes.utils.nn import AtomicOneHot

    for module in network.modules():
        if isinstance(module, AtomicOneHot):
            module.register_forward_hook(lambda _module, _inputs, output: output.to(next(network.parameters()).dtype))
    return network
