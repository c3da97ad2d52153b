"""The training loop: energies and forces, a running mean of the weights, a schedule that anneals."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dataset_builders.core.errors import ConvergenceError
from harness.networks.compiling import compiled
from harness.networks.graph import energies_and_forces
from harness.networks.networks import build_network
from harness.networks.tensors import load_tensors, network_tensors
from harness.train.gradient import LossAndGradient, loss_and_gradient, trained_parameters
from harness.train.packed_frames import LabelledGraph, PackedFrames, batches
from harness.train.settings import TrainSettings
from harness.train.state import CurvePoint, SavedRun, read_state, write_state
from harness.train.task_data import TrainingData

if TYPE_CHECKING:
    import torch
    from torch.nn import Module

VALIDATION_BATCH: Final = 16
"""Frames of a validation batch; larger ones leave the cache of a CPU core."""


@dataclass(slots=True)
class Run:
    """A run in progress.

    Attributes:
        settings: Hyper-parameters.
        data: Frames.
        device: Where it computes.
        network: What the optimiser changes.
        averaged: The running mean of its weights, which is validated and saved.
        optimizer: Adam.
        loss_and_gradient: Of a batch, for `network`.
        identity: Settings and data, to tell whether a saved state belongs to this run.
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
        """Share of the run that is done, 0 to 1."""
        return self.fraction_at(self.step)

    def fraction_at(self, step: int) -> float:
        """Share of the run that is done after some steps, 0 to 1."""
        return min(1.0, step / self.n_steps) if self.n_steps else 0.0

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the training frames; frames that do not fill a batch wait for another order."""
        return max(1, self.data.train.n_frames // self.settings.batch_size)

    @property
    def best(self) -> CurvePoint:
        """The validation with the smallest force error."""
        return min(self.curve, key=lambda point: point.validation_force_mae)

    @property
    def has_stalled(self) -> bool:
        """Whether as many validations in a row as the settings allow brought no smaller force error."""
        patience = self.settings.patience
        return patience > 0 and bool(self.curve) and len(self.curve) - 1 - self.curve.index(self.best) >= patience

    @property
    def is_done(self) -> bool:
        """Whether its steps are spent, or it ended early."""
        return self.fraction >= 1.0 or self.has_stalled


def start_run(
    settings: TrainSettings,
    data: TrainingData,
    directory: Path,
    device: "torch.device",
    origin: Mapping[str, Any] | None = None,
    start: "Mapping[str, torch.Tensor] | None" = None,
) -> Run:
    """Builds the network, or goes on from the state that an interrupted run left in the folder.

    Args:
        settings: Hyper-parameters.
        data: Frames.
        directory: Folder of the run.
        device: Where it computes.
        origin: What else tells whether a saved state belongs to this run: a baseline, a model to start from.
        start: Tensors that the network begins with; random ones by default.

    Raises:
        DataError: If that state is corrupt.
        UsageError: If it belongs to other settings or data.
    """
    import torch

    torch.manual_seed(settings.seed)
    networks = [
        build_network(settings.architecture, settings.arguments, data.elements, traceable=settings.compile).to(device)
        for _ in range(2)
    ]
    network, averaged = networks
    if start is not None:
        load_tensors(network, start)
    averaged.load_state_dict(network.state_dict())
    averaged.eval().requires_grad_(False)
    optimizer = torch.optim.Adam(trained_parameters(network), lr=settings.learning_rate, fused=True)
    identity = {**settings.as_dict(), "task": data.task, "data": data.content_hash, **(origin or {})}
    del identity["compile"]  # it changes speed and rounding, so a run may go on with or without it
    function = loss_and_gradient(network, settings.energy_weight)
    if settings.compile:
        function = compiled(function, settings.architecture)
    run = Run(settings, data, device, network, averaged, optimizer, function, identity)
    saved = read_state(directory, identity)
    if saved is not None:
        _restore(run, saved)
    return run


def train(run: Run, directory: Path, on_step: Callable[[Run], None], on_validation: Callable[[Run], None]) -> None:
    """Trains until the steps are spent, or validations bring nothing any more.

    Args:
        run: A run of `start_run`; changed in place.
        directory: Where the state is saved after each validation.
        on_step: Called after each step.
        on_validation: Called after each validation, before the state is saved.

    Raises:
        ConvergenceError: If the loss or its gradient is no longer finite.
    """
    if run.settings.compile:
        # Before the clock starts, which tells how long the steps take.
        run.loss_and_gradient(next(stream(run)))
    if not run.n_steps:
        run.n_steps = planned_steps(run)
    began = time.monotonic() - (run.curve[-1].seconds if run.curve else 0.0)
    losses: list[float] = []
    for batch in stream(run):
        if run.is_done:
            break
        rate = learning_rate_at(run.fraction, run.settings)
        losses.append(take_step(run, batch, rate))
        run.step += 1
        on_step(run)
        validations = run.settings.validations
        if int(run.fraction * validations) > int(run.fraction_at(run.step - 1) * validations):
            _copy_buffers(run)
            force_mae, energy_mae = validate(run.averaged, run.data.validation, run.settings.cutoff, run.device)
            seconds = time.monotonic() - began
            run.curve.append(CurvePoint(run.step, seconds, rate, float(np.mean(losses)), force_mae, energy_mae))
            losses.clear()
            on_validation(run)
            write_state(directory, _saved(run))


def _copy_buffers(run: Run) -> None:
    """Gives the running mean what the network counted while it trained, such as the statistics of a normalisation."""
    for mean, current in zip(run.averaged.buffers(), run.network.buffers(), strict=True):
        mean.copy_(current)


def learning_rate_at(fraction: float, settings: TrainSettings) -> float:
    """The schedule: a linear rise, then half a cosine down to a small share of the peak.

    Args:
        fraction: Share of the run that is done, 0 to 1.
        settings: Peak, length of the rise and final share.
    """
    rise = min(1.0, (fraction + 1e-3) / settings.warmup_fraction)
    fall = 0.5 * (1.0 + math.cos(math.pi * fraction))
    return settings.learning_rate * rise * (settings.final_fraction + (1.0 - settings.final_fraction) * fall)


def validate(network: "Module", frames: PackedFrames, cutoff: float, device: "torch.device") -> tuple[float, float]:
    """Mean absolute error of force components (eV/Å) and of the energy per atom (eV)."""
    force_error, energy_error = 0.0, 0.0
    for batch in batches(frames, np.arange(frames.n_frames), VALIDATION_BATCH, cutoff, device):
        energy, forces = energies_and_forces(network, batch.graph)
        force_error += float((forces - batch.forces).abs().double().sum())
        energy_error += float(((energy.detach() - batch.energy).abs() / batch.n_atoms).sum())
    return force_error / (3 * len(frames.atomic_numbers)), energy_error / frames.n_frames


def stream(run: Run) -> Iterator[LabelledGraph]:
    """Batches without end, from the step that the run stands at."""
    settings, frames = run.settings, run.data.train
    epoch, position = divmod(run.step, run.steps_per_epoch)
    while True:
        # Each epoch has a generator of its own, so that a resumed run sees the order it would have seen.
        order = np.random.default_rng([settings.seed, epoch]).permutation(frames.n_frames)
        rest = order[position * settings.batch_size : run.steps_per_epoch * settings.batch_size]
        yield from batches(frames, rest, settings.batch_size, settings.cutoff, run.device)
        epoch, position = epoch + 1, 0


def take_step(run: Run, batch: LabelledGraph, learning_rate: float) -> float:
    """Changes the weights and their running mean by one batch, and gives its loss.

    Args:
        run: The run; its count of steps is left to the caller.
        batch: Frames.
        learning_rate: Of this step.

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
            f"training diverged at step {run.step}: loss {float(loss)}, length of its gradient {float(norm)}; "
            f"expected finite numbers. Lower --learning-rate (it was {run.settings.learning_rate})"
        )
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate
    run.optimizer.step()
    # A mean over few steps at first, so that the random weights of the start are soon forgotten.
    decay = min(run.settings.ema_decay, (1.0 + run.step) / (10.0 + run.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(run.averaged.parameters()), list(run.network.parameters()), 1.0 - decay)
    return float(loss)


def planned_steps(run: Run) -> int:
    """The length of a run that has just begun, in steps; of a budget, as many as `pace` measures."""
    settings = run.settings
    if settings.epochs is not None:
        return settings.epochs * run.steps_per_epoch
    if settings.steps is not None:
        return settings.steps
    from harness.train.pace import steps_within

    assert settings.budget_minutes is not None
    return steps_within(run, settings.budget_minutes)


def _saved(run: Run) -> SavedRun:
    tensors = {f"network/{name}": tensor for name, tensor in network_tensors(run.network).items()}
    tensors |= {f"averaged/{name}": tensor for name, tensor in network_tensors(run.averaged).items()}
    for name, parameter in run.network.named_parameters():
        # A parameter that no energy depends on, such as of an element that does not occur, has no moments.
        for key, tensor in run.optimizer.state.get(parameter, {}).items():
            tensors[f"adam/{key}/{name}"] = tensor
    return SavedRun(run.identity, tuple(run.curve), run.n_steps, tensors)


def _restore(run: Run, saved: SavedRun) -> None:
    for prefix, network in (("network/", run.network), ("averaged/", run.averaged)):
        for name, tensor in network_tensors(network).items():
            tensor.copy_(saved.tensors[prefix + name])
    for name, parameter in run.network.named_parameters():
        if f"adam/step/{name}" in saved.tensors:
            run.optimizer.state[parameter] = {
                key: saved.tensors[f"adam/{key}/{name}"].to(run.device) for key in ("step", "exp_avg", "exp_avg_sq")
            }
    run.curve = list(saved.curve)
    run.step = saved.curve[-1].step
    run.n_steps = saved.n_steps
