"""Checks the network of a plug-in before training, and reports faults that would invalidate hours of training.

The network is built in double precision on the CPU, with random weights, and evaluated on a few training molecules that
contain every element of the task.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from dataset_builders.core.errors import MlipOodError, ModelError
from harness.compute.device import is_out_of_memory
from harness.networks.added import find_architecture
from harness.networks.checkpoint_format import symbol_of
from harness.networks.graph import MoleculeGraph
from harness.networks.networks import build_network
from harness.networks.tensors import load_tensors, network_tensors
from harness.train.gradient import loss_and_gradient, trained_parameters
from harness.train.packed_frames import LabelledGraph, PackedFrames, batches
from harness.train.settings import TrainSettings
from harness.train.steps import Run
from harness.train.task_data import TrainingData
from harness.trust.errors_of_others import cause_of, must_propagate

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

FRAMES: Final = 4
"""Number of frames, of different molecules; more if these do not contain every element."""

STEPS: Final = (1e-4, 1e-2)
"""Å. If a network computes internally in single precision, only the longer step resolves the slope of its energy."""

SLOPE: Final = 0.02
"""Maximum difference between energy slope and work of the forces, as a share of the length of the forces."""

FLAT: Final = 1e-9
"""eV/Å. Smaller forces and slopes belong to constant energies."""

ROUNDING: Final = 1e-5
"""Maximum difference between two equal atomic energies, as a share of the largest."""


def check_network(settings: TrainSettings, data: TrainingData) -> None:
    """Checks that a network can be trained and evaluated.

    Args:
        settings: Settings of the run.
        data: Frames of the run.

    Raises:
        ModelError: If it cannot be built, lacks an element, does not return the energies of atoms, has forces that
            are not the derivative of the energy, mixes molecules of a batch, gives other results when evaluated
            again, has nothing to train, or does not register its whole state as parameters and buffers.
    """
    import torch

    title = find_architecture(settings.architecture).title
    with torch.random.fork_rng(devices=[]):
        network, other = (_built(settings, data, seed) for seed in (1, 2))
        if not trained_parameters(network):
            raise ModelError(
                f"{title} has no trainable parameter: none requires a gradient. Register parameters as "
                "torch.nn.Parameter, and modules as attributes or in a ModuleList"
            )
        frames = _sample(data.train, settings.cutoff)
        energies = _energies_of_all(network, frames, title)
        _require_same(energies, _energies_of_all(network, frames, title), title, _AGAIN)
        _require_forces(network, frames, title)
        together = _energies_of(network, _packed(data.train, settings.cutoff, frames), title)
        _require_same(energies, together, title, _ALONE)
        _require_gradient(other, _packed(data.train, settings.cutoff, frames), settings.energy_weight, title)
        load_tensors(other.eval(), network_tensors(network))
        _require_same(energies, _energies_of_all(other, frames, title), title, _KEPT)


_AGAIN: Final = (
    "returns different energies on a second call with the same molecule. Keep no state between calls, and draw no "
    "random numbers in evaluation mode (self.training is False)"
)
_KEPT: Final = (
    "returns different energies after its tensors are loaded into a new network, as in an evaluation: part of its "
    "state is missing from its parameters and buffers. Register it"
)
_ALONE: Final = (
    "returns different energies for a molecule in a batch than alone. Sum over neighbours only within a molecule "
    "(graph.batch gives the molecule of each atom)"
)


@contextmanager
def naming_plugin(run: Run) -> Iterator[None]:
    """Adds the name of the plug-in to any error of its network; errors of this project's networks are unchanged.

    Raises:
        ModelError: If an error was raised; the state of the last validation is kept.
    """
    architecture = find_architecture(run.settings.architecture)
    try:
        yield
    except Exception as cause:
        if architecture.plugin is None or isinstance(cause, MlipOodError) or is_out_of_memory(cause):
            raise
        raise ModelError(
            f"training {architecture.title} failed at step {run.step}: {cause_of(cause)}. The state of the last "
            "validation is kept: correct the plug-in, and repeat the same command"
        ) from cause


def _built(settings: TrainSettings, data: TrainingData, seed: int) -> "Module":
    """A double-precision network in evaluation mode; zero weights, as a last layer may have, are perturbed."""
    import torch

    torch.manual_seed(seed)
    network = build_network(settings.architecture, settings.arguments, data.elements).double().eval()
    with torch.no_grad():
        for parameter in trained_parameters(network):
            if not parameter.any():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return network


@dataclass(frozen=True, slots=True)
class _Frame:
    """A training frame in double precision, as its own batch.

    Attributes:
        number: Index of the frame.
        graph: The batch.
    """

    number: int
    graph: MoleculeGraph

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers of its atoms."""
        return frozenset(self.graph.Z.tolist())


def _sample(frames: PackedFrames, cutoff: float) -> list[_Frame]:
    """A few frames of different molecules that together contain every element."""
    ends = np.cumsum(frames.n_atoms)
    chosen: list[int] = []
    unseen = set(np.unique(frames.atomic_numbers).tolist())
    compositions: set[tuple[int, ...]] = set()
    for frame, (start, end) in enumerate(zip(ends - frames.n_atoms, ends, strict=True)):
        composition = tuple(np.sort(frames.atomic_numbers[start:end]).tolist())
        if (composition not in compositions and len(chosen) < FRAMES) or unseen & set(composition):
            chosen.append(frame)
            compositions.add(composition)
            unseen -= set(composition)
    return [_Frame(number, _doubled(frames, cutoff, [number]).graph) for number in chosen]


def _packed(frames: PackedFrames, cutoff: float, chosen: Sequence[_Frame]) -> LabelledGraph:
    """Packs frames into one batch."""
    return _doubled(frames, cutoff, [frame.number for frame in chosen])


def _doubled(frames: PackedFrames, cutoff: float, numbers: Sequence[int]) -> LabelledGraph:
    (batch,) = batches(frames, np.array(numbers), len(numbers), cutoff, "cpu")
    return replace(batch, graph=batch.graph._replace(R=batch.graph.R.double()), forces=batch.forces.double())


def _energies_of_all(network: "Module", frames: Sequence[_Frame], title: str) -> "Tensor":
    """Energies of the atoms of all frames, concatenated.

    Raises:
        ModelError: If the network fails on a frame; elements that no other frame contains are named.
    """
    import torch

    parts: list[Tensor] = []
    failed: list[tuple[_Frame, Exception]] = []
    known: set[int] = set()
    for frame in frames:
        try:
            parts.append(network(frame.graph)["local_energies"].detach())
            known |= frame.elements
        except Exception as cause:
            if must_propagate(cause):
                raise
            failed.append((frame, cause))
    if failed:
        frame, first = failed[0]
        suspects = frame.elements - known or frame.elements
        raise ModelError(
            f"{title} fails on a molecule with {_symbols(suspects)}: {cause_of(first)}. Embed every element that "
            "`build` receives, and use only the fields of MoleculeGraph"
        ) from first
    return _finite(torch.cat(parts), title, "local_energies")


def _energies_of(network: "Module", batch: LabelledGraph, title: str) -> "Tensor":
    with _naming(title, "fails on a batch of several molecules"):
        energies: Tensor = network(batch.graph)["local_energies"].detach()
    return _finite(energies, title, "local_energies")


def _require_forces(network: "Module", frames: Sequence[_Frame], title: str) -> None:
    """Checks that the derivative from autograd is the slope of the energy."""
    import torch

    largest = 0.0
    for frame in frames:
        forces = _forces(network, frame.graph, title)
        for direction in (forces, torch.randn_like(forces)):
            along = direction / torch.linalg.vector_norm(direction).clamp_min(FLAT)
            work = float((forces * along).sum())
            slopes = [_slope(network, frame.graph, along, step) for step in STEPS]
            scale = max(float(torch.linalg.vector_norm(forces)), *map(abs, slopes))
            largest = max(largest, scale)
            if scale >= FLAT and all(abs(slope + work) > SLOPE * scale for slope in slopes):
                raise ModelError(
                    f"{title} has forces that are not the derivative of its energy: along one direction the force is "
                    f"{work:.4g} eV/Å, but the energy falls by {-slopes[0]:.4g} eV/Å. Compute energies from graph.R "
                    "with tensor operations only, without detach, no_grad, NumPy or rounding"
                )
    if largest < FLAT:
        raise ModelError(
            f"{title} has energies that do not depend on the positions, so it has no forces. Compute the distances of "
            "graph.neighbour_list from graph.R"
        )


def _forces(network: "Module", graph: MoleculeGraph, title: str) -> "Tensor":
    """Forces from autograd, eV/Å; zeros if the energy does not depend on the positions."""
    import torch

    positions = graph.R.clone().requires_grad_(True)
    with _naming(title, "has no derivative with respect to the positions"):
        energy = network(graph._replace(R=positions))["local_energies"].sum()
        found = torch.autograd.grad(energy, positions, allow_unused=True)[0] if energy.requires_grad else None
    return torch.zeros_like(positions) if found is None else -_finite(found, title, "forces")


def _slope(network: "Module", graph: MoleculeGraph, along: "Tensor", step: float) -> float:
    """Central difference of the energy, eV/Å, with fixed neighbours."""
    moved = [graph._replace(R=graph.R + side * step * along) for side in (1.0, -1.0)]
    above, below = (float(network(each)["local_energies"].detach().sum()) for each in moved)
    return (above - below) / (2.0 * step)


def _require_same(first: "Tensor", second: "Tensor", title: str, problem: str) -> None:
    difference, largest = float((first - second).abs().max()), float(first.abs().max())
    if not difference <= ROUNDING * largest:
        raise ModelError(f"{title} {problem} (atomic energies differ by up to {difference:.3g} eV)")


def _require_gradient(network: "Module", batch: LabelledGraph, energy_weight: float, title: str) -> None:
    """Checks that training steps are possible, and that they decrease the loss.

    Forces in the loss require second derivatives, which a custom operation may lack or silently omit.
    """
    import torch

    evaluate, parameters = loss_and_gradient(network, energy_weight), trained_parameters(network)
    with _naming(title, "cannot be trained on forces, which needs second derivatives"):
        network.train()
        evaluate(batch)
        network.eval()  # without dropout
        _, found = evaluate(batch)
    gradient = [torch.zeros_like(each) if part is None else part for each, part in zip(parameters, found, strict=True)]
    flat = _finite(torch.cat([part.flatten() for part in gradient]), title, "gradients of the loss")
    length = float(torch.linalg.vector_norm(flat))
    if length == 0.0:
        raise ModelError(f"{title} has energies that depend on none of its parameters; correct its forward")

    def loss_at(distance: float) -> float:
        """The loss at a distance along the gradient; the parameters are restored except for rounding."""
        for sign in (1.0, -1.0):
            with torch.no_grad():
                for parameter, part in zip(parameters, gradient, strict=True):
                    parameter.add_(part, alpha=sign * distance / length)
            if sign > 0.0:
                loss = float(evaluate(batch)[0])
        return loss

    slopes = [(loss_at(step) - loss_at(-step)) / (2.0 * step) for step in STEPS]
    if all(abs(slope - length) > SLOPE * length for slope in slopes):
        raise ModelError(
            f"{title} has wrong second derivatives: the gradient of the loss has the norm {length:.4g}, but along it "
            f"the loss changes by {slopes[0]:.4g}. Write custom backward functions with operations that PyTorch can "
            "differentiate again"
        )


def _finite(values: "Tensor", title: str, what: str) -> "Tensor":
    if not bool(values.isfinite().all()):
        count = int((~values.isfinite()).sum())
        raise ModelError(
            f"{title} has {what} that are not finite ({count} of {values.numel()}), with the weights from `build`. "
            "Look for roots of zero and divisions by zero, such as the distance of an atom from itself"
        )
    return values


@contextmanager
def _naming(title: str, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as cause:
        if must_propagate(cause):
            raise
        raise ModelError(f"{title} {what}: {cause_of(cause)}. Correct the plug-in") from cause


def _symbols(elements: Iterable[int]) -> str:
    return " ".join(symbol_of(number) for number in sorted(elements))
