"""One evaluation from end to end: data set, potential, predictions, metrics, result."""

import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import DataError, SetupError, UsageError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.tasks.drawn import drawn_of_task
from dataset_builders.tasks.regions import TASKS, TaskName, in_order
from dataset_builders.tasks.task_document import task_of_checkpoint
from harness.compute.elements import require_elements
from harness.compute.process_threads import threads_per_process
from harness.core.potential import Isolation, LoadOptions, Potential, PotentialTraits
from harness.data.dataset import PinnedDataset, open_dataset
from harness.data.label_choice import labels_for, tasks_without_labels
from harness.data.scan import FrameScan, scan_dataset
from harness.evaluation.examination import Examination, examined
from harness.evaluation.job_choice import IN_ONE_PROCESS, JobChoice, for_model, jobs_for, timed_load
from harness.evaluation.lowered_precision import Lowering, in_saved_precision
from harness.hub.hub_folder import PREFIX
from harness.inference.batch_size import ON_CPU, batch_atoms_for
from harness.inference.batching import Plan, make_plan
from harness.inference.jobs import Jobs
from harness.inference.meeting import ALONE, Meeting
from harness.inference.predict import compute_together
from harness.inference.progress import prediction_progress
from harness.inference.shards import PredictionReader
from harness.inference.stopwatch import Stopwatch
from harness.inference.windows import read_windows
from harness.models.foreign import is_unknown
from harness.models.known import with_known_level
from harness.models.overlap import list_of, overlap_with, training_molecules
from harness.models.registry import ModelSource, with_traits
from harness.models.training_declaration import Statement, declaration_for, declared, named_level
from harness.results.cost import cost_of, read_parts
from harness.results.identity import code_hash, package_versions, run_directory, run_identity
from harness.results.manifest import Manifest, earlier_batch_atoms
from harness.results.result import (
    RESULT_NAME,
    UNKNOWN_OVERLAP,
    DatasetRecord,
    EnvironmentRecord,
    ModelRecord,
    Overlap,
    OverlapRecord,
    RunResult,
    SettingsRecord,
)
from harness.scoring.intervals import IntervalSettings
from harness.scoring.joining import sum_task
from harness.scoring.task_result import evaluate_task
from harness.trust.standard_output import printing_on_standard_error
from harness.trust.tokens import without_tokens
from harness.worker.loading import helper, loaded

SHARDS_NAME: Final = "predictions"

_OF_OTHERS: Final = ("zero-shot", "fine-tuned")
"""Protocols of models that were trained on data of others, at least at first."""

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The user's options for an evaluation.

    Attributes:
        tasks: Tasks by name; if empty, the model's own, or all tasks of the data set.
        output: Folder that contains the run folders.
        batch_atoms: Maximum number of atoms in a batch; `None` for a limit that suits the device.
        load: Options of the loader.
        isolation: Whether the model computes in a separate process.
        level_of_theory: Level of the training labels, for a model that does not name it: a level of this benchmark, or
            any text.
        statement: The user's statement about the training set, for models that do not state it themselves.
        training_smiles: List of the training molecules of the model, or of its base.
        quiet: Whether to hide the progress bar.
        jobs: Processes on this machine that may compute, if the model computes on a CPU.
    """

    tasks: tuple[TaskName, ...] = ()
    output: Path = Path("results")
    batch_atoms: int | None = None
    load: LoadOptions = field(default_factory=LoadOptions)
    isolation: Isolation = "auto"
    level_of_theory: str | None = None
    statement: Statement | None = None
    training_smiles: Path | None = None
    quiet: bool = False
    jobs: JobChoice = IN_ONE_PROCESS


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A result and its folder."""

    result: RunResult
    directory: Path


def evaluate_model(
    model: ModelSource, dataset: PinnedDataset | Sequence[PinnedDataset], options: RunOptions, meeting: Meeting = ALONE
) -> FinishedRun | None:
    """Evaluates a model and writes its result; resumes from existing predictions.

    Tokens are removed from the environment meanwhile, since a checkpoint may execute code. Several processes, which
    must share the output folder, divide the predictions; the batches, and so the result, are those of one process.

    Args:
        model: From `resolve_model`.
        dataset: Data set to evaluate on; if given at several levels of theory, the model's own is used.
        options: The user's options.
        meeting: The processes that share the run.

    Returns:
        The result in the first process; `None` in the others.

    Raises:
        UsageError: If the model was trained on a task other than the one requested, lacks a requested feature, or the
            user's statement about its training contradicts its own record.
        DataError: If the data set breaks its schema, or the training record beside the model names other
            data.
        ModelError: If the model cannot be loaded or lacks parameters for an element.
        SetupError: If the output folder cannot be written to, or another process failed.
    """
    datasets = [dataset] if isinstance(dataset, PinnedDataset) else dataset
    # Checked before loading: these errors do not depend on what the model computes.
    declaration = declaration_for(model, options.statement, datasets)
    choice = for_model(options.jobs, model, options.isolation)
    with (
        without_tokens(),
        printing_on_standard_error(),
        threads_per_process(choice.threads),
        timed_load(loaded(model, options.load, options.isolation)) as (potential, load_seconds),
    ):
        traits = declared(potential.traits, model.family, declaration, datasets, options.level_of_theory)
        traits = with_known_level(traits, model, options.level_of_theory)
        traits = with_stated_level(traits, options.level_of_theory)
        start = partial(helper, model, options.load, options.isolation)
        jobs = jobs_for(with_traits(potential, traits), choice, start, load_seconds)
        again = partial(loaded, model, in_saved_precision(options.load), options.isolation, is_first=False)
        lowering = Lowering(jobs.potential, options.load.dtype is not None, again)
        examination = Examination(lowering, is_known=not is_unknown(model.family.module))
        return _evaluate(jobs, datasets, options, meeting, examination)


def evaluate_potential(
    potential: Potential,
    datasets: Sequence[PinnedDataset],
    options: RunOptions,
    meeting: Meeting = ALONE,
    *,
    is_known: bool = False,
) -> FinishedRun | None:
    """Evaluates a potential that is loaded already; otherwise as `evaluate_model`.

    Args:
        potential: The potential. Its traits decide tasks and labels, and are recorded as they are.
        datasets: The data set at one or more levels of theory.
        options: The user's options; those of the loader and `jobs` are not used.
        meeting: The processes that share the run.
        is_known: Whether an adapter of this project computes; otherwise forces are first compared with energies.

    Raises:
        MlipOodError: As `evaluate_model` does.
    """
    examination = Examination(Lowering(potential, is_requested=False, load_again=None), is_known=is_known)
    return _evaluate(Jobs(potential), datasets, options, meeting, examination)


def _evaluate(
    jobs: Jobs, datasets: Sequence[PinnedDataset], options: RunOptions, meeting: Meeting, examination: Examination
) -> FinishedRun | None:
    potential, traits = jobs.potential, jobs.potential.traits
    wanted = (traits.trained_on,) if traits.trained_on else options.tasks
    dataset = labels_for(traits.level_of_theory, datasets, wanted)
    tasks = choose_tasks(traits, dataset, options.tasks)
    ranks = meeting.ranks
    left_out = tasks_without_labels(dataset, datasets, wanted)
    if left_out and ranks.is_first:
        _LOG.warning(
            "%s is evaluated at the level %s, which has labels for %s; not evaluated: %s. For these, use --labels %s",
            traits.model_id,
            dataset.level_of_theory,
            " ".join(tasks),
            " ".join(left_out),
            datasets[0].level.name,
        )
    batch_atoms, plan = _planned(potential, dataset, tasks, options, meeting)
    manifest = _manifest(traits, dataset, tasks, batch_atoms)
    manifest = _with_overlap(manifest, dataset, options.training_smiles)
    directory = run_directory(options.output, traits.model_id, manifest.identity)
    if ranks.is_first:
        manifest = examined(manifest, directory, examination, dataset, plan)
        _save(manifest, directory)
    # Checked before hours of computing: processes that differ in the run identity would leave two half-finished runs.
    meeting.gather(f"start of run {directory.name}")
    share = plan.share(ranks.rank, ranks.world_size)
    quiet = options.quiet or not ranks.is_first
    # An absolute path, since the code of a model may change the working directory while other threads write.
    folder = directory.absolute()
    with (
        prediction_progress(traits.model_id, share.n_structures, quiet=quiet) as on_structures,
        Stopwatch(potential, folder, ranks.rank) as stopwatch,
    ):
        windows, on_done = read_windows(dataset, plan), stopwatch.watched(meeting.watched(on_structures))
        stopwatch.jobs = compute_together(jobs, share, windows, folder / SHARDS_NAME, manifest.identity, on_done)
    meeting.gather(f"end of run {directory.name}")
    if not ranks.is_first:
        return None
    return _finish(manifest, directory, dataset, plan)


def _planned(
    potential: Potential, dataset: PinnedDataset, tasks: tuple[TaskName, ...], options: RunOptions, meeting: Meeting
) -> tuple[int, Plan]:
    """The batch limit and the plan; the scan of the data set is freed here, since it takes 16 bytes a frame."""
    scan = scan_dataset(dataset, tasks)
    require_known_elements(potential.traits, scan.atomic_numbers)
    batch_atoms = options.batch_atoms or meeting.broadcast(
        "size of a batch", lambda: _batch_atoms(potential, dataset, scan, tasks, options.output)
    )
    return batch_atoms, make_plan(scan, batch_atoms)


def _batch_atoms(
    potential: Potential, dataset: PinnedDataset, scan: FrameScan, tasks: tuple[TaskName, ...], output: Path
) -> int:
    """The limit of an earlier run of the same kind, so that it can be resumed, or one that suits the device."""
    traits = potential.traits
    if traits.device == "cpu":
        return ON_CPU
    earlier = earlier_batch_atoms(output, traits.model_id, run_identity(traits, dataset, tasks, 0))
    return earlier or batch_atoms_for(potential, read_windows(dataset, make_plan(scan, ON_CPU)))


def _manifest(
    traits: PotentialTraits, dataset: PinnedDataset, tasks: tuple[TaskName, ...], batch_atoms: int
) -> Manifest:
    return Manifest(
        identity=run_identity(traits, dataset, tasks, batch_atoms),
        model=_model_record(traits),
        dataset=_dataset_record(dataset),
        dataset_directory=str(dataset.directory),
        environment=_environment_record(traits),
        tasks=tasks,
        batch_atoms=batch_atoms,
    )


def _with_overlap(manifest: Manifest, dataset: PinnedDataset, path: Path | None) -> Manifest:
    """A manifest that names the test molecules on the list of training molecules, if there is one.

    Raises:
        UsageError: If there is a list for a method without a training set.
    """
    model = manifest.model
    if path is not None and model.protocol == "control":
        raise UsageError(
            f"--training-smiles {path}, but {model.id} is a method without a training set; leave out --training-smiles"
        )
    molecules = None if path is None else training_molecules(path)
    if molecules is None and model.protocol == "zero-shot":
        molecules = list_of(model.known_as)
    overlap: Overlap = UNKNOWN_OVERLAP if model.protocol in _OF_OTHERS else None
    if molecules is not None and model.protocol != "control":
        overlap = OverlapRecord(
            source=molecules.source,
            n_listed=len(molecules.keys),
            n_unreadable=molecules.n_unreadable,
            molecules=overlap_with(molecules, [dataset.task(task) for task in manifest.tasks]),
        )
    return manifest.model_copy(update={"model": model.model_copy(update={"overlap": overlap})})


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A run that was evaluated before: its settings, its data and the plan of its predictions.

    Attributes:
        directory: Folder of the run.
        manifest: Its settings.
        dataset: The data set that it was run on.
        plan: Frames and batches of its predictions.
    """

    directory: Path
    manifest: Manifest
    dataset: PinnedDataset
    plan: Plan

    def reader(self) -> PredictionReader:
        """Reads its predictions."""
        return PredictionReader(self.plan, self.directory / SHARDS_NAME, self.manifest.identity)


def evaluate_again(directory: Path, dataset_text: str | None = None) -> FinishedRun:
    """Recomputes metrics and result from the predictions of a finished run, without its model.

    Args:
        directory: Folder of the run.
        dataset_text: Present location of the data set; `None` if it did not move.

    Raises:
        DataError: If the folder is not that of a finished run, or the data set differs from the one that it
            was run on.
        SetupError: If the folder cannot be written to.
    """
    return finish_again(open_saved(directory, dataset_text))


def finish_again(saved: SavedRun) -> FinishedRun:
    """Recomputes metrics and result of a saved run.

    Raises:
        DataError: If its predictions are incomplete or damaged.
        SetupError: If its folder cannot be written to.
    """
    return _finish(saved.manifest, saved.directory, saved.dataset, saved.plan)


def open_saved(directory: Path, dataset_text: str | None = None) -> SavedRun:
    """Opens a finished run and its data set; arguments as for `evaluate_again`.

    Raises:
        DataError: If the folder is not that of a run, or the data set differs from the one that it was run on.
    """
    manifest = Manifest.load(directory)
    dataset = open_dataset(dataset_text or _remembered_dataset(manifest), manifest.dataset.level)
    if dataset.content_hash != manifest.dataset.content_hash:
        seen, made_for = dataset.content_hash[:SHORT_HASH], manifest.dataset.content_hash[:SHORT_HASH]
        raise DataError(
            f"{dataset.id} has content {seen}, but the predictions in {directory} were made for {made_for} "
            f"({manifest.dataset.id}); give that data set with --dataset, or evaluate the model again"
        )
    plan = make_plan(scan_dataset(dataset, manifest.tasks), manifest.batch_atoms)
    return SavedRun(directory, manifest, dataset, plan)


def choose_tasks(traits: PotentialTraits, dataset: PinnedDataset, named: Sequence[TaskName]) -> tuple[TaskName, ...]:
    """The tasks to evaluate on, in their own order.

    A model that was trained on one task is tested on that task only: the training set may contain OOD
    molecules of other tasks.

    Raises:
        UsageError: If the user named a task that the model was not trained on, or the data set declares another task
            under the name of the one that it was trained on.
        ModelError: If the model does not state which task it was trained on.
    """
    if traits.trained_on is None:
        return in_order(named) or dataset.tasks
    own = task_of_checkpoint(traits.trained_on, traits.trained_task, traits.model_id)
    if own.name in dataset.tasks and not own.has_molecules_of(dataset.task(own.name)):
        raise UsageError(
            f"{traits.model_id} was trained on a task {own.name} whose molecules differ from those that {dataset.id} "
            "declares under that name, so it may have seen OOD molecules; use the data set that it was trained on"
        )
    for name in named:
        if name != own.name:
            unseen = {word.smiles for word in dataset.task(name).ood_words()}
            known = len(unseen & {word.smiles for word in own.train_words()})
            raise UsageError(
                f"{traits.model_id} was trained on {own.name}, so it cannot be tested on {name}: {known} of the "
                f"{len(unseen)} OOD molecules of {name} were in its training set, and the protocol {traits.protocol} "
                f"trains on the tested task only. Use --task {own.name}, or train a model on {name}"
            )
    return (own.name,)


def with_stated_level(traits: PotentialTraits, stated: str | None) -> PotentialTraits:
    """The traits of a model, with the user's level of theory where the model names none."""
    if stated is None or traits.protocol == "control":
        return traits
    level = named_level(stated)
    if traits.level_of_theory is None:
        return replace(traits, level_of_theory=level, level_is_stated=True)
    if traits.level_of_theory != level:
        _LOG.warning(
            "--level-of-theory %s is ignored for %s, which states %s itself",
            stated,
            traits.model_id,
            traits.level_of_theory,
        )
    return traits


def own_title(dataset: PinnedDataset, task: TaskName) -> str | None:
    """The title of a task that the data set declares; `None` for one of the four."""
    return None if task in TASKS else dataset.task(task).title


def require_known_elements(traits: PotentialTraits, atomic_numbers: Mapping[str, IntArray]) -> None:
    """Checks that the model has parameters for every molecule before anything is computed.

    Args:
        traits: Of the model.
        atomic_numbers: Elements of each molecule, by its name.

    Raises:
        ModelError: If an element is missing.
    """
    names = np.repeat(np.array(list(atomic_numbers)), [len(numbers) for numbers in atomic_numbers.values()])
    require_elements(traits, np.concatenate(list(atomic_numbers.values())), names)


def _finish(manifest: Manifest, directory: Path, dataset: PinnedDataset, plan: Plan) -> FinishedRun:
    settings = IntervalSettings()
    reader = PredictionReader(plan, directory / SHARDS_NAME, manifest.identity)
    protocol = manifest.model.protocol
    result = RunResult.of(
        model=manifest.model,
        dataset=manifest.dataset,
        environment=manifest.environment,
        settings=SettingsRecord(batch_atoms=manifest.batch_atoms, confidence=settings.confidence),
        created=datetime.now(UTC),
        tasks={
            task: evaluate_task(
                sum_task(dataset, task, protocol, plan, reader),
                drawn_of_task(dataset.task(task)),
                settings,
                own_title(dataset, task),
            )
            for task in manifest.tasks
        },
    )
    result = result.model_copy(update={"cost": cost_of(read_parts(directory), plan.n_structures)})
    path = directory / RESULT_NAME
    result = _with_first_date(result, path)
    try:
        result.save(path)
    except OSError as cause:
        raise _unwritable(directory, cause) from cause
    return FinishedRun(result, directory)


def _with_first_date(result: RunResult, path: Path) -> RunResult:
    """Keeps the date of the saved result if the content is unchanged, so that publishing it again changes nothing.

    Its cost is kept, too, where nothing more was timed: the records of the parts may not have moved with the result.
    """
    if not path.is_file():
        return result
    try:
        earlier = RunResult.load(path)
    except DataError:
        return result
    kept = result.model_copy(update={"created": earlier.created, "cost": result.cost or earlier.cost})
    return kept if earlier == kept else result.model_copy(update={"cost": kept.cost})


def _save(manifest: Manifest, directory: Path) -> None:
    try:
        manifest.save(directory)
    except OSError as cause:
        raise _unwritable(directory, cause) from cause


def _unwritable(directory: Path, cause: OSError) -> SetupError:
    return SetupError(f"cannot write to {directory}: {cause.strerror or cause}; choose a folder with --output")


def _remembered_dataset(manifest: Manifest) -> str:
    if manifest.dataset_directory.startswith(PREFIX) or Path(manifest.dataset_directory).is_dir():
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
        needs_cell=traits.needs_cell,
        is_compiled=traits.is_compiled,
        level_is_stated=traits.level_is_stated,
        unfinished=traits.unfinished,
        training=traits.training,
        base=traits.base,
        unchecked=traits.unchecked,
        known_as=traits.known_as,
        known_by=traits.known_by,
    )


def _dataset_record(dataset: PinnedDataset) -> DatasetRecord:
    return DatasetRecord(
        id=dataset.id,
        revision=dataset.revision,
        content_hash=dataset.content_hash,
        edition=dataset.edition,
        level_of_theory=dataset.level_of_theory,
        suffix=dataset.level.suffix,
    )


def _environment_record(traits: PotentialTraits) -> EnvironmentRecord:
    return EnvironmentRecord(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages={"mlip-ood": version("mlip-ood"), **package_versions(traits)},
        code_hash=code_hash(traits.family),
        precision=dict(traits.precision),
        variables=dict(traits.variables),
        isolation=traits.isolation,
    )
