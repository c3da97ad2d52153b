"""The initial model of a training."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.place_names import place_name
from dataset_builders.core.units import HARTREE
from dataset_builders.tasks.regions import DECLARATION, Task
from dataset_builders.tasks.task_document import declaration_of, task_of_checkpoint
from harness.core.potential import LoadOptions, PotentialTraits
from harness.core.training_record import TrainingRecord, read_training_record
from harness.models.registry import ModelSource
from harness.models.resolve import resolve_model
from harness.networks.architecture import NetworkArguments
from harness.networks.checkpoint_format import (
    BaselineName,
    CheckpointConfig,
    file_hashes,
    read_config,
    read_tensors,
    symbol_of,
)
from harness.networks.finished import require_finished
from harness.networks.graph import energies_and_forces
from harness.networks.networks import build_network, require_plugin
from harness.networks.tensors import load_tensors, network_tensors
from harness.train.packed_frames import batches
from harness.train.steps import validate
from harness.train.task_data import TrainingData, shifted

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DECLARATIONS: Final = "tasks"
"""Key of the declarations of the initial model's training tasks."""

_FRAMES_PER_BATCH: Final = 16


@dataclass(frozen=True, slots=True)
class Start:
    """The parts of a model from which training starts.

    Attributes:
        architecture: Name of its architecture.
        arguments: Shape of its network.
        reference_energies: Energy added for each atom, eV, by symbol.
        tensors: Weights of its network, by name.
        baseline: Physics method that it corrects.
        record: Its record for the new checkpoint.
    """

    architecture: str
    arguments: NetworkArguments | Mapping[str, Any]
    reference_energies: Mapping[str, float]
    tensors: "Mapping[str, Tensor]"
    baseline: BaselineName | None
    record: Mapping[str, Any]


def load_start(model: str, family: str | None, options: LoadOptions, task: Task) -> Start:
    """Loads a model for further training.

    Args:
        model: As for the evaluation: a known name, a local checkpoint, or one on the Hub.
        family: Family of the checkpoint, if its files do not identify it.
        options: Only trust and readout head are used; a trusted pickle is loaded in this process.
        task: Task to train on.

    Raises:
        UsageError: If the model is unknown or not trainable, or its training set contains OOD molecules of the task.
        DataError: If the training record beside the model is invalid.
        ModelError: If it cannot be loaded.
        SetupError: If the Hub cannot be reached, or a package is not installed.
    """
    source = resolve_model(model, family)
    record = _record_beside(source)
    stated = () if record is None else (record.declared_task(),)
    if record is not None:
        _require_unseen(stated, model, task, record.molecules)
    match source.family.name:
        case "torchani":
            return _from_torchani(source, options, stated)
        case "mace":
            return _from_mace(source, options, stated)
        case "so3lr":
            return _from_so3lr(source, options, stated)
        case name if source.path is not None and source.family.in_config:
            return _from_own_checkpoint(source, task)
        case name:
            raise UsageError(
                f"--init {model} belongs to the family {name}, which cannot be fine-tuned here; expected a TorchANI "
                "state dict, a MACE .model file, so3lr or a model of its trainer, or a checkpoint of `harness train`"
            )


def require_unseen(config: CheckpointConfig, model: str, task: Task) -> None:
    """Checks that the training set of our own checkpoint contains no OOD molecule of the task.

    Raises:
        UsageError: If it does.
        ModelError: If the checkpoint does not define one of its training tasks.
    """
    _require_unseen(_tasks_seen(config, model), model, task)


def _require_unseen(tasks: tuple[Task, ...], model: str, task: Task, named: Collection[str] = ()) -> None:
    """Checks the training tasks of a model, and the names of further molecules in its training set."""
    unseen = {word.smiles: word.molecule_id for word in task.ood_words()}
    for seen in tasks:
        trained = {word.smiles for word in seen.train_words()}
        known = sum(smiles in trained or name in named for smiles, name in unseen.items())
        if known:
            raise UsageError(
                f"--init {model} was trained on {seen.name}, which contains {known} of the {len(unseen)} OOD molecules "
                f"of {task.name}; a model that saw them cannot be tested on them. Start from another model"
            )


def shift_to_labels(
    start: Start, data: TrainingData, cutoff: float, device: "torch.device"
) -> tuple[TrainingData, tuple[float, float]]:
    """Shifts the reference energies of a model to the level of theory of the labels, and evaluates it before training.

    Returns:
        The data with the new reference energies, and the validation error of the model: force MAE, eV/Å, and MAE of the
        energy per atom, eV.
    """
    network = build_network(start.architecture, start.arguments, data.elements).to(device)
    load_tensors(network, start.tensors)
    network.eval().requires_grad_(False)
    parts = []
    for batch in batches(data.train, np.arange(data.train.n_frames), _FRAMES_PER_BATCH, cutoff, device):
        energy, _ = energies_and_forces(network, batch.graph)
        parts.append(energy.detach().cpu().numpy())
    moved = shifted(data, np.concatenate(parts))
    return moved, validate(network, moved.validation, cutoff, device)


def _from_own_checkpoint(source: ModelSource, task: Task) -> Start:
    assert source.path is not None
    config = read_config(source.path)
    require_finished(source.path, config.training)
    require_unseen(config, source.model_id, task)
    require_plugin(source.path, config)
    network = build_network(config.architecture, config.arguments, config.elements)
    own = PotentialTraits(
        model_id=source.model_id,
        family=config.family,
        elements=None,
        files=file_hashes(source.path),
        protocol=config.protocol,
        level_of_theory=config.level_of_theory,
    )
    return Start(
        architecture=config.architecture,
        arguments=config.arguments,
        reference_energies=dict(config.reference_energies),
        tensors=read_tensors(source.path, network_tensors(network)),
        baseline=config.baseline,
        record=_record(source, own, _tasks_seen(config, source.model_id)),
    )


def _from_torchani(source: ModelSource, options: LoadOptions, seen: tuple[Task, ...]) -> Start:
    from harness.networks.trainable_ani import AniNetwork, ani_arguments
    from harness.potentials.torchani import TorchAniPotential, load, network_and_self_energies

    potential = cast(TorchAniPotential, load(_path_of(source), LoadOptions(device="cpu", head=options.head)))
    ensemble, self_energies = network_and_self_energies(potential)
    traits = potential.traits
    arguments = ani_arguments(ensemble, next(iter(traits.files)))
    return Start(
        architecture="ANI",
        arguments=arguments,
        reference_energies={
            symbol_of(number): float(HARTREE * self_energies[number]) for number in sorted(traits.elements or ())
        },
        tensors=_in_single_precision(network_tensors(AniNetwork(ensemble))),
        baseline=None,
        record=_record(source, traits, seen),
    )


def _from_mace(source: ModelSource, options: LoadOptions, seen: tuple[Task, ...]) -> Start:
    from harness.networks.trainable_mace import MaceNetwork, mace_arguments, require_same_model
    from harness.potentials.mace import MacePotential, load, model_and_head

    # Double precision: energies of isolated atoms of 10^4 eV must not lose meV in conversion.
    potential = cast(MacePotential, load(_path_of(source), replace(options, device="cpu", dtype="float64")))
    model, head = model_and_head(potential)
    arguments = mace_arguments(model, head)
    require_same_model(model, head, arguments)
    isolated = model.atomic_energies_fn.atomic_energies.reshape(-1, len(model.atomic_numbers))[head].tolist()
    return Start(
        architecture="MACE-torch",
        arguments=arguments,
        reference_energies={
            symbol_of(int(number)): energy for number, energy in zip(model.atomic_numbers, isolated, strict=True)
        },
        tensors=_in_single_precision(network_tensors(MaceNetwork(model, head))),
        baseline=None,
        record=_record(source, potential.traits, seen),
    )


def _from_so3lr(source: ModelSource, options: LoadOptions, seen: tuple[Task, ...]) -> Start:
    from harness.networks.trainable_so3lr import So3lrNetwork, require_same_model, so3lr_arguments
    from harness.potentials.so3lr import So3lrPotential, load, model_of

    # The weights in the package have no path. Double precision, as for MACE.
    loading = replace(options, device="cpu", dtype="float64")
    potential = cast(So3lrPotential, load(source.path or source.model_id, loading))
    model, traits = model_of(potential), potential.traits
    arguments = so3lr_arguments(model)
    require_same_model(model, arguments)
    shifts = model.atomic_energy_output_block.energy_shifts.tolist()
    return Start(
        architecture="SO3LR",
        arguments=arguments,
        reference_energies={symbol_of(number): shifts[number - 1] for number in sorted(traits.elements or ())},
        tensors=_in_single_precision(network_tensors(So3lrNetwork(model))),
        baseline=None,
        record=_record(source, traits, seen),
    )


def _path_of(source: ModelSource) -> Path:
    if source.path is None:
        raise UsageError(f"--init {source.model_id} has no checkpoint; give the path of one, or a Hub id")
    return source.path


def _record_beside(source: ModelSource) -> TrainingRecord | None:
    """The training record in a file beside a third-party model; `None` if there is no file."""
    if source.record is None:
        return None
    if not source.record.is_file():
        raise DataError(f"{source.record} is not a file; expected one that `dataset_builders export` wrote, or none")
    return read_training_record(source.record)


def _tasks_seen(config: CheckpointConfig, model: str) -> tuple[Task, ...]:
    """The training tasks of a checkpoint and of the models that it started from."""
    start = config.started_from or {}
    declared = {**start.get(DECLARATIONS, {}), config.trained_on: config.training.get(DECLARATION)}
    return tuple(
        task_of_checkpoint(name, declared.get(name), model)
        for name in (*start.get("trained_on", ()), config.trained_on)
    )


def _record(source: ModelSource, traits: PotentialTraits, trained_on: tuple[Task, ...] = ()) -> dict[str, Any]:
    declared = {task.name: document for task in trained_on if (document := declaration_of(task))}
    return {
        "id": place_name(source.model_id),
        "revision": source.revision,
        "family": traits.family,
        "files": dict(traits.files),
        "protocol": traits.protocol,
        "level_of_theory": traits.level_of_theory,
        "head": traits.head,
        "trained_on": [task.name for task in trained_on],
        **({DECLARATIONS: declared} if declared else {}),
    }


def _in_single_precision(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Tensors in the precision of training, none of which share memory."""
    return {name: (each.float() if each.is_floating_point() else each).clone() for name, each in tensors.items()}
