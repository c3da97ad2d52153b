"""Measures, before the first step, how many steps fit into a time, so that the schedule depends on steps alone."""

import time
from typing import TYPE_CHECKING, Final

from dataset_builders.core.errors import UsageError
from harness.train.steps import Run, stream, take_step, validate

if TYPE_CHECKING:
    from torch import Tensor

TRIED_SHARE: Final = 0.02
"""Share of the budget for trial steps; at least `FEWEST_TRIED` are made."""
FEWEST_TRIED: Final = 5
MOST_TRIED: Final = 200
_MINUTE: Final = 60.0


def steps_within(run: Run, minutes: float) -> int:
    """The number of steps that fit into a time with all validations, at the current speed.

    It is measured with trial steps and one validation, after which the run is restored to its previous state.

    Args:
        run: A run before its first step.
        minutes: Wall-clock time of the run.

    Returns:
        1 or more.

    Raises:
        UsageError: If the validations alone take longer.
        ConvergenceError: If the loss or its gradient is not finite.
    """
    import torch

    before = _copied(run)
    with torch.random.fork_rng():
        per_step = _seconds_per_step(run, _MINUTE * minutes)
        began = time.monotonic()
        validate(run.averaged, run.data.validation, run.settings.cutoff, run.device)
        per_validation = time.monotonic() - began
    _put_back(run, before)
    validations = run.settings.validations
    left = _MINUTE * minutes - validations * per_validation
    if left < per_step:
        raise UsageError(
            f"--budget of {_MINUTE * minutes:g} s is too short: {validations} validations take "
            f"{validations * per_validation:.1f} s, and one step takes {per_step:.2g} s. Give more time, or fewer "
            "--validations"
        )
    return int(left / per_step)


def _seconds_per_step(run: Run, budget: float) -> float:
    """Mean time of a step, in s, excluding the first, in which libraries initialise."""
    n_tried, began = 0, 0.0
    for batch in stream(run):
        take_step(run, batch, 0.0)
        if not began:
            began = time.monotonic()
            continue
        n_tried += 1
        elapsed = time.monotonic() - began
        if n_tried >= MOST_TRIED or (n_tried >= FEWEST_TRIED and elapsed >= TRIED_SHARE * budget):
            return elapsed / n_tried
    raise AssertionError("batches never end")


def _copied(run: Run) -> "list[Tensor]":
    return [tensor.detach().clone() for tensor in _tensors(run)]


def _put_back(run: Run, before: "list[Tensor]") -> None:
    import torch

    with torch.no_grad():
        for tensor, value in zip(_tensors(run), before, strict=True):
            tensor.copy_(value)
    for parameter in run.network.parameters():
        parameter.grad = None
    # The moments of the trial steps; a new run has none.
    run.optimizer.state.clear()


def _tensors(run: Run) -> "list[Tensor]":
    return [tensor for network in (run.network, run.averaged) for tensor in (*network.parameters(), *network.buffers())]
