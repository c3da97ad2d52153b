"""The record of a run in its checkpoint."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from dataset_builders.core.place_names import place_name
from harness.compute.arithmetic import deciding_variables, precision_in_use
from harness.networks.added import find_architecture
from harness.networks.checkpoint_format import BaselineName, CheckpointConfig, PluginRecord, receptive_field
from harness.networks.finished import FINISHED
from harness.train.data_source import TrainingSource
from harness.train.steps import Run

DTYPE: Final = "float32"
"""Precision of training and of the saved weights."""

LOSS: Final = "mean length of the force error (eV/Å) + energy_weight x mean |energy error| per atom (eV)"

KEPT: Final = "validations"
"""Folder of the checkpoints of all validations, inside that of the best one."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a run, apart from its settings.

    Attributes:
        source: Location of the frames.
        baseline: Physics method that the network corrects.
        started_from: Record of the model that provides the initial weights.
        zero_shot: Validation errors of that model after the energy shift: force, eV/Å, and energy per atom, eV.
    """

    source: TrainingSource
    baseline: BaselineName | None = None
    started_from: Mapping[str, Any] | None = None
    zero_shot: tuple[float, float] | None = None


def config_of(run: Run, origin: Origin) -> CheckpointConfig:
    """The checkpoint config of the weights of the last validation, whose errors it states as `best_validation`."""
    data = run.data
    settings = run.settings.as_dict()
    for name in ("architecture", "arguments"):
        del settings[name]
    config = CheckpointConfig(
        architecture=run.settings.architecture,
        arguments=run.settings.arguments,
        elements=data.elements,
        reference_energies=data.reference_energies,
        dtype=DTYPE,
        trained_on=data.task,
        protocol="from-scratch" if origin.started_from is None else "fine-tuned",
        level_of_theory=data.level_of_theory,
        training={
            "settings": settings,
            "optimizer": "Adam",
            "schedule": "linear rise, then half a cosine, over planned_steps",
            "loss": LOSS,
            "dataset": place_name(origin.source.id),
            "dataset_revision": origin.source.revision,
            "edition": data.edition,
            "data_hash": data.content_hash,
            "n_molecules": data.n_molecules,
            "n_frames": data.train.n_frames,
            "n_validation_frames": data.validation.n_frames,
            "reference_rank": data.reference_rank,
            "zero_shot_validation": _zero_shot(origin),
            "best_validation": asdict(run.curve[-1]),
            **effort(run),
            "device": str(run.device),
            "precision": precision_in_use(),
            "variables": deciding_variables(os.environ),
            "versions": {},
            **data.declaration,
        },
        baseline=origin.baseline,
        started_from=origin.started_from,
        plugin=_plugin(run),
    )
    computes_with = find_architecture(config.architecture).computes_with
    config.training["versions"].update({name: version(name) for name in (*computes_with, "numpy")})
    return config


def kept_checkpoint(directory: Path, step: int) -> Path:
    """The folder of the checkpoint of one validation, for a training that keeps all of them.

    Args:
        directory: Folder of the training.
        step: Optimiser steps before the validation.
    """
    return directory / KEPT / f"{step:08d}"


def _plugin(run: Run) -> PluginRecord | None:
    found = find_architecture(run.settings.architecture).plugin
    if found is None:
        return None
    field = receptive_field(run.settings.architecture, run.settings.arguments)
    return PluginRecord(found.package, found.version, field)


def effort(run: Run, *, is_finished: bool = False) -> dict[str, Any]:
    """The cost of a run so far, and whether it is complete."""
    return {
        FINISHED: is_finished,
        "steps": run.step,
        "planned_steps": run.n_steps,
        "epochs_done": round(run.step / run.steps_per_epoch, 2),
        "wall_time_s": round(run.curve[-1].seconds, 1),
        "ended_early": run.has_stalled,
    }


def _zero_shot(origin: Origin) -> dict[str, float] | None:
    if origin.zero_shot is None:
        return None
    force_mae, energy_mae = origin.zero_shot
    return {"validation_force_mae": force_mae, "validation_energy_mae": energy_mae}
