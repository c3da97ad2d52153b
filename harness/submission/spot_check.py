"""Recomputes some frames of an entry with its checkpoint, which the reviewer has and chooses to trust."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import ModelError
from dataset_builders.core.units import MILLI
from harness.core.batch import Prediction, StructureBatch, check_prediction
from harness.core.potential import LoadOptions, Potential
from harness.core.training_record import RECORD_NAME
from harness.data.scan import scan_dataset
from harness.evaluation.run import SHARDS_NAME
from harness.inference.batch_size import ON_CPU
from harness.inference.batching import Plan, filled_bounds, make_plan
from harness.inference.shards import PredictionReader, Predictions
from harness.inference.windows import structures_at
from harness.models.file_names import checkpoint_files
from harness.models.registry import ModelSource
from harness.results.result import ModelRecord
from harness.submission.findings import Finding
from harness.submission.run_identity import dtype_of
from harness.submission.staging import stage_entry
from harness.submission.verify import OpenedRun, open_run
from harness.trust.pickles import sha256_of
from harness.trust.standard_output import printing_on_standard_error
from harness.trust.tokens import without_tokens
from harness.trust.trusted_files import trusted_files
from harness.worker.loading import loaded

_ASE: Final = "ase"
"""Family of models that a user's function makes."""

_ROUNDINGS: Final = 4.0
"""Tolerance of an energy computed in float32, in float32 spacings at its magnitude."""


@dataclass(frozen=True, slots=True)
class SpotCheck:
    """Settings of a spot check.

    Attributes:
        n_frames: Frames per run.
        seed: Seed that selects the frames.
        tolerance: Largest difference of a force, meV/Å, and of an energy, meV.
        device: Device of the computation.
        trust_checkpoint: Whether to load checkpoints that run code on loading.
    """

    n_frames: int
    seed: int
    tolerance: float
    device: str = "auto"
    trust_checkpoint: bool = False


def spot_check_entry(
    directory: Path, datasets: Sequence[str], models: Sequence[ModelSource], check: SpotCheck
) -> list[Finding]:
    """Recomputes some frames of the runs of a valid entry.

    Args:
        directory: Folder of the entry.
        datasets: The accepted data sets.
        models: Its checkpoints; runs of other checkpoints are skipped.
        check: Settings of the check.

    Returns:
        For each run, whether the predictions match its checkpoint; a fault for a checkpoint that matches no run.

    Raises:
        ModelError: If a checkpoint cannot be loaded.
        MlipOodError: As `open_run` does.
    """
    findings = []
    with tempfile.TemporaryDirectory(prefix="mlip-ood-entry-") as name:
        entry = stage_entry(directory, Path(name))
        runs = [open_run(entry, run_id, datasets) for run_id in entry.document.runs]
        for model in models:
            found = [finding for run in runs for finding in _of_run(model, run, check)]
            if not found:
                raise _not_found(model, directory.name, [run for run in runs if run.manifest.model.family == _ASE])
            findings += found
    return findings


def _not_found(model: ModelSource, entry: str, of_calculators: Sequence[OpenedRun]) -> ModelError:
    """The error for a checkpoint that matches no run, among which some may have a calculator of the user."""
    if not of_calculators:
        return ModelError(
            f"{model.model_id} is not the checkpoint of any run of {entry}: the sha256 of its files differ. Name the "
            "checkpoint that was evaluated"
        )
    names = ", ".join(run.run_id for run in of_calculators)
    return ModelError(
        f"a spot check of {names} of {entry} is not possible: a function of the submitter made the calculator "
        f"(--calculator), and verify runs no such code. {model.model_id} is not the checkpoint of any other run; leave "
        "out --model, or name the checkpoint of another run"
    )


def _of_run(model: ModelSource, run: OpenedRun, check: SpotCheck) -> Iterator[Finding]:
    """Whether the predictions of a run match a checkpoint; empty if the checkpoint belongs to another run."""
    stated = run.manifest.model
    if stated.family == _ASE or not _may_be(model, stated):
        return
    options = LoadOptions(
        device=check.device,
        dtype=dtype_of(stated),
        trust_checkpoint=check.trust_checkpoint,
        trusted_files=trusted_files(),
        head=stated.head,
        allow_unfinished=True,
    )
    # As in an evaluation: code in a checkpoint must not have access to a token.
    with without_tokens(), printing_on_standard_error(), loaded(model, options) as potential:
        if not _is_of(potential, stated):
            return
        yield from _of_training(potential, stated, run.run_id)
        plan = make_plan(scan_dataset(run.dataset, run.manifest.tasks), run.manifest.batch_atoms)
        places = _places(plan, check)
        reader = PredictionReader(plan, run.directory / SHARDS_NAME, run.manifest.identity)
        batch = structures_at(run.dataset, plan, places)
        yield _compared(_predicted(potential, batch), reader.at(places), batch, run, check)


def _weights(stated: ModelRecord) -> dict[str, str]:
    return {name: sha256 for name, sha256 in stated.files.items() if not name.endswith(RECORD_NAME)}


def _may_be(model: ModelSource, stated: ModelRecord) -> bool:
    """Whether a checkpoint may belong to a run, decided before it is loaded."""
    if model.path is None:
        return model.model_id == stated.id
    files = checkpoint_files(_weights(stated))
    paths = {name: _place(model.path, name, is_only=len(files) == 1) for name in files}
    return bool(files) and all(path.is_file() and sha256_of(path) == files[name] for name, path in paths.items())


def _place(checkpoint: Path, name: str, *, is_only: bool) -> Path:
    """Path of a file of a checkpoint, which is a folder, a file, or a file with others beside it."""
    if checkpoint.is_dir():
        return checkpoint / name
    return checkpoint if is_only else checkpoint.with_name(name)


def _is_of(potential: Potential, stated: ModelRecord) -> bool:
    return potential.traits.family == stated.family and dict(potential.traits.files) == _weights(stated)


def _of_training(potential: Potential, stated: ModelRecord, run_id: str) -> Iterator[Finding]:
    """Checks the training record of the checkpoint if the run states that it proves the training."""
    traits = potential.traits
    if stated.training != "proved":
        return
    own, said = (traits.protocol, traits.trained_on), (stated.protocol, stated.trained_on)
    if own == said:
        yield Finding(
            "proved", f"its checkpoint states {traits.protocol} on {traits.trained_on}, as the run does", run_id
        )
    else:
        yield Finding(
            "fault", f"its checkpoint states {own[0]} on {own[1]}, but the run states {said[0]} on {said[1]}", run_id
        )


def _places(plan: Plan, check: SpotCheck) -> IntArray:
    """Positions in the plan of the selected frames, ascending."""
    random = np.random.default_rng(check.seed)
    return np.sort(random.choice(plan.n_frames, size=min(check.n_frames, plan.n_frames), replace=False))


def _predicted(potential: Potential, batch: StructureBatch) -> Prediction:
    """Predictions of the model for the frames, in the precision of stored predictions."""
    bounds = filled_bounds(batch.n_atoms, ON_CPU)
    energy, forces = [], []
    failures: dict[int, str] = {}
    for start, stop in pairwise(bounds):
        atoms = slice(int(batch.offsets[start]), int(batch.offsets[stop]))
        part = StructureBatch(
            batch.atomic_numbers[atoms], batch.positions[atoms], batch.n_atoms[start:stop], batch.smiles[start:stop]
        )
        found = check_prediction(potential.compute(part), part, potential.traits.model_id)
        energy.append(found.energy)
        forces.append(found.forces)
        failures |= {start + number: cause for number, cause in found.failures.items()}
    return Prediction(np.concatenate(energy), np.concatenate(forces), failures)


def _compared(
    found: Prediction, stored: Predictions, batch: StructureBatch, run: OpenedRun, check: SpotCheck
) -> Finding:
    if found.failures or stored.failures:
        n_failed = len({*found.failures, *stored.failures})
        return Finding("fault", f"{n_failed} of {batch.n_structures} frames of the spot check failed", run.run_id)
    energies, forces = _differences(found, stored, batch)
    allowed = check.tolerance + _rounding_of_energy(stored.energy, run.manifest.model)
    n_wrong = int(((energies > allowed) | (forces > check.tolerance)).sum())
    said = (
        f"{batch.n_structures} frames (seed {check.seed}) recomputed: forces differ by at most {forces.max():.2g} "
        f"meV/Å, energies by at most {energies.max():.2g} meV"
    )
    allowance = f"{check.tolerance:g} meV/Å and meV" + (
        ", and the rounding of energies in float32" if run.manifest.model.dtype == "float32" else ""
    )
    if n_wrong:
        return Finding("fault", f"{said}; {n_wrong} frames differ by more than {allowance}", run.run_id)
    return Finding("proved", f"{said}, within {allowance}", run.run_id)


def _differences(found: Prediction, stored: Predictions, batch: StructureBatch) -> tuple[FloatArray, FloatArray]:
    """Largest differences per frame, shape (n_frames,): energies in meV, forces in meV/Å."""
    energies = np.abs(found.energy - stored.energy)
    by_atom = np.abs(found.forces.astype(np.float64) - stored.forces.astype(np.float64)).max(axis=1)
    return energies / MILLI, np.maximum.reduceat(by_atom, batch.offsets[:-1]) / MILLI


def _rounding_of_energy(energy: FloatArray, model: ModelRecord) -> FloatArray:
    """Largest change of an energy from rounding alone, shape (n_frames,), meV."""
    if model.dtype == "float64":
        return np.zeros(len(energy))
    steps: FloatArray = np.spacing(np.abs(energy).astype(np.float32)).astype(np.float64)
    return _ROUNDINGS * steps / MILLI
