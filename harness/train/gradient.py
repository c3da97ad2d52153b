"""The loss of a batch and its gradient, computed operation by operation or as one compiled function."""

import os
import shutil
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from dataset_builders.errors import SetupError, UsageError
from harness.checkpoints.format import Architecture, Foundation
from harness.checkpoints.graph import energies_and_forces
from harness.train.frames import LabelledGraph

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

LossAndGradient: TypeAlias = "Callable[[LabelledGraph], tuple[Tensor, Sequence[Tensor | None]]]"
"""Loss (a scalar) and its gradient by each trained parameter, `None` where it does not depend on it."""

COMPILABLE: Final[tuple[Architecture, ...]] = ("PaiNN", "SchNet")
"""Networks in plain PyTorch; NequIP and MACE hold TorchScript of e3nn, which the compiler does not take."""


def trained_parameters(network: "Module") -> "list[Parameter]":
    """The parameters that training changes; a few of MACE are constants."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def loss_of(energy: "Tensor", forces: "Tensor", batch: LabelledGraph, energy_weight: float) -> "Tensor":
    """Mean length of the force error over atoms plus the weighted mean energy error per atom over frames.

    Absolute errors, not squared ones, since absolute errors are what is reported; the length and not
    the components, so that the loss does not depend on the orientation of a molecule.

    Args:
        energy: Shape (n_structures,), float64, eV.
        forces: Shape (n_atoms_total, 3), eV/Å.
        batch: The labels.
        energy_weight: Of an error of 1 eV per atom beside one of 1 eV/Å.
    """
    import torch

    force_error = torch.linalg.vector_norm(forces - batch.forces, dim=1).mean()
    energy_error = ((energy - batch.energy).abs() / batch.n_atoms).mean()
    loss: Tensor = force_error + energy_weight * energy_error.to(force_error.dtype)
    return loss


def loss_and_gradient(network: "Module", energy_weight: float) -> LossAndGradient:
    """The function that training differentiates: second derivatives of the energy are taken in it."""
    import torch

    parameters = trained_parameters(network)

    def evaluate(batch: LabelledGraph) -> "tuple[Tensor, Sequence[Tensor | None]]":
        energy, forces = energies_and_forces(network, batch.graph, create_graph=True)
        loss = loss_of(energy, forces, batch, energy_weight)
        gradient = torch.autograd.grad(loss, parameters, allow_unused=True)
        return loss.detach(), [None if part is None else part.detach() for part in gradient]

    return evaluate


def can_compile() -> bool:
    """Whether this PyTorch can compile a function that takes derivatives, and finds what it needs on a CPU."""
    import torch

    has_compiler = shutil.which(os.environ.get("CXX", "g++")) is not None
    has_headers = (Path(sysconfig.get_path("include")) / "Python.h").is_file()
    return has_compiler and has_headers and hasattr(torch._dynamo.config, "trace_autograd_ops")


def compiled(
    function: LossAndGradient,
    architecture: Architecture | Foundation,
    backend: Literal["inductor", "aot_eager"] = "inductor",
) -> LossAndGradient:
    """Compiles the whole function, both derivatives included, into fused loops.

    A step of a small network on a CPU is bound by memory traffic between many small operations:
    compiled it took a quarter of the time (PaiNN, 64 channels, 4 frames: 37 ms against 150 ms of one
    core, torch 2.13). Compiling takes some minutes, once for a run.

    Args:
        function: Of `loss_and_gradient`.
        architecture: Network that it evaluates.
        backend: `aot_eager` traces both derivatives but runs the operations one by one, to check the tracing.

    Raises:
        UsageError: If the network cannot be compiled.
        SetupError: If this PyTorch cannot compile a function that takes derivatives.
    """
    import torch

    if architecture not in COMPILABLE:
        raise UsageError(
            f"--compile does not work for {architecture}, only for {' and '.join(COMPILABLE)}; leave it out"
        )
    if not hasattr(torch._dynamo.config, "trace_autograd_ops"):
        raise SetupError(f"--compile needs PyTorch 2.13 or newer, this is {torch.__version__}; leave it out")
    torch._dynamo.config.trace_autograd_ops = True
    # The sizes of batches differ, and one function must serve them all; a part that cannot be compiled is an error.
    result: LossAndGradient = torch.compile(function, dynamic=True, fullgraph=True, backend=backend)
    return result
