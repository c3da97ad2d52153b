"""Checkpoints that this project trained itself, from scratch or from a foundation model."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dataset_builders.structures import FloatArray
from harness.checkpoints.format import (
    PACKAGES,
    CheckpointConfig,
    file_hashes,
    read_config,
    read_tensors,
    symbol_of,
)
from harness.checkpoints.graph import MoleculeGraph, energies_and_forces, pack_graph
from harness.checkpoints.networks import build_network, network_tensors
from harness.potentials.base import LoadOptions, Potential, PotentialTraits
from harness.potentials.delta import on_top_of
from harness.potentials.device import out_of_memory_as_itself, resolve_device
from harness.potentials.elements import require_elements_of_batch
from harness.potentials.neighbours import packed_neighbours
from harness.structures import Prediction, StructureBatch

if TYPE_CHECKING:
    from torch.nn import Module


def load(path: Path, options: LoadOptions) -> Potential:
    """Loads a checkpoint folder of `python -m harness train`.

    Args:
        path: Folder with `config.json` and `model.safetensors`.
        options: Device and precision.

    Raises:
        ModelError: If the checkpoint is incomplete, corrupt or of an unknown version.
        UsageError: If the device is not there.
        MissingPackageError: If the library of the network, or that of its baseline, is not installed.
    """
    import torch

    config = read_config(path)
    device = resolve_device(options.device)
    network = build_network(config.architecture, config.arguments, config.elements)
    network = network.to(getattr(torch, config.dtype))
    tensors = read_tensors(path, network_tensors(network))
    network.load_state_dict(tensors, strict=False)  # `read_tensors` compared the names already
    dtype = options.dtype or config.dtype
    network = network.to(device=device, dtype=getattr(torch, dtype)).eval().requires_grad_(False)
    traits = PotentialTraits(
        model_id=str(path),
        family=config.family,
        elements=frozenset(config.elements),
        files=file_hashes(path),
        packages=PACKAGES[config.family],
        dtype=dtype,
        device=str(device),
        protocol=config.protocol,
        trained_on=config.trained_on,
        level_of_theory=config.level_of_theory,
    )
    potential = GraphPesPotential(network, config, traits)
    return potential if config.baseline is None else on_top_of(config.baseline, potential, options)


class GraphPesPotential:
    """A network of local energies plus one reference energy for each atom.

    Args:
        network: The network, on its device and in its precision.
        config: The config that it was built from.
        traits: What is known of it.
    """

    def __init__(self, network: "Module", config: CheckpointConfig, traits: PotentialTraits) -> None:
        self.network = network
        self._cutoff = config.cutoff
        self._traits = traits
        self._reference = np.zeros(max(config.elements) + 1)
        for number in config.elements:
            self._reference[number] = config.reference_energies[symbol_of(number)]

    @property
    def traits(self) -> PotentialTraits:
        """What is known of the potential."""
        return self._traits

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å) of every structure.

        Raises:
            ModelError: If a structure holds an element that the network was not trained on.
            torch.OutOfMemoryError: If the batch does not fit on the device.
        """
        require_elements_of_batch(self._traits, batch)
        with out_of_memory_as_itself():
            energy, forces = energies_and_forces(self.network, self.graph_of(batch))
        return Prediction(
            energy=energy.detach().cpu().numpy() + self._reference_energy(batch),
            forces=forces.detach().cpu().double().numpy(),
            failures={},
        )

    def graph_of(self, batch: StructureBatch) -> MoleculeGraph:
        """The input of the network for a batch, on its device."""
        import torch

        network_dtype = getattr(torch, self._traits.dtype)

        def on_device(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
            return torch.as_tensor(np.array(array), device=self._traits.device).to(dtype)

        return pack_graph(
            on_device(batch.atomic_numbers, torch.int64),
            on_device(batch.positions, network_dtype),
            on_device(batch.n_atoms, torch.int64),
            on_device(packed_neighbours(batch, self._cutoff), torch.int64),
            self._cutoff,
        )

    def _reference_energy(self, batch: StructureBatch) -> FloatArray:
        per_atom = self._reference[batch.atomic_numbers]
        return np.add.reduceat(per_atom, batch.offsets[:-1])
