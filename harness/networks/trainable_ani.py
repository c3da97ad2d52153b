"""Networks of TorchANI ensembles, prepared for further training.

Only the first network of an ensemble is trained: a step of all eight takes six times as long (210 instead of 37 ms on
one CPU core for 8 molecules). Before any training, the first network alone has nearly the error of the ensemble on
the mini edition (170.9 and 170.6 meV/Å on `validation` of task2).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from dataset_builders.core.errors import ModelError
from dataset_builders.core.units import HARTREE
from harness.networks.ani_ensembles import ENSEMBLES, PADDING, assembled
from harness.networks.graph import MoleculeGraph

if TYPE_CHECKING:
    from torch import Tensor


class AniNetwork(torch.nn.Module):
    """The first network of an ensemble, without self-energies.

    Args:
        ensemble: TorchANI's ensemble.
    """

    def __init__(self, ensemble: Any) -> None:
        super().__init__()
        self.ani = ensemble[0]
        self.ani.set_enabled("energy_shifter", False)

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
    """The first network of an ensemble, with random weights.

    Args:
        arguments: `ensemble`, the file name that TorchANI publishes, beside its cutoff and layers.

    Raises:
        ModelError: If there is no ensemble of that name.
    """
    name = str(arguments.get("ensemble"))
    if name not in ENSEMBLES:
        raise ModelError(f"arguments.ensemble is {name!r}; expected one of {' '.join(ENSEMBLES)}")
    return AniNetwork(assembled(ENSEMBLES[name]))


def ani_arguments(ensemble: Any, name: str) -> dict[str, Any]:
    """The arguments with which `build_ani` rebuilds such a network.

    Args:
        ensemble: TorchANI's ensemble.
        name: File name that TorchANI publishes.
    """
    return {"ensemble": name, "layers": 1, "cutoff": float(ensemble.cutoff)}
