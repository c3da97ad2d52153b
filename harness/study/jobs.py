"""The jobs of a study: row x task x seed, with the dependencies and commands of each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from dataset_builders.chemistry.levels import GFN2, Level
from dataset_builders.core.errors import SetupError, UsageError
from dataset_builders.core.hashes import SHORT_HASH, document_sha256, file_sha256, text_sha256
from dataset_builders.tasks.regions import TaskName
from harness.core.source_code import code_hash
from harness.study.run_record import RunRecord, run_name
from harness.study.table_rows import Row
from harness.worker.family_environments import find_environment

TRAIN_CODE: Final = ("harness.train.*",)
PREDICT_CODE: Final = ("harness.evaluation.run", "harness.potentials.*")
MEASURE_CODE: Final = (
    "harness.scoring.task_result",
    "harness.scoring.composition",
    "harness.study.distances",
    "harness.study.energy_zeros",
    "harness.study.measure",
)


@dataclass(frozen=True, slots=True)
class Request:
    """The request for a study.

    Attributes:
        dataset: Data set, as requested.
        rows: Rows, in the order of the table.
        tasks: Tasks, in order.
        seeds: Seeds of the rows that have seeds, in order.
        epochs: Length of a training in epochs; `None` if `steps` is given.
        steps: Length in optimiser steps. A time limit is not offered, since the progress in a given time depends on
            the load of the machine.
        compile: Whether to compile trainings that support it.
        device: Device for training and evaluation, as for `--device`.
        models: Checkpoints of zero-shot and fine-tuned rows, by the name that the rows use.
        trust_checkpoint: Whether checkpoints that run code may be loaded.
        level: Level of theory of the labels.
    """

    dataset: str
    rows: tuple[Row, ...]
    tasks: tuple[TaskName, ...]
    seeds: tuple[int, ...] = (0,)
    epochs: int | None = None
    steps: int | None = None
    compile: bool = False
    device: str = "auto"
    models: Mapping[str, str] = field(default_factory=dict)
    trust_checkpoint: bool = False
    level: Level = GFN2

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise UsageError(f"{self.epochs} epochs and {self.steps} steps; give one of --epochs and --steps")
        option, number = self.length
        if number < 1:
            raise UsageError(f"{option} {number}; expected 1 or more")

    @property
    def length(self) -> tuple[str, int]:
        """The option for the length of a training, with its value."""
        if self.epochs is not None:
            return "--epochs", self.epochs
        assert self.steps is not None
        return "--steps", self.steps


@dataclass(frozen=True, slots=True)
class Job:
    """One row on one task with one seed.

    Attributes:
        row: Row.
        task: Task.
        seed: Seed of the training; `None` for a row without one.
    """

    row: Row
    task: TaskName
    seed: int | None

    @property
    def name(self) -> str:
        """A readable name, also for folders, such as `painn-task2-seed0`."""
        return run_name(self.row.name, self.task, self.seed)

    @property
    def place(self) -> tuple[str, TaskName, int | None]:
        """Row, task and seed, as in its record."""
        return self.row.name, self.task, self.seed


@dataclass(frozen=True, slots=True)
class Places:
    """Input and output paths of a job, as written in its commands.

    Attributes:
        dataset: Data set for evaluations.
        checkpoint: Folder of the trained model.
        output: Folder of the evaluation.
        model: Checkpoint of a zero-shot or fine-tuned row.
    """

    dataset: str
    checkpoint: str
    output: str
    model: str | None


def plan_jobs(request: Request) -> tuple[Job, ...]:
    """All jobs, ordered by seed, then task, so that an interrupted study still yields a complete table.

    Rows whose checkpoint or environment is missing are omitted; see `missing_checkpoints` and `missing_environments`.
    """
    omitted = {row.name for row in (*missing_checkpoints(request), *missing_environments(request))}
    rows = [row for row in request.rows if row.name not in omitted]
    first, *_ = request.seeds
    return tuple(
        Job(row, task, seed if row.seeded else None)
        for seed in request.seeds
        for task in request.tasks
        for row in rows
        if row.seeded or seed == first
    )


def missing_checkpoints(request: Request) -> tuple[Row, ...]:
    """Rows that cannot run because their checkpoint was not given."""
    return tuple(row for row in request.rows if row.checkpoint is not None and row.checkpoint not in request.models)


def missing_environments(request: Request) -> tuple[Row, ...]:
    """Rows that cannot run because the environment of their network was not created."""
    return tuple(
        row for row in request.rows if row.environment is not None and find_environment(row.environment) is None
    )


def train_options(job: Job, request: Request) -> tuple[str, ...]:
    """Options of `harness train`, besides data set and task, that determine its result."""
    row = job.row
    options = row.train
    if row.budgeted:
        options += _length(request, row.budget_factor)
    if row.compiles and request.compile:
        options += ("--compile", "always")
    if job.seed is not None:
        options += ("--seed", str(job.seed))
    return options


def commands(job: Job, request: Request, places: Places) -> dict[str, tuple[str, ...]]:
    """The arguments of `python -m harness` for the job, by step: `train` if needed, and `predict`."""
    found: dict[str, tuple[str, ...]] = {}
    row = job.row
    common = ("--task", job.task, "--dataset", places.dataset, "--device", request.device)
    # An evaluation would otherwise choose the level nearest to the model's own.
    labels = ("--labels", request.level.name)
    trust = ("--trust-checkpoint",) if request.trust_checkpoint and places.model is not None else ()
    if row.is_trained:
        init = () if places.model is None else ("--init", places.model, *trust)
        other = () if request.level == GFN2 else labels
        found["train"] = ("train", *common, *other, *train_options(job, request), *init, "--out", places.checkpoint)
        found["predict"] = ("--model", places.checkpoint, *common, *labels, "--output", places.output)
    else:
        model = places.model or row.model or row.name
        found["predict"] = ("--model", model, *common, *labels, *trust, "--output", places.output)
    return found


def asked_of(job: Job, request: Request, places: Places) -> tuple[str, ...]:
    """Options of `harness study`, besides row, task, seed and data set, that determine a job."""
    options: tuple[str, ...] = ()
    if job.row.budgeted:
        options += _length(request, 1.0)
    if job.row.compiles and request.compile:
        options += ("--compile",)
    if job.row.checkpoint is not None:
        options += ("--model", f"{job.row.checkpoint}={places.model}")
    return options


def training_identity(job: Job, request: Request, content: str) -> dict[str, str]:
    """All inputs of the trained model of a job; for a row that is not trained, the identity of its model.

    Args:
        job: The job.
        request: The request.
        content: Hash of the data of its task.
    """
    identity = {"row": job.row.name, "task": job.task, "dataset": content}
    if job.row.is_trained:
        identity["options"] = " ".join(train_options(job, request))
        identity["train_code"] = code_hash(*TRAIN_CODE)
    else:
        identity["model"] = job.row.model or job.row.name
    if job.row.checkpoint is not None:
        identity["checkpoint"] = _checkpoint_hash(request.models[job.row.checkpoint])
    return identity | {f"{name} version": _version(name, job.row.environment) for name in job.row.packages}


def identity_of(job: Job, request: Request, content: str) -> dict[str, str]:
    """All inputs of the record of a job that are known before it runs; arguments as for `training_identity`."""
    return {
        **training_identity(job, request, content),
        "predict_code": code_hash(*PREDICT_CODE),
        "measure_code": code_hash(*MEASURE_CODE),
    }


def changes(record: RunRecord | None, identity: Mapping[str, str], *, any_code: bool = False) -> tuple[str, ...]:
    """Why a record is not valid for a job: `no record`, or the parts of the identity that differ.

    Args:
        record: The present record.
        identity: Identity of the job; see `identity_of`.
        any_code: Whether a record made with other code is accepted.
    """
    if record is None:
        return ("no record",)
    names = sorted({*record.identity, *identity})
    return tuple(
        name.replace("_", " ")
        for name in names
        if record.identity.get(name) != identity.get(name) and not (any_code and name.endswith("_code"))
    )


def key_of(identity: Mapping[str, str]) -> str:
    """A short key of an identity."""
    return document_sha256(identity)[:SHORT_HASH]


def records_by_place(records: Iterable[RunRecord]) -> dict[tuple[str, TaskName, int | None], RunRecord]:
    """Records by row, task and seed."""
    return {record.place: record for record in records}


def _length(request: Request, factor: float) -> tuple[str, str]:
    option, number = request.length
    return option, str(max(1, round(number * factor)))


def _version(package: str, family: str | None) -> str:
    environment = None if family is None else find_environment(family)
    if environment is not None:
        return environment.version_of(package)
    try:
        return version(package)
    except PackageNotFoundError as cause:
        raise SetupError(
            f"the study needs the package {package!r}, which is not installed. Install it with: "
            "pip install 'mlip-ood[all]', or leave out its rows with --rows"
        ) from cause


def _checkpoint_hash(text: str) -> str:
    """sha256 over the files of a local checkpoint; for one on the Hub, its id."""
    path = Path(text)
    if not path.exists():
        return text
    files = sorted([path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()])
    return text_sha256("".join(f"{file.name} {file_sha256(file)}\n" for file in files))


def shown(arguments: Sequence[str]) -> str:
    """A command of `python -m harness` as typed in a shell."""
    import shlex

    return shlex.join(["python", "-m", "harness", *arguments])
