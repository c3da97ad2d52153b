"""ANI ensembles of TorchANI as networks that can be trained further."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from dataset_builders.errors import ModelError
from dataset_builders.units import HARTREE
from harness.checkpoints.graph import MoleculeGraph
from harness.potentials.torchani import ENSEMBLES, PADDING, assembled

if TYPE_CHECKING:
    from torch import Tensor


class AniNetwork(torch.nn.Module):
    """The mean of an ensemble of ANI networks, without self energies.

    Args:
        network: TorchANI's network.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        network.set_enabled("energy_shifter", False)
        self.ani = network

    def forward(self, graph: MoleculeGraph) -> "dict[str, Tensor]":
        """The energy of each atom, eV, shape (n_atoms_total,), as `local_energies`."""
        n_atoms = graph.ptr.diff()
        place = graph.batch, torch.arange(len(graph.Z), device=graph.Z.device) - graph.ptr[graph.batch]
        shape = len(n_atoms), int(n_atoms.max())
        species = graph.Z.new_full(shape, PADDING).index_put(place, graph.Z)
        coordinates = graph.R.new_zeros((*shape, 3)).index_put(place, graph.R)
        atomic = self.ani((species, coordinates), atomic=True).energies
        return {"local_energies": HARTREE * atomic[place]}


def build_ani(arguments: Mapping[str, Any]) -> AniNetwork:
    """An ensemble with random weights.

    Args:
        arguments: `ensemble`, the file name under which TorchANI publishes it, beside its cutoff and layers.

    Raises:
        ModelError: If there is no ensemble of that name.
    """
    name = str(arguments.get("ensemble"))
    if name not in ENSEMBLES:
        raise ModelError(f"arguments.ensemble is {name!r}; expected one of {' '.join(ENSEMBLES)}")
    return AniNetwork(assembled(ENSEMBLES[name]))


def ani_arguments(network: Any, name: str) -> dict[str, Any]:
    """What `build_ani` needs to build such an ensemble again.

    Args:
        network: TorchANI's network.
        name: File name under which TorchANI publishes it.
    """
    return {"ensemble": name, "layers": 1, "cutoff": float(network.cutoff)}
