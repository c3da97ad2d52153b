"""A plug-in's network whose output is checked before use."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import torch

from dataset_builders.core.errors import ModelError
from harness.networks.graph import MoleculeGraph

if TYPE_CHECKING:
    from torch import Tensor

_EXPECTED: Final = "expected {'local_energies': tensor}, the energy of each atom in eV"


class AddedNetwork(torch.nn.Module):
    """A module of a plug-in.

    Args:
        network: The module.
        title: Name of its architecture in messages.
    """

    def __init__(self, network: torch.nn.Module, title: str) -> None:
        super().__init__()
        self.network = network
        self._title = title

    def forward(self, graph: MoleculeGraph) -> "dict[str, Tensor]":
        """The energy of each atom, eV, shape (n_atoms_total,), as `local_energies`.

        Raises:
            ModelError: If the module returns anything else.
        """
        output = self.network(graph)
        problem = _problem(output, graph)
        if problem is not None:
            raise ModelError(f"{self._title} returns {problem}. Correct its forward")
        return {"local_energies": output["local_energies"].view(-1)}


def _problem(output: Any, graph: MoleculeGraph) -> str | None:
    """What is wrong with the output of a module; `None` if it is valid."""
    if not isinstance(output, Mapping):
        return f"a {type(output).__name__}; {_EXPECTED}"
    if "local_energies" not in output:
        return f"a dictionary with the keys {sorted(map(str, output))}; {_EXPECTED}"
    if "forces" in output:
        return "forces; expected energies only, since the harness computes forces as their derivative"
    return _problem_of_energies(output["local_energies"], graph)


def _problem_of_energies(energies: Any, graph: MoleculeGraph) -> str | None:
    if not isinstance(energies, torch.Tensor):
        return f"a {type(energies).__name__} as local_energies; {_EXPECTED}"
    shape = tuple(energies.shape)
    if shape not in ((len(graph.Z),), (len(graph.Z), 1)):
        return f"local_energies of shape {shape} for {len(graph.Z)} atoms; expected one energy for each atom"
    if energies.dtype != graph.R.dtype or energies.device != graph.R.device:
        return (
            f"local_energies in {energies.dtype} on {energies.device}; expected the type and device of the positions, "
            f"{graph.R.dtype} on {graph.R.device}"
        )
    return None
