"""Runs the jobs of a study: trains, evaluates, measures and saves the record; a failed job does not stop the others."""

import functools
import json
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from dataset_builders.core.errors import DataError, MlipOodError
from dataset_builders.core.place_names import place_name
from dataset_builders.core.usable_cpus import usable_cpus
from dataset_builders.tasks.editions import SPLITS
from dataset_builders.tasks.regions import TaskName
from harness.data.dataset import PinnedDataset, content_hash, split_files
from harness.networks.checkpoint_format import CONFIG_FILE, WEIGHTS_FILE
from harness.networks.finished import holds_finished_checkpoint
from harness.results.result import RESULT_NAME, RunResult
from harness.study.distances import task_distances
from harness.study.jobs import (
    Job,
    Places,
    Request,
    asked_of,
    commands,
    identity_of,
    key_of,
    shown,
    training_identity,
)
from harness.study.measure import measure
from harness.study.predicted import predicted_task
from harness.study.processes import Processes, child_environment, sole_user
from harness.study.run_record import Machine, ModelFacts, RunRecord, keep_record

_SHOWN_LINES: Final = 12
_FOLDER_HASH: Final = 12
_KEPT_OF_TRAINING: Final = frozenset(
    {
        "settings",
        "n_frames",
        "n_molecules",
        "reference_rank",
        "best_validation",
        "zero_shot_validation",
        "ended_early",
        "chosen_on_validation",
        "n_coefficients",
        "n_remembered_atoms",
        "steps",
        "planned_steps",
        "epochs_done",
        "wall_time_s",
        "device",
        "edition",
    }
)


@dataclass(frozen=True, slots=True)
class Study:
    """A study with its folders.

    Attributes:
        request: The request.
        dataset: Its data set.
        work: Folder of checkpoints, predictions and logs.
        results: Folder of the records.
        n_parallel: Number of concurrent jobs.
        row_order: Place of each row in the file of records.
    """

    request: Request
    dataset: PinnedDataset
    work: Path
    results: Path
    n_parallel: int
    row_order: Mapping[str, int]

    def content(self, task: TaskName) -> str:
        """sha256 over the files of one task, since a run does not depend on other tasks."""
        return _content_of(self.dataset, task)

    @property
    def threads(self) -> int:
        """Threads per job."""
        return max(1, usable_cpus() // self.n_parallel)


@dataclass(frozen=True, slots=True)
class JobFailure:
    """A failed job and its cause."""

    job: Job
    cause: str


@dataclass(frozen=True, slots=True)
class _Finished:
    """A job with completed commands: the folder of its run, its result and the duration of each command."""

    run: Path
    result: RunResult
    seconds: dict[str, float]


class _CommandError(MlipOodError):
    """A command of a job that ended with an error."""


def run_jobs(study: Study, jobs: Sequence[Job], on_end: Callable[[Job, str | None], None]) -> list[JobFailure]:
    """Runs several jobs at a time, and saves the record of each as soon as it is done.

    Args:
        study: The study.
        jobs: The jobs, in order.
        on_end: Called for each finished job, with the cause if it failed.

    Returns:
        The failed jobs; the others are not affected.

    Raises:
        SetupError: If the work folder is in use, or a folder is not writable.
    """
    failures = []
    with _pool(study) as (pool, processes):
        futures = {pool.submit(_do, study, job, processes): job for job in jobs}
        for future in as_completed(futures):
            job = futures[future]
            cause = _keep(study, job, future)
            if cause is not None:
                failures.append(JobFailure(job, cause))
            on_end(job, cause)
    return failures


@contextmanager
def _pool(study: Study) -> Iterator[tuple[ThreadPoolExecutor, Processes]]:
    with sole_user(study.work) as lock:
        processes = Processes(child_environment(study.threads), (lock,))
        pool = ThreadPoolExecutor(study.n_parallel)
        try:
            yield pool, processes
        finally:
            # After an interruption some processes still run; otherwise this has no effect.
            pool.shutdown(wait=False, cancel_futures=True)
            processes.stop()
            pool.shutdown(wait=True)


def _do(study: Study, job: Job, processes: Processes) -> _Finished:
    """Runs the commands of a job in a thread: the training, unless finished, and the evaluation."""
    places = _places(study, job)
    seconds = {}
    for name, arguments in commands(job, study.request, places).items():
        if name == "train" and holds_finished_checkpoint(Path(places.checkpoint)):
            continue
        extra = () if name == "train" else ("--json", "--quiet", "--jobs", "1", "--threads", str(study.threads))
        log = study.work / "logs" / f"{job.name}-{name}.log"
        began = time.monotonic()
        code, output = processes.run([*arguments, *extra], log)
        seconds[name] = round(time.monotonic() - began, 1)
        if code != 0:
            raise _CommandError(f"{shown(arguments)} ended with exit code {code}: {_last_lines(log)}")
    result = RunResult.model_validate_json(output)
    return _Finished(_run_of(Path(places.output), result), result, seconds)


def _run_of(output: Path, result: RunResult) -> Path:
    for path in sorted(output.glob(f"*/*/{RESULT_NAME}")):
        if RunResult.load(path) == result:
            return path.parent
    raise DataError(
        f"the result of {result.model.id} is not in {output}; another program may write to this folder. Choose "
        "another one with --work"
    )


def _keep(study: Study, job: Job, future: "Future[_Finished]") -> str | None:
    """Measures a finished job and saves its record; returns the cause of a failure."""
    try:
        keep_record(study.results, _record(study, job, future.result()), study.row_order)
    except MlipOodError as cause:
        return str(cause)
    return None


def _record(study: Study, job: Job, done: _Finished) -> RunRecord:
    result, request = done.result, study.request
    checkpoint = Path(_places(study, job).checkpoint) if job.row.is_trained else None
    measured = measure(
        result,
        job.task,
        predicted_task(done.run, job.task, study.dataset),
        task_distances(study.dataset, job.task, study.work / "distances" / study.content(job.task)[:_FOLDER_HASH]),
    )
    named = _readable_places(study, job)
    return RunRecord(
        row=job.row.name,
        kind=job.row.kind,
        task=job.task,
        title=result.tasks[job.task].title,
        seed=job.seed,
        asked=asked_of(job, request, named),
        identity=identity_of(job, request, study.content(job.task)),
        dataset=result.dataset.model_copy(update={"id": named.dataset, "content_hash": study.content(job.task)}),
        model=_model_facts(result, checkpoint),
        training={} if checkpoint is None else _training(checkpoint),
        machine=_machine(result),
        commands=tuple(shown(arguments) for arguments in commands(job, request, named).values()),
        seconds=done.seconds,
        created=datetime.now(UTC).replace(microsecond=0),
        **{name: getattr(measured, name) for name in measured.__slots__},
    )


def _places(study: Study, job: Job) -> Places:
    """The paths of a job. They depend on all its inputs, so that present files can be reused."""
    request, dataset = study.request, study.dataset
    trained = key_of(training_identity(job, request, study.content(job.task)))
    checkpoint = job.row.checkpoint
    return Places(
        dataset=str(dataset.directory),
        checkpoint=str(study.work / "checkpoints" / f"{job.name}-{trained}"),
        output=str(study.work / "runs" / f"{job.name}-{trained}"),
        model=None if checkpoint is None else request.models[checkpoint],
    )


def _readable_places(study: Study, job: Job) -> Places:
    """The same in readable form, without the folders of this machine."""
    checkpoint = job.row.checkpoint
    given = None if checkpoint is None else study.request.models[checkpoint]
    return Places(
        dataset=place_name(study.dataset.id),
        checkpoint=f"checkpoints/{job.name}",
        output="results",
        model=None if given is None else Path(given).name if Path(given).exists() else given,
    )


@functools.cache
def _content_of(dataset: PinnedDataset, task: TaskName) -> str:
    missing = {split for of_task, split in dataset.left_out if of_task == task}
    splits = [split for split in SPLITS if split not in missing]
    files = [path for split in splits for path in split_files(dataset.directory, task, split, dataset.level)]
    return content_hash(dataset.directory, files)


def _model_facts(result: RunResult, checkpoint: Path | None) -> ModelFacts:
    model = result.model
    assert model.dtype != "mixed"  # Only the result of a method can have mixed precision.
    return ModelFacts(
        family=model.family,
        files=model.files,
        protocol=model.protocol,
        level_of_theory=model.level_of_theory,
        dtype=model.dtype,
        device=model.device,
        n_parameters=None if checkpoint is None else _n_parameters(checkpoint / WEIGHTS_FILE),
    )


def _n_parameters(path: Path) -> int | None:
    """Number of parameters in the weights, buffers included; `None` if the checkpoint has no such file."""
    if not path.exists():
        return None
    from math import prod

    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 (not a mapping)
    return sum(int(prod(shape)) for shape in shapes)


def _training(checkpoint: Path) -> dict[str, Any]:
    """Hyperparameters, settings and cost of a training, as far as the checkpoint records them."""
    config = json.loads((checkpoint / CONFIG_FILE).read_text(encoding="utf-8"))
    shape = {name: value for name, value in config.get("arguments", {}).items() if isinstance(value, int | float)}
    kept = {name: value for name, value in config.get("training", {}).items() if name in _KEPT_OF_TRAINING}
    return {"architecture": config.get("architecture", config.get("family")), "arguments": shape, **kept}


def _machine(result: RunResult) -> Machine:
    environment = result.environment
    return Machine(
        python=environment.python,
        platform=environment.platform,
        cores=usable_cpus(),
        processor=_processor(result.model.device),
        packages=environment.packages,
    )


def _processor(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join(lines[-_SHOWN_LINES:]) or "no output"
