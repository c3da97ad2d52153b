"""One evaluation from end to end: data set, potential, predictions, metrics, result."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from dataset_builders.errors import DataError, SetupError, UsageError
from dataset_builders.tasks import TASKS, TaskName, find_task
from harness.batching import Plan, SplitKey, WorkList, make_plan, ragged_indices
from harness.bootstrap import BootstrapSettings
from harness.dataset import PinnedDataset, open_dataset
from harness.evaluate import evaluate_task
from harness.identity import code_hash, package_versions, run_directory, run_identity
from harness.joining import join_task, read_task
from harness.loading import loaded
from harness.manifest import Manifest
from harness.potentials.base import Isolation, LoadOptions, Potential, PotentialTraits
from harness.potentials.elements import require_elements
from harness.potentials.registry import ModelSource
from harness.predict import Predictions, compute_shards, read_predictions
from harness.progress import prediction_progress
from harness.ranks import ALONE, Ranks, meeting
from harness.result import (
    RESULT_NAME,
    DatasetRecord,
    EnvironmentRecord,
    ModelRecord,
    RunResult,
    SettingsRecord,
)
from harness.rows import SplitRows
from harness.tokens import without_tokens

SHARDS_NAME: Final = "predictions"

BATCH_ATOMS: Final[Mapping[str, int]] = {"cpu": 512, "cuda": 16384}
"""Most atoms in a batch, by type of device, where the user does not say."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the user asked of an evaluation.

    Attributes:
        tasks: Tasks by name; empty for the model's own, or for all that the data set holds.
        output: Folder that holds the folders of runs.
        batch_atoms: Most atoms in a batch; `None` for what suits the device.
        load: Options of the loader.
        isolation: Whether the model computes in a process of its own.
        quiet: Whether the progress bar is left out.
    """

    tasks: tuple[TaskName, ...] = ()
    output: Path = Path("results")
    batch_atoms: int | None = None
    load: LoadOptions = field(default_factory=LoadOptions)
    isolation: Isolation = "auto"
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A result and the folder it lies in."""

    result: RunResult
    directory: Path


def evaluate_model(
    model: ModelSource, dataset: PinnedDataset, options: RunOptions, ranks: Ranks = ALONE
) -> FinishedRun | None:
    """Evaluates a model and writes its result; goes on from predictions that are there.

    No token is in the environment meanwhile, since a checkpoint may run what it holds. Several processes, which
    must see the same output folder, share the predictions; the batches and so the result are those of one process.

    Args:
        model: As `resolve_model` found it.
        dataset: What to evaluate on.
        options: What the user asked for.
        ranks: Which of several processes this one is.

    Returns:
        The result, in the first process; `None` in others.

    Raises:
        UsageError: If the model was trained on another task than one asked for, or does not offer
            what was asked of it.
        DataError: If the data set breaks its schema.
        ModelError: If the model cannot be loaded or lacks parameters for an element.
        SetupError: If the output folder cannot be written.
    """
    with without_tokens(), loaded(model, options.load, options.isolation) as potential:
        return _evaluate(potential, dataset, options, ranks)


def _evaluate(potential: Potential, dataset: PinnedDataset, options: RunOptions, ranks: Ranks) -> FinishedRun | None:
    traits = potential.traits
    tasks = choose_tasks(traits, dataset, options.tasks)
    rows = _read_tasks(dataset, tasks)
    batch_atoms = options.batch_atoms or BATCH_ATOMS[traits.device.split(":")[0]]
    plan = make_plan(rows, batch_atoms)
    require_known_elements(traits, plan.work)
    identity = run_identity(traits, dataset, tasks, batch_atoms)
    manifest = Manifest(
        identity=identity,
        model=_model_record(traits),
        dataset=_dataset_record(dataset),
        dataset_directory=str(dataset.directory),
        environment=_environment_record(traits),
        tasks=tasks,
        batch_atoms=batch_atoms,
    )
    directory = run_directory(options.output, traits.model_id, identity)
    if ranks.is_first:
        _save(manifest, directory)
    with meeting(ranks):
        share = plan.share(ranks.rank, ranks.world_size)
        _compute(potential, share, directory, identity, quiet=options.quiet or not ranks.is_first)
    if not ranks.is_first:
        return None
    return _finish(manifest, directory, rows, plan, read_predictions(plan, directory / SHARDS_NAME, identity))


def evaluate_again(directory: Path, dataset_text: str | None = None) -> FinishedRun:
    """Computes metrics and result again from the predictions of a finished run, without its model.

    Args:
        directory: Folder of the run.
        dataset_text: Where the data set is now; `None` for where it was.

    Raises:
        DataError: If the folder is not that of a finished run, or the data set is not the one that it
            was run on.
        SetupError: If the folder cannot be written.
    """
    manifest = Manifest.load(directory)
    dataset = open_dataset(dataset_text or _remembered_dataset(manifest))
    if dataset.content_hash != manifest.dataset.content_hash:
        raise DataError(
            f"{dataset.id} has content {dataset.content_hash[:12]}, but the predictions in {directory} were made for "
            f"{manifest.dataset.content_hash[:12]} ({manifest.dataset.id}); give that data set with --dataset, "
            "or evaluate the model again"
        )
    rows = _read_tasks(dataset, manifest.tasks)
    plan = make_plan(rows, manifest.batch_atoms)
    predictions = read_predictions(plan, directory / SHARDS_NAME, manifest.identity)
    return _finish(manifest, directory, rows, plan, predictions)


def choose_tasks(traits: PotentialTraits, dataset: PinnedDataset, named: Sequence[TaskName]) -> tuple[TaskName, ...]:
    """The tasks to evaluate on, in their own order.

    A model that was trained on one task is tested on that task: elsewhere it may have trained on the
    very molecules that are to be unseen.

    Raises:
        UsageError: If the user named a task that the model was not trained on.
    """
    if traits.trained_on is None:
        return tuple(task for task in TASKS if task in named) or dataset.tasks
    own = find_task(traits.trained_on)
    for name in named:
        if name != own.name:
            unseen = find_task(name).ood_words()
            known = len(set(unseen) & set(own.train_words()))
            raise UsageError(
                f"{traits.model_id} was trained on {own.name}, so it cannot be tested on {name}: {known} of the "
                f"{len(unseen)} OOD molecules of {name} were in its training set, and the protocol {traits.protocol} "
                f"trains on the tested task only. Use --task {own.name}, or train a model on {name}"
            )
    return (own.name,)


def require_known_elements(traits: PotentialTraits, work: WorkList) -> None:
    """Checks that the model has parameters for every molecule, before anything is computed.

    Raises:
        ModelError: If it has not.
    """
    names, first = np.unique(work.molecule_id.astype(np.str_), return_index=True)
    atoms = ragged_indices(work.offsets[first], work.n_atoms[first])
    require_elements(traits, work.atomic_numbers[atoms], np.repeat(names, work.n_atoms[first]))


def _read_tasks(dataset: PinnedDataset, tasks: Sequence[TaskName]) -> dict[SplitKey, SplitRows]:
    return {key: rows for task in tasks for key, rows in read_task(dataset, task).items()}


def _compute(potential: Potential, plan: Plan, directory: Path, identity: Mapping[str, str], *, quiet: bool) -> None:
    with prediction_progress(potential.traits.model_id, plan.n_structures, quiet=quiet) as on_structures:
        compute_shards(potential, plan, directory / SHARDS_NAME, identity, on_structures)


def _finish(
    manifest: Manifest,
    directory: Path,
    rows: Mapping[SplitKey, SplitRows],
    plan: Plan,
    predictions: Predictions,
) -> FinishedRun:
    bootstrap = BootstrapSettings()
    protocol = manifest.model.protocol
    result = RunResult.of(
        model=manifest.model,
        dataset=manifest.dataset,
        environment=manifest.environment,
        settings=SettingsRecord(
            batch_atoms=manifest.batch_atoms,
            n_resamples=bootstrap.n_resamples,
            confidence=bootstrap.confidence,
            seed=bootstrap.seed,
        ),
        created=datetime.now(UTC),
        tasks={
            task: evaluate_task(join_task(task, protocol, rows, plan, predictions), bootstrap)
            for task in manifest.tasks
        },
    )
    path = directory / RESULT_NAME
    result = _with_first_date(result, path)
    try:
        result.save(path)
    except OSError as cause:
        raise _unwritable(directory, cause) from cause
    return FinishedRun(result, directory)


def _with_first_date(result: RunResult, path: Path) -> RunResult:
    """A result that says what the one on disk says keeps its date, so that sending it again changes nothing."""
    if not path.is_file():
        return result
    try:
        earlier = RunResult.load(path)
    except DataError:
        return result
    return earlier if earlier == result.model_copy(update={"created": earlier.created}) else result


def _save(manifest: Manifest, directory: Path) -> None:
    try:
        manifest.save(directory)
    except OSError as cause:
        raise _unwritable(directory, cause) from cause


def _unwritable(directory: Path, cause: OSError) -> SetupError:
    return SetupError(f"cannot write to {directory}: {cause.strerror or cause}; choose a folder with --output")


def _remembered_dataset(manifest: Manifest) -> str:
    if Path(manifest.dataset_directory).is_dir():
        return manifest.dataset_directory
    if manifest.dataset.revision is not None:
        return f"{manifest.dataset.id}@{manifest.dataset.revision}"
    return manifest.dataset.id


def _model_record(traits: PotentialTraits) -> ModelRecord:
    return ModelRecord(
        id=traits.model_id,
        family=traits.family,
        revision=traits.revision,
        files=dict(traits.files),
        protocol=traits.protocol,
        trained_on=traits.trained_on,
        dtype=traits.dtype,
        device=traits.device,
        level_of_theory=traits.level_of_theory,
        elements=None if traits.elements is None else tuple(sorted(traits.elements)),
        conservative=traits.conservative,
        head=traits.head,
    )


def _dataset_record(dataset: PinnedDataset) -> DatasetRecord:
    return DatasetRecord(
        id=dataset.id,
        revision=dataset.revision,
        content_hash=dataset.content_hash,
        edition=dataset.edition,
        level_of_theory=dataset.level_of_theory,
    )


def _environment_record(traits: PotentialTraits) -> EnvironmentRecord:
    return EnvironmentRecord(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages={"mlip-ood": version("mlip-ood"), **package_versions(traits)},
        code_hash=code_hash(traits.family),
    )
