"""Whether the training of a checkpoint was completed or stopped early."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dataset_builders.core.errors import ModelError

_CONFIG_FILE: Final = "config.json"

STATE_FILE: Final = "training_state.safetensors"
"""The state from which a stopped training resumes; it lies beside the checkpoint until training is complete."""

FINISHED: Final = "finished"
"""Key of `training` in a config; checkpoints of earlier releases lack it."""

UNFINISHED: Final = "unfinished"
"""Marks, in tables, a model whose training was stopped early."""

_MINUTE: Final = 60.0
_ROUNDING: Final = 0.1
"""Seconds by which rounding may shorten a wall-clock time in a config."""


def require_finished(directory: Path, training: Mapping[str, Any], *, allow_unfinished: bool = False) -> str | None:
    """Checks that a training was completed, so that a partly trained model is not mistaken for a finished one.

    Args:
        directory: Checkpoint folder.
        training: Training record of its config.
        allow_unfinished: Whether to accept a stopped training.

    Returns:
        The progress of a stopped training, if that is allowed; else `None`.

    Raises:
        ModelError: If the training was stopped, or is still running, and that is not allowed.
    """
    found = training_progress(directory, training)
    if found is None or allow_unfinished:
        return found
    raise ModelError(
        f"{directory} is an unfinished model: its training was stopped or is still running ({found}). Resume it with "
        "the command that started it, or evaluate it as it is with --allow-unfinished, which the result records"
    )


def holds_finished_checkpoint(directory: Path) -> bool:
    """Whether a folder holds a checkpoint that no further training would complete.

    The state of a training is written after the checkpoint of the same step. If the process is killed between the two,
    or the disk is full, there is a config without a state, which says that it is not finished: that training starts
    anew.

    Args:
        directory: Checkpoint folder.
    """
    path = directory / _CONFIG_FILE
    if not path.exists() or (directory / STATE_FILE).exists():
        return False
    try:
        training = json.loads(path.read_text(encoding="utf-8"))["training"]
        return bool(training.get(FINISHED) is not False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # A config that is not of this project may be somebody's finished work.
        return True


def training_progress(directory: Path, training: Mapping[str, Any]) -> str | None:
    """The progress of a training that was stopped; `None` for a completed one.

    A checkpoint of an earlier release counts as complete if no training state lies beside it and it has reached the
    number of steps or, if its learning rate followed the clock, the time in its settings.
    """
    finished = training.get(FINISHED)
    if finished is True:
        return None
    if finished is None and not (directory / STATE_FILE).exists() and not _is_incomplete(training):
        return None
    done, planned = _number(training, "steps"), _planned_steps(training)
    if done is None:
        return "it does not state after how many steps"
    return f"weights of step {done:,.0f}" + ("" if planned is None else f" of {planned:,.0f}")


def follows_the_clock(training: Mapping[str, Any]) -> bool:
    """Whether the learning rate followed the clock, as in earlier releases with a time budget.

    Args:
        training: Training record of a config, or of a study.
    """
    return _number(_settings(training), "budget_minutes") is not None and _number(training, "planned_steps") is None


def _is_incomplete(training: Mapping[str, Any]) -> bool:
    if training.get("ended_early") is True:
        return False
    steps, planned = _number(training, "steps"), _planned_steps(training)
    if steps is not None and planned is not None:
        return steps < planned
    seconds, minutes = _number(training, "wall_time_s"), _number(_settings(training), "budget_minutes")
    return seconds is not None and minutes is not None and seconds < _MINUTE * minutes - _ROUNDING


def _planned_steps(training: Mapping[str, Any]) -> float | None:
    settings = _settings(training)
    stated = _number(training, "planned_steps") or _number(settings, "steps")
    if stated is not None:
        return stated
    epochs, n_frames = _number(settings, "epochs"), _number(training, "n_frames")
    batch = _number(settings, "batch_size")
    if epochs is None or n_frames is None or not batch:
        return None
    return epochs * max(1.0, n_frames // batch)


def _settings(training: Mapping[str, Any]) -> Mapping[str, Any]:
    settings = training.get("settings")
    return settings if isinstance(settings, dict) else {}


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
