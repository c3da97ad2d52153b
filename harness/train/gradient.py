"""The loss of a batch and its gradient."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from harness.networks.graph import energies_and_forces
from harness.train.packed_frames import LabelledGraph

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

LossAndGradient: TypeAlias = "Callable[[LabelledGraph], tuple[Tensor, Sequence[Tensor | None]]]"
"""Loss (a scalar) and its gradient for each trained parameter; `None` for parameters that it does not depend on."""


def trained_parameters(network: "Module") -> "list[Parameter]":
    """The parameters that training changes; some of MACE are constants."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def loss_of(energy: "Tensor", forces: "Tensor", batch: LabelledGraph, energy_weight: float) -> "Tensor":
    """Mean length of the force error over atoms plus the weighted mean energy error per atom over frames.

    Errors are absolute, not squared, since absolute errors are reported. The length of the error is used
    instead of its components, so that the loss does not depend on the orientation of a molecule.

    Args:
        energy: Shape (n_structures,), float64, eV.
        forces: Shape (n_atoms_total, 3), eV/Å.
        batch: The labels.
        energy_weight: Weight of an error of 1 eV per atom relative to one of 1 eV/Å.
    """
    import torch

    force_error = torch.linalg.vector_norm(forces - batch.forces, dim=1).mean()
    energy_error = ((energy - batch.energy).abs() / batch.n_atoms).mean()
    loss: Tensor = force_error + energy_weight * energy_error.to(force_error.dtype)
    return loss


def loss_and_gradient(network: "Module", energy_weight: float) -> LossAndGradient:
    """The function that computes loss and gradient; it takes second derivatives of the energy."""
    import torch

    parameters = trained_parameters(network)

    def evaluate(batch: LabelledGraph) -> "tuple[Tensor, Sequence[Tensor | None]]":
        energy, forces = energies_and_forces(network, batch.graph, create_graph=True)
        loss = loss_of(energy, forces, batch, energy_weight)
        gradient = torch.autograd.grad(loss, parameters, allow_unused=True)
        return loss.detach(), [None if part is None else part.detach() for part in gradient]

    return evaluate
