"""`python -m harness train --arch knn` or `additive`: fits the two controls that have a training set."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from dataset_builders.chemistry.levels import GFN2, Level
from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import TaskName
from dataset_builders.tasks.task_document import task_metadata
from harness.data.dataset import PinnedDataset
from harness.data.rows import SplitRows
from harness.networks.checkpoint_format import CONFIG_FILE, symbol_of
from harness.networks.control_checkpoints import ControlArchitecture, ControlConfig, write_control
from harness.scoring.reference_shift import count_elements
from harness.train.fewer_frames import fewer_frames
from harness.train.task_data import fit_reference_energies, pin_training_files, read_training_split

if TYPE_CHECKING:
    from harness.networks.control_checkpoints import Tensors

_OPTIONS: Final = frozenset({"dataset", "labels", "task", "train_frames", "out", "arch", "device", "threads"})
"""Options that apply to a control; its fit has neither random numbers nor epochs."""


@dataclass(frozen=True, slots=True)
class ControlData:
    """All data of a task that a control may use.

    Attributes:
        task: Configuration of the data set.
        dataset: Source of the data.
        train: Rows to fit.
        validation: Rows for choosing settings.
        elements: Atomic numbers of the training molecules, ascending.
        reference_energies: Fitted on `train`, shape (n_elements,), eV.
        reference_rank: Rank of the composition matrix of that fit.
        train_frames: Requested number of training frames; `None` for all.
    """

    task: TaskName
    dataset: PinnedDataset
    train: SplitRows
    validation: SplitRows
    elements: tuple[int, ...]
    reference_energies: FloatArray
    reference_rank: int
    train_frames: int | None = None

    def reference(self, rows: SplitRows) -> FloatArray:
        """Sum of the reference energies of each row, shape (n_rows,), eV."""
        return count_elements(rows.atomic_numbers, rows.n_atoms, self.elements) @ self.reference_energies


@dataclass(frozen=True, slots=True)
class FittedControl:
    """The outcome of a fit, for the checkpoint.

    Attributes:
        chosen: Name and value of the setting chosen on `validation`.
        validation_force_mae: Force MAE for each candidate value, eV/Å.
        tensors: Arrays of the checkpoint.
        packages: Packages that the fit depends on.
        size: Size of the control, by its own measures.
    """

    chosen: tuple[str, float]
    validation_force_mae: Mapping[float, float]
    tensors: "Tensors"
    packages: tuple[str, ...]
    size: Mapping[str, int]


def train_control(
    architecture: ControlArchitecture,
    dataset: Path,
    task: TaskName,
    directory: Path,
    level: Level = GFN2,
    train_frames: int | None = None,
) -> None:
    """Fits a control and writes its checkpoint folder.

    Args:
        architecture: The control.
        dataset: Data-set folder.
        task: Configuration to train on.
        directory: Folder to write.
        level: Level of theory of the labels.
        train_frames: Number of training frames; `None` for all.

    Raises:
        UsageError: If the folder already contains a checkpoint, or there are fewer frames.
        DataError: If the data are absent or corrupt.
        MissingPackageError: If a package required by the control is not installed.
    """
    if (directory / CONFIG_FILE).exists():
        raise UsageError(f"{directory} contains a finished checkpoint; choose another --out, or delete it first")
    data = read_control_data(dataset, task, level, train_frames)
    fitted = _fit(architecture, data)
    write_control(directory, _config(architecture, data, fitted), fitted.tensors)
    name, value = fitted.chosen
    print(
        f"wrote {directory}: validation force MAE {fitted.validation_force_mae[value] / MILLI:.1f} meV/Å, "
        f"with {name} {value:g}"
    )


def refuse_options_of_networks(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Checks that the command has no options that a control cannot follow.

    Args:
        options: The user's options.
        parser: Parser of these options.

    Raises:
        UsageError: If an option has no meaning for a control, or is out of range.
    """
    for name, value in vars(options).items():
        if name not in _OPTIONS and value != parser.get_default(name):
            option = name.replace("_", "-")
            raise UsageError(f"--{option} {value} has no effect on --arch {options.arch}; leave it out")
    if options.device not in ("auto", "cpu"):
        raise UsageError(
            f"--arch {options.arch} is fitted on the CPU only, not on {options.device!r}; use --device cpu"
        )
    if options.threads < 1:
        raise UsageError(f"--threads {options.threads}; expected 1 or more")


def read_control_data(
    directory: Path, task: TaskName, level: Level = GFN2, train_frames: int | None = None
) -> ControlData:
    """Reads the splits `train` and `validation` of a task.

    Raises:
        UsageError: If `train` has fewer than `train_frames` frames.
        DataError: If a file is absent or corrupt, or `validation` contains a molecule that is not in `train`.
    """
    dataset = pin_training_files(directory, task, level)
    train = read_training_split(dataset, task, "train")
    if train_frames is not None:
        train = fewer_frames(train, train_frames)
    validation = read_training_split(dataset, task, "validation")
    strange = sorted(set(validation.molecule_id) - set(train.molecule_id))
    if strange:
        raise DataError(
            f"validation of {task} in {directory} contains the molecule {strange[0]}, which train lacks; build the "
            "data set again"
        )
    elements = tuple(int(number) for number in np.unique(train.atomic_numbers))
    energies, rank = fit_reference_energies(train, elements)
    return ControlData(task, dataset, train, validation, elements, energies, rank, train_frames)


def _fit(architecture: ControlArchitecture, data: ControlData) -> FittedControl:
    reference, validation_reference = data.reference(data.train), data.reference(data.validation)
    if architecture == "knn":
        from harness.potentials import knn
        from harness.train.fit_knn import evenly_spaced, fit_knn, in_batches, labelled_frames

        remembered = labelled_frames(data.train, reference, evenly_spaced(data.train.n_atoms))
        memoriser = fit_knn(remembered, in_batches(data.validation, validation_reference))
        return FittedControl(
            chosen=(knn.NEIGHBOURS, memoriser.n_neighbours),
            validation_force_mae=memoriser.validation_force_mae,
            tensors=knn.tensors_of(memoriser.frames),
            packages=knn.PACKAGES,
            size={
                "n_remembered_frames": memoriser.frames.batch.n_structures,
                "n_remembered_atoms": len(memoriser.frames.forces),
            },
        )
    from harness.potentials import additive
    from harness.train.fit_additive import fit_additive, frames_by_molecule

    train = frames_by_molecule(data.train, reference)
    fit = fit_additive(train, frames_by_molecule(data.validation, validation_reference))
    return FittedControl(
        chosen=("ridge", fit.ridge),
        validation_force_mae=fit.validation_force_mae,
        tensors={**fit.coefficients, **fit.origins},
        packages=(*additive.PACKAGES, "scipy"),
        size={
            "n_types": len(fit.coefficients),
            "n_coefficients": sum(len(each) for each in fit.coefficients.values()),
        },
    )


def _config(architecture: ControlArchitecture, data: ControlData, fitted: FittedControl) -> ControlConfig:
    name, value = fitted.chosen
    symbols = [symbol_of(number) for number in data.elements]
    return ControlConfig(
        family=architecture,
        settings={name: float(value)},
        elements=list(data.elements),
        reference_energies=dict(zip(symbols, data.reference_energies.tolist(), strict=True)),
        trained_on=data.task,
        level_of_theory=data.dataset.level_of_theory,
        training={
            "edition": data.dataset.edition,
            "data_hash": data.dataset.content_hash,
            "n_molecules": len(set(data.train.molecule_id)),
            "n_frames": len(data.train),
            **({} if data.train_frames is None else {"train_frames": data.train_frames}),
            "n_validation_frames": len(data.validation),
            "reference_rank": data.reference_rank,
            "chosen_on_validation": name,
            "validation_force_mae": {f"{each:g}": error for each, error in fitted.validation_force_mae.items()},
            **fitted.size,
            **task_metadata(data.dataset.task(data.task)),
            "versions": {package: version(package) for package in sorted(fitted.packages)},
        },
    )
