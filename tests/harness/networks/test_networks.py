"""The networks that are trained: how far they see, and those that are put together from blocks of another library."""

import copy
import functools
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from dataset_builders.core.errors import ModelError
from harness.compute.neighbours import packed_neighbours
from harness.core.batch import StructureBatch
from harness.networks.architecture import NetworkArguments
from harness.networks.architectures import ARCHITECTURES, IN_ENVIRONMENTS
from harness.networks.checkpoint_format import receptive_field
from harness.networks.graph import MoleculeGraph, energies_and_forces, pack_graph
from harness.networks.networks import build_network

HERE = [name for name in ARCHITECTURES if name not in IN_ENVIRONMENTS]
"""Networks of the environment of the harness; for the others see test_fairchem1.py."""

SHAPE = NetworkArguments(channels=8, radial_features=5, layers=2, cutoff=2.0)


def graph_of(positions: np.ndarray, n_atoms: tuple[int, ...], cutoff: float) -> MoleculeGraph:
    numbers = np.where(np.arange(len(positions)) % 3, 1, 6)
    batch = StructureBatch(numbers, positions, np.array(n_atoms), ("",) * len(n_atoms))
    return pack_graph(
        torch.tensor(numbers),
        torch.tensor(positions),
        torch.tensor(n_atoms),
        torch.tensor(packed_neighbours(batch, cutoff)),
        cutoff,
    )


@functools.cache  # building NequIP or MACE compiles TorchScript for seconds
def network_of(architecture: str) -> torch.nn.Module:
    torch.manual_seed(1)
    with pytest.MonkeyPatch.context() as patch:
        if architecture == "DimeNet++":
            # SymPy derives the formula of each function for a second, and they differ in their degree only.
            patch.setattr("harness.networks.pyg.SPHERICAL_FUNCTIONS", 3)
        network = build_network(architecture, SHAPE, (1, 6)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


@pytest.mark.parametrize("architecture", HERE)
def test_an_energy_depends_on_atoms_up_to_the_receptive_field(architecture: str) -> None:
    # A zigzag of atoms 1.4 Å apart along x, neighbours of which only the next one is within 2 Å.
    index = np.arange(8)
    positions = np.stack([1.4 * index, 0.6 * (index % 2), 0.1 * index], axis=1)
    graph = graph_of(positions, (8,), SHAPE.cutoff)
    network = network_of(architecture)
    where = graph.R.clone().requires_grad_(True)
    local = network(graph._replace(R=where))["local_energies"]
    (slope,) = torch.autograd.grad(local[0], where)
    reached = torch.nonzero(slope.abs().sum(dim=1) > 1e-12).view(-1).tolist()
    hops = round(receptive_field(architecture, SHAPE) / SHAPE.cutoff)
    assert reached == list(range(hops + 1))


def random_molecules() -> tuple[np.ndarray, tuple[int, ...]]:
    random = np.random.default_rng(3)
    return np.concatenate([1.6 * random.normal(size=(n, 3)) for n in (7, 5)]), (7, 5)


def test_pairs_of_edges_are_those_of_a_plain_loop() -> None:
    from harness.networks.pyg import edge_pairs

    graph = graph_of(*random_molecules(), cutoff=2.0)
    edges = graph.neighbour_list.T.tolist()
    into, out_of = edge_pairs(graph.neighbour_list, len(graph.Z))
    expected = [
        (first, second)
        for (second, (i, j)), (first, (centre, k)) in product(enumerate(edges), repeat=2)
        if centre == j and k != i
    ]
    assert sorted(zip(into.tolist(), out_of.tolist(), strict=True)) == sorted(expected)


def with_plain_neighbours(module: Any, graph: MoleculeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets PyG's own models run without its compiled extensions."""
    from harness.networks.pyg import edge_pairs

    centre, neighbour = graph.neighbour_list

    def radius_graph(positions: torch.Tensor, *, loop: bool = False, **_options: Any) -> torch.Tensor:
        itself = torch.arange(len(positions))
        ends = (torch.cat([neighbour, itself]), torch.cat([centre, itself])) if loop else (neighbour, centre)
        return torch.stack(ends)

    def triplets(edge_index: torch.Tensor, num_nodes: int) -> tuple[torch.Tensor, ...]:
        into, out_of = edge_pairs(graph.neighbour_list, num_nodes)
        start, to = edge_index
        return to, start, to[out_of], start[out_of], start[into], into, out_of

    monkeypatch.setattr(module, "radius_graph", radius_graph)
    monkeypatch.setattr(module, "triplets", triplets, raising=False)


@pytest.mark.parametrize("architecture", ["DimeNet++", "ViSNet"])
def test_networks_of_pyg_give_what_its_own_models_give(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_geometric.nn.models import dimenet, visnet

    positions, n_atoms = random_molecules()
    graph = graph_of(positions, n_atoms, SHAPE.cutoff)
    network = copy.deepcopy(network_of(architecture))
    energies, forces = energies_and_forces(network, graph)
    with_plain_neighbours(dimenet if architecture == "DimeNet++" else visnet, graph, monkeypatch)
    blocks: Any = network.blocks
    if architecture == "ViSNet":
        blocks.representation_model.distance = visnet.Distance(SHAPE.cutoff)
        # PyG holds distances in the default precision.
        monkeypatch.setattr(torch, "zeros", lambda *size, **options: torch.ops.aten.zeros(size, dtype=torch.float64))
    where = graph.R.clone().requires_grad_(True)
    own = blocks(graph.Z, where, graph.batch)
    total = own[0] if architecture == "ViSNet" else own
    (gradient,) = torch.autograd.grad(total.sum(), where)
    np.testing.assert_allclose(energies.detach(), total.view(-1).detach(), atol=1e-6)
    np.testing.assert_allclose(forces, -gradient, atol=1e-5)


@pytest.mark.parametrize("architecture", HERE)
def test_every_network_has_second_derivatives(architecture: str) -> None:
    # A straight line of three atoms, where an angle has no derivative of its own.
    positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.2], [0.0, 0.0, 2.4], [0.9, 0.0, -0.4]])
    network = network_of(architecture)
    _, forces = energies_and_forces(network, graph_of(positions, (4,), SHAPE.cutoff), create_graph=True)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    parts = torch.autograd.grad(forces.square().sum(), parameters, allow_unused=True)
    given = [part for part in parts if part is not None]
    assert all(bool(part.isfinite().all()) for part in given)
    assert sum(float(part.abs().sum()) for part in given) > 0.0


def test_unknown_architecture() -> None:
    with pytest.raises(ModelError, match="unknown architecture 'ResNet'; expected one of PaiNN"):
        build_network("ResNet", SHAPE, (1, 6))
