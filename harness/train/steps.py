"""A run in progress, and its step: take a batch, update the weights, validate."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dataset_builders.core.errors import ConvergenceError
from harness.networks.graph import energies_and_forces
from harness.train.gradient import LossAndGradient, trained_parameters
from harness.train.packed_frames import LabelledGraph, PackedFrames, batches
from harness.train.settings import TrainSettings
from harness.train.state import CurvePoint
from harness.train.task_data import TrainingData

if TYPE_CHECKING:
    import torch
    from torch.nn import Module

VALIDATION_BATCH: Final = 16
"""Frames per validation batch; larger batches do not fit the cache of a CPU core."""


@dataclass(slots=True)
class Run:
    """A run in progress.

    Attributes:
        settings: Hyper-parameters.
        data: Frames.
        device: Device for training.
        network: The network that the optimiser updates.
        averaged: The running mean of its weights, which is validated and saved.
        optimizer: Adam.
        loss_and_gradient: Loss and gradient of a batch, for `network`.
        identity: Settings and data, which show whether a saved state belongs to this run.
        curve: Validations so far.
        step: Optimiser steps so far.
        n_steps: Steps of the whole run, which the schedule spans; 0 until they are known.
    """

    settings: TrainSettings
    data: TrainingData
    device: "torch.device"
    network: "Module"
    averaged: "Module"
    optimizer: "torch.optim.Adam"
    loss_and_gradient: LossAndGradient
    identity: dict[str, Any]
    curve: list[CurvePoint] = field(default_factory=list)
    step: int = 0
    n_steps: int = 0

    @property
    def fraction(self) -> float:
        """Completed share of the run, 0 to 1."""
        return self.fraction_at(self.step)

    def fraction_at(self, step: int) -> float:
        """Completed share of the run after a number of steps, 0 to 1."""
        return min(1.0, step / self.n_steps) if self.n_steps else 0.0

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the training frames; frames of an incomplete last batch are left out of that pass."""
        return max(1, self.data.train.n_frames // self.settings.batch_size)

    @property
    def best(self) -> CurvePoint:
        """The validation with the smallest force error."""
        return min(self.curve, key=lambda point: point.validation_force_mae)

    @property
    def has_stalled(self) -> bool:
        """Whether as many validations in a row as `patience` allows brought no smaller force error."""
        patience = self.settings.patience
        return patience > 0 and bool(self.curve) and len(self.curve) - 1 - self.curve.index(self.best) >= patience

    @property
    def is_done(self) -> bool:
        """Whether all steps are done, or the run ended early."""
        return self.fraction >= 1.0 or self.has_stalled


def validate(network: "Module", frames: PackedFrames, cutoff: float, device: "torch.device") -> tuple[float, float]:
    """Mean absolute error of force components (eV/Å) and of the energy per atom (eV)."""
    force_error, energy_error = 0.0, 0.0
    for batch in batches(frames, np.arange(frames.n_frames), VALIDATION_BATCH, cutoff, device):
        energy, forces = energies_and_forces(network, batch.graph)
        force_error += float((forces - batch.forces).abs().double().sum())
        energy_error += float(((energy.detach() - batch.energy).abs() / batch.n_atoms).sum())
    return force_error / (3 * len(frames.atomic_numbers)), energy_error / frames.n_frames


def stream(run: Run) -> Iterator[LabelledGraph]:
    """Yields batches endlessly, starting at the current step of the run."""
    settings, frames = run.settings, run.data.train
    epoch, position = divmod(run.step, run.steps_per_epoch)
    while True:
        # Each epoch has its own generator, so that a resumed run repeats the original order.
        order = np.random.default_rng([settings.seed, epoch]).permutation(frames.n_frames)
        rest = order[position * settings.batch_size : run.steps_per_epoch * settings.batch_size]
        yield from batches(frames, rest, settings.batch_size, settings.cutoff, run.device)
        epoch, position = epoch + 1, 0


def take_step(run: Run, batch: LabelledGraph, learning_rate: float) -> float:
    """Updates the weights and their running mean with one batch, and returns its loss.

    Args:
        run: The run; the caller updates its step count.
        batch: Labelled frames.
        learning_rate: Rate of this step.

    Raises:
        ConvergenceError: If the loss or its gradient is not finite.
    """
    import torch

    parameters = trained_parameters(run.network)
    loss, gradient = run.loss_and_gradient(batch)
    for parameter, part in zip(parameters, gradient, strict=True):
        parameter.grad = part
    norm = torch.nn.utils.clip_grad_norm_(parameters, run.settings.max_gradient_norm)
    if not math.isfinite(float(loss) + float(norm)):
        raise ConvergenceError(
            f"training diverged at step {run.step}: loss {float(loss)}, gradient norm {float(norm)}; "
            f"expected finite numbers. Lower --learning-rate (it was {run.settings.learning_rate})"
        )
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate
    run.optimizer.step()
    # The mean starts over few steps, so that it soon forgets the random initial weights.
    decay = min(run.settings.ema_decay, (1.0 + run.step) / (10.0 + run.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(run.averaged.parameters()), list(run.network.parameters()), 1.0 - decay)
    return float(loss)
