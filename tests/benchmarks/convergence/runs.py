"""Trains a network, and records the errors of each test molecule for the model of each validation."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from dataset_builders.core.errors import DataError
from dataset_builders.core.units import MILLI
from dataset_builders.folder.content_hash import config_hashes
from harness.api import evaluate_models, open_dataset
from harness.data.dataset import PinnedDataset
from harness.networks.checkpoint_format import BaselineName, read_config
from harness.results.result import TaskResult
from harness.scoring.joining import TestSplit
from harness.scoring.paired_frames import SplitFrames
from harness.scoring.reference_shift import ReferenceShift, composition_of, fit_reference_shift
from harness.study.predicted import TEST_SPLITS, predicted_task
from harness.train.checkpoint_record import KEPT
from tests.benchmarks.recorded_runs import add_record, provenance, read_records, train

RECORDS: Final = Path(__file__).parents[3] / "docs" / "results" / "convergence" / "checkpoints.jsonl"
_DIGITS: Final = 7
"""Digits after the decimal point of recorded errors, eV/Å and eV."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to run.

    Attributes:
        dataset: Folder of the data set.
        task: Task to train on.
        arch: Architecture, as for `harness train`.
        delta: Physics method that the network corrects.
        steps: Optimiser steps, unless validations stop improving before.
        validations: Validations of the whole run.
        seed: Seed of weights and order of frames.
        work: Folder of checkpoints and results.
        compile: Whether the steps are compiled, as for `harness train`.
    """

    dataset: Path
    task: str
    arch: str
    delta: BaselineName | None
    steps: int
    validations: int
    seed: int
    work: Path
    compile: Literal["always", "never"] = "always"

    @property
    def row(self) -> str:
        """Name of the training: architecture, baseline, steps and seed."""
        name = self.arch if self.delta is None else f"{self.arch} on {self.delta}"
        return f"{name}, {self.steps:,} steps, seed {self.seed}"

    @property
    def options(self) -> list[str]:
        """Options of `harness train`, apart from the folders."""
        options = ["--task", self.task, "--arch", self.arch, "--steps", str(self.steps), "--seed", str(self.seed)]
        options += ["--validations", str(self.validations), "--compile", self.compile, "--keep-checkpoints"]
        return options if self.delta is None else [*options, "--delta", self.delta]


def run_missing(request: Request) -> None:
    """Trains, and measures each checkpoint that has no record yet; a record is written as soon as it is complete."""
    slug = f"{request.arch}-{request.delta}-{request.task}-{request.steps}-{request.seed}"
    folder = request.work / "checkpoints" / slug
    train(folder, request.dataset, request.options)
    dataset, task_sha256 = open_dataset(request.dataset), config_hashes(request.dataset)[request.task]
    done = {(each["row"], each["task"], each["step"]) for each in read_records(RECORDS)}
    for checkpoint in sorted((folder / KEPT).iterdir()):
        if (request.row, request.task, int(checkpoint.name)) in done:
            continue
        record = _record(request, dataset, task_sha256, checkpoint)
        add_record(RECORDS, record)
        validation = record["validation_force_mae"] / MILLI
        print(f"{request.row}, step {record['step']:,}: {validation:.1f} meV/Å on validation", flush=True)


def _record(request: Request, dataset: PinnedDataset, task_sha256: str, checkpoint: Path) -> dict[str, Any]:
    (run,) = evaluate_models(
        [str(checkpoint)],
        dataset=dataset,
        tasks=[request.task],
        output=request.work / "results",
        device="cpu",
        quiet=True,
        allow_unfinished=True,
    )
    task = run.result.tasks[request.task]
    training = read_config(checkpoint).training
    errors = dict(_errors(task, run.directory, dataset))
    return {
        "row": request.row,
        "task": request.task,
        "edition": run.result.dataset.edition,
        **provenance(checkpoint, task_sha256, request.options),
        "step": training["steps"],
        "epochs": training["epochs_done"],
        "validation_force_mae": training["best_validation"]["validation_force_mae"],
        **errors,
    }


def _errors(task: TaskResult, run: Path, dataset: PinnedDataset) -> Iterator[tuple[TestSplit, list[list[Any]]]]:
    """By split: of each molecule its id, fragments drawn, force components, force MAE, frames, energy MAE per atom."""
    frames = predicted_task(run, task.task, dataset).frames
    shift = fit_reference_shift(frames.train)
    for split, predicted in zip(TEST_SPLITS, (frames.test_id, frames.test_ood), strict=True):
        energies = _energy_errors(predicted, shift)
        yield (
            split,
            [
                [
                    row.molecule_id,
                    list(row.drawn),
                    3 * row.n_atoms,
                    round(row.force_mae, _DIGITS),
                    row.n_frames,
                    round(energies[row.molecule_id], _DIGITS),
                ]
                for row in task.by_molecule
                if row.split == split
            ],
        )


def _energy_errors(frames: SplitFrames, shift: ReferenceShift) -> dict[str, float]:
    """MAE of the energy per atom of each molecule after the reference shift, eV.

    Raises:
        DataError: If the training set leaves the shift of a molecule undetermined.
    """
    index = frames.index
    is_open = shift.leaves_open(composition_of(index.atomic_numbers, index.n_atoms))
    if is_open.any():
        name = index.molecules[int(index.molecule_idx[np.argmax(is_open)])].molecule_id
        raise DataError(
            f"training leaves the energy of {name} undetermined; choose a task whose energies it determines"
        )
    shifted = frames.predicted.energy + shift.apply(index.atomic_numbers, index.n_atoms)
    errors = np.abs(shifted - frames.reference.energy) / index.n_atoms
    sums, counts = (np.bincount(index.molecule_idx, weights) for weights in (errors, None))
    return {each.molecule_id: float(sums[place] / counts[place]) for place, each in enumerate(index.molecules)}
