"""Whether the training of a checkpoint came to its end, or was stopped on the way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dataset_builders.core.errors import ModelError

STATE_FILE: Final = "training_state.safetensors"
"""What a training that was stopped goes on from; it lies beside its checkpoint until its end."""

FINISHED: Final = "finished"
"""Key of `training` in a config; checkpoints of earlier releases do not have it."""

UNFINISHED: Final = "unfinished"
"""What stands in tables beside a model whose training was stopped before its end."""

_MINUTE: Final = 60.0
_ROUNDING: Final = 0.1
"""Seconds by which a wall-clock time in a config may fall short of the true one."""


def require_finished(directory: Path, training: Mapping[str, Any], *, allow_unfinished: bool = False) -> str | None:
    """Checks that a training came to its end, so that nothing half trained passes for a model.

    Args:
        directory: Checkpoint folder.
        training: What its config says of the training.
        allow_unfinished: Whether another one is taken as it is.

    Returns:
        How far the training had come, where it was stopped and that is allowed; else `None`.

    Raises:
        ModelError: If it was stopped, or still runs, and that is not allowed.
    """
    found = how_far(directory, training)
    if found is None or allow_unfinished:
        return found
    raise ModelError(
        f"{directory} is no finished model: its training was stopped or still runs ({found}). Go on with the command "
        "that began it, which continues where it stopped; or evaluate it as it is with --allow-unfinished, which the "
        "result then says"
    )


def how_far(directory: Path, training: Mapping[str, Any]) -> str | None:
    """How far a training had come that was stopped; `None` for one that came to its end.

    A checkpoint of an earlier release counts as finished if nothing of a training lies beside it and it has the steps
    or, where its learning rate followed the clock, the time that its settings ask for.
    """
    finished = training.get(FINISHED)
    if finished is True:
        return None
    if finished is None and not (directory / STATE_FILE).exists() and not _falls_short(training):
        return None
    done, planned = _number(training, "steps"), _planned_steps(training)
    if done is None:
        return "it does not say after how many steps"
    return f"weights of step {done:,.0f}" + ("" if planned is None else f" of {planned:,.0f}")


def follows_the_clock(training: Mapping[str, Any]) -> bool:
    """Whether the learning rate of a training followed the clock, as in earlier releases where a time was asked for.

    Args:
        training: What a config, or the record of a study, says of the training.
    """
    return _number(_settings(training), "budget_minutes") is not None and _number(training, "planned_steps") is None


def _falls_short(training: Mapping[str, Any]) -> bool:
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
