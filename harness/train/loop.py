"""The training loop: energies and forces, a running mean of the weights, a decaying learning rate."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.networks.compiling import compiled
from harness.networks.networks import build_network
from harness.networks.tensors import load_tensors, network_tensors
from harness.train.gradient import loss_and_gradient, trained_parameters
from harness.train.settings import TrainSettings
from harness.train.state import CurvePoint, SavedRun, read_state, write_state
from harness.train.steps import Run, stream, take_step, validate
from harness.train.task_data import TrainingData

if TYPE_CHECKING:
    import torch


def start_run(
    settings: TrainSettings,
    data: TrainingData,
    directory: Path,
    device: "torch.device",
    origin: Mapping[str, Any] | None = None,
    start: "Mapping[str, torch.Tensor] | None" = None,
) -> Run:
    """Builds the network, or resumes from the state that an interrupted run left in the folder.

    Args:
        settings: Hyper-parameters.
        data: Frames.
        directory: Run folder.
        device: Device for training.
        origin: Further properties that identify the run: a baseline, an initial model.
        start: Initial tensors of the network; random by default.

    Raises:
        DataError: If that state is corrupt.
        UsageError: If it belongs to a run with other settings or data.
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
    del identity["compile"]  # it changes speed and rounding only, so a run may be resumed with or without it
    function = loss_and_gradient(network, settings.energy_weight)
    if settings.compile:
        function = compiled(function, settings.architecture)
    run = Run(settings, data, device, network, averaged, optimizer, function, identity)
    saved = read_state(directory, identity)
    if saved is not None:
        _restore(run, saved)
    return run


def train(run: Run, directory: Path, on_step: Callable[[Run], None], on_validation: Callable[[Run], None]) -> None:
    """Trains until all steps are done, or validations stop improving.

    Args:
        run: A run from `start_run`; changed in place.
        directory: Folder in which the state is saved after each validation.
        on_step: Called after each step.
        on_validation: Called after each validation, before the state is saved.

    Raises:
        ConvergenceError: If the loss or its gradient is no longer finite.
    """
    if run.settings.compile:
        # Done before the clock starts, since it measures how long the steps take.
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
    """Copies buffers that the network updates in training, such as normalisation statistics, to the running mean."""
    for mean, current in zip(run.averaged.buffers(), run.network.buffers(), strict=True):
        mean.copy_(current)


def learning_rate_at(fraction: float, settings: TrainSettings) -> float:
    """The schedule: a linear rise, then a half cosine down to a small share of the peak.

    Args:
        fraction: Completed share of the run, 0 to 1.
        settings: Peak, length of the rise and final share.
    """
    rise = min(1.0, (fraction + 1e-3) / settings.warmup_fraction)
    fall = 0.5 * (1.0 + math.cos(math.pi * fraction))
    return settings.learning_rate * rise * (settings.final_fraction + (1.0 - settings.final_fraction) * fall)


def planned_steps(run: Run) -> int:
    """The length of a new run, in steps; for a time budget, `pace` measures it."""
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
        # A parameter that no energy depends on, such as one of an absent element, has no moments.
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
