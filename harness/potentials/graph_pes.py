"""Checkpoints trained with this project, from scratch or from a foundation model."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from dataset_builders.tasks.regions import DECLARATION
from harness.compute.device import resolve_device
from harness.compute.neighbours import neighbours
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.core.family import Family
from harness.core.potential import LoadOptions, Potential, PotentialTraits
from harness.networks.architectures import PACKAGES
from harness.networks.checkpoint_format import (
    CheckpointConfig,
    file_hashes,
    read_config,
    read_tensors,
    symbol_of,
)
from harness.networks.compiling import compiled
from harness.networks.finished import require_finished
from harness.networks.graph import MoleculeGraph, energies_and_forces, pack_graph
from harness.networks.networks import build_network
from harness.networks.tensors import network_tensors
from harness.potentials.delta import with_baseline

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

FAMILIES: Final = tuple(
    Family(
        name,
        __name__,
        package,
        extra=extra,
        folder=("config.json", "model.safetensors"),
        in_config=True,
        can_compile=name == "graph-pes",
        environment_of=environment,
    )
    for name, package, extra, environment in (
        ("graph-pes", "graph_pes", "graph-pes", None),
        ("pyg", "torch_geometric", "pyg", None),
        ("torchani-tuned", "torchani", "torchani", None),
        ("mace-tuned", "mace", "mace", None),
        ("fairchem1", "fairchem", None, None),
        ("so3lr-tuned", "so3krates_torch", None, "so3lr"),
    )
)


def load(path: Path, options: LoadOptions) -> Potential:
    """Loads a checkpoint folder of `python -m harness train`.

    Args:
        path: Folder with `config.json` and `model.safetensors`.
        options: Device and precision.

    Raises:
        ModelError: If the checkpoint is incomplete, corrupt or of an unknown version, or its training was stopped
            early and that was not allowed.
        UsageError: If the device is absent, or a readout head was requested.
        MissingPackageError: If the library of the network, or that of its baseline, is not installed.
    """
    config = read_config(path)
    return load_network(path, config, options, PACKAGES[config.family])


def load_network(
    path: Path,
    config: CheckpointConfig,
    options: LoadOptions,
    packages: tuple[str, ...],
    code: Mapping[str, str] = MappingProxyType({}),
) -> Potential:
    """Loads the network of a checkpoint folder.

    Args:
        path: The folder.
        config: What its `config.json` says.
        options: Device and precision.
        packages: Python packages that compute the network.
        code: sha256 of files of code, by the names of their modules, for which no version of a package speaks.

    Raises:
        MlipOodError: As `load` does.
    """
    import torch

    options.require_no_head(str(path))
    unfinished = require_finished(path, config.training, allow_unfinished=options.allow_unfinished)
    device = resolve_device(options.device)
    network = build_network(config.architecture, config.arguments, config.elements, traceable=options.compile)
    network = network.to(getattr(torch, config.dtype))
    tensors = read_tensors(path, network_tensors(network))
    network.load_state_dict(tensors, strict=False)  # `read_tensors` has checked the names
    dtype = options.dtype or config.dtype
    network = network.to(device=device, dtype=getattr(torch, dtype)).eval().requires_grad_(False)
    traits = PotentialTraits(
        model_id=str(path),
        family=config.family,
        elements=frozenset(config.elements),
        files={**file_hashes(path), **code},
        packages=packages,
        dtype=dtype,
        saved_dtype=config.dtype,
        device=str(device),
        protocol=config.protocol,
        trained_on=config.trained_on,
        trained_task=config.training.get(DECLARATION),
        level_of_theory=config.level_of_theory,
        unfinished=unfinished,
        is_compiled=options.compile,
    )
    potential = GraphPesPotential(network, config, traits)
    return potential if config.baseline is None else with_baseline(config.baseline, potential, options)


class GraphPesPotential(TorchPotential):
    """A network of local energies plus one reference energy for each atom.

    Args:
        network: The network, on its device and in its precision.
        config: The config that it was built from.
        traits: Its traits.
    """

    def __init__(self, network: "Module", config: CheckpointConfig, traits: PotentialTraits) -> None:
        import torch

        super().__init__(traits)
        self.network = network
        self._evaluate = compiled(_evaluated, config.architecture) if traits.is_compiled else _evaluated
        self._cutoff = config.cutoff
        self._dtype = getattr(torch, traits.dtype)
        self._reference = torch.zeros(max(config.elements) + 1, dtype=torch.float64, device=traits.device)
        for number in config.elements:
            self._reference[number] = config.reference_energies[symbol_of(number)]

    def graph(self, batch: PackedTensors) -> MoleculeGraph:
        """The graph that the network takes."""
        pairs = neighbours(batch, self._cutoff)
        return pack_graph(batch.atomic_numbers, batch.positions.to(self._dtype), batch.n_atoms, pairs, self._cutoff)

    def forward(self, graph: MoleculeGraph, batch: PackedTensors) -> Output:
        """Energies of the network plus the reference energies of the atoms, and forces."""
        energy, forces = self._evaluate(self.network, graph)
        return Output(energy + batch.sum_by_structure(self._reference[batch.atomic_numbers]), forces)


def _evaluated(network: "Module", graph: MoleculeGraph) -> "tuple[Tensor, Tensor]":
    energy, forces = energies_and_forces(network, graph)
    # Inside the compiled function, which may not return tensors that still depend on the positions.
    return energy.detach(), forces.detach()
