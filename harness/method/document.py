"""The file `method.json`: the result of a method, and the members that it averages."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from dataset_builders.core.errors import DataError, SetupError
from dataset_builders.core.hashes import file_sha256
from dataset_builders.core.whole_file import write_text_whole
from dataset_builders.tasks.regions import TASK_PATTERN, TASKS, TaskName
from dataset_builders.tasks.task_document import first_problem
from harness.core.seed_folders import place_of
from harness.results.result import RESULT_NAME, PartName, RunResult, Sha256, TaskResult

METHOD_NAME: Final = "method.json"
METHOD_SCHEMA: Final = "mlip-ood-method-result/1"

MAX_BYTES: Final = 64 * 2**20
"""Largest file that is read; four tasks of the shipped editions need less than 1 MB."""

_METRICS: Final[Mapping[str, tuple[PartName, str]]] = {
    "ood_force_mae": ("test_ood", "force_mae"),
    "id_force_mae": ("test_id", "force_mae"),
    "near_force_mae": ("near", "force_mae"),
    "far_force_mae": ("far", "force_mae"),
    "ood_energy_mae": ("test_ood", "centred_energy_mae"),
    "id_energy_mae": ("test_id", "centred_energy_mae"),
}

_Text = Annotated[str, Field(min_length=1, max_length=1000)]
_Seed = Annotated[int, Field(ge=0)]
_Task = Annotated[str, Field(pattern=f"^{TASK_PATTERN}$")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Spread(_Record):
    """The value of a number for each seed, and their spread.

    Attributes:
        values: Values by seed, in order; `None` if undefined. Energies in eV, forces in eV/Å.
        standard_deviation: Sample standard deviation (n - 1); `None` with fewer than two values.
    """

    values: tuple[FiniteFloat | None, ...]
    standard_deviation: FiniteFloat | None

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Self:
        """The spread of some values."""
        known = [value for value in values if value is not None]
        is_known = len(known) == len(values) and len(known) > 1
        return cls(values=tuple(values), standard_deviation=statistics.stdev(known) if is_known else None)

    @model_validator(mode="after")
    def _follows_from_its_values(self) -> Self:
        known = [value for value in self.values if value is not None]
        expected = statistics.stdev(known) if len(known) == len(self.values) and len(known) > 1 else None
        found = self.standard_deviation
        if (found is None) != (expected is None) or not math.isclose(found or 0.0, expected or 0.0, abs_tol=1e-12):
            raise ValueError(f"standard_deviation is {found}; the values give {expected}")
        return self


class SeedsOfTask(_Record):
    """The seeds that the numbers of a task average.

    Attributes:
        seeds: Seeds from the folder names; `None` for the single model of a task without seed folders.
        numbers: Values for each seed, by name: score, gap, errors of splits and subsets.
    """

    seeds: Annotated[tuple[_Seed | None, ...], Field(min_length=1)]
    numbers: dict[str, Spread]

    @model_validator(mode="after")
    def _has_a_value_a_seed(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds) or (None in self.seeds and len(self.seeds) > 1):
            raise ValueError(f"seeds are {self.seeds}; expected each of them once")
        for name, spread in self.numbers.items():
            if len(spread.values) != len(self.seeds):
                raise ValueError(f"{name} has {len(spread.values)} values for {len(self.seeds)} seeds")
        return self


class MeanResult(RunResult):
    """The result of a method: the mean over seeds for each task, in the format of the result of one model.

    Attributes:
        seeds: Seeds of each task.
        overall: Overall score of each seed, if all four tasks have the same seeds, two or more; else `None`.
    """

    seeds: dict[_Task, SeedsOfTask]
    overall: Spread | None = None

    @model_validator(mode="after")
    def _has_seeds_of_its_tasks(self) -> Self:
        if self.seeds.keys() != self.tasks.keys():
            raise ValueError(f"seeds are listed for {' '.join(self.seeds)}, but the tasks are {' '.join(self.tasks)}")
        if self.overall != overall_spread(self.seeds):
            raise ValueError("overall differs from the value computed from the scores of the seeds")
        return self


class MethodMember(_Record):
    """A model of a method and its run.

    Attributes:
        task: Its task.
        seed: Its seed, if its folder names one.
        model: Id of the model in its own result.
        family: Its family.
        run: Folder of its run, relative to the folder of the method.
        result_sha256: sha256 of the `result.json` of the run.
    """

    task: _Task
    seed: _Seed | None
    model: str
    family: str
    run: _Text
    result_sha256: Sha256

    @property
    def place(self) -> str:
        """Folder in the method, such as `task1/seed0`."""
        return place_of(self.task, self.seed)


class MethodResult(_Record):
    """The outcome of one evaluation of a method.

    Attributes:
        schema_version: Version of this document; `schema` in the file.
        members: The models, by task and seed.
        result: Their means.
    """

    schema_version: Annotated[Literal["mlip-ood-method-result/1"], Field(alias="schema")] = METHOD_SCHEMA
    members: Annotated[tuple[MethodMember, ...], Field(min_length=1)]
    result: MeanResult

    @model_validator(mode="after")
    def _counts_its_members(self) -> Self:
        named = {task: tuple(m.seed for m in self.members if m.task == task) for task in self.result.tasks}
        found = {task: seeds.seeds for task, seeds in self.result.seeds.items()}
        if named != found or {member.task for member in self.members} != named.keys():
            raise ValueError("the members do not match the tasks and seeds of the result")
        return self

    def save(self, directory: Path) -> Path:
        """Writes `method.json` atomically and returns its path.

        Raises:
            SetupError: If the folder is not writable.
        """
        path = directory / METHOD_NAME
        document = self.model_dump(mode="json", by_alias=True)
        text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            write_text_whole(path, text)
        except OSError as cause:
            raise SetupError(f"cannot write {path}: {cause}; choose a folder with --output") from cause
        return path

    @classmethod
    def load(cls, directory: Path) -> "MethodResult":
        """Reads the `method.json` of a folder.

        Raises:
            DataError: If it is absent, unreadable or invalid.
        """
        path = directory / METHOD_NAME
        expected = f"expected a {METHOD_NAME} that `python -m harness --method` wrote"
        try:
            with path.open("rb") as stream:
                content = stream.read(MAX_BYTES + 1)
        except OSError as cause:
            raise DataError(f"cannot read {path}: {cause}; {expected}") from cause
        if len(content) > MAX_BYTES:
            raise DataError(f"{path} is longer than {MAX_BYTES:,} bytes; {expected}")
        try:
            return cls.model_validate_json(content)
        except ValidationError as cause:
            raise DataError(f"{path} is not a result of a method ({first_problem(cause)}); {expected}") from cause

    def run_of(self, member: MethodMember, directory: Path) -> Path:
        """Folder of the run of a member.

        Args:
            member: One of the members.
            directory: Folder of the method.

        Raises:
            DataError: If its path is not relative.
        """
        if PurePosixPath(member.run).is_absolute() or "\\" in member.run or "\0" in member.run:
            raise DataError(f"{directory / METHOD_NAME} names the run {member.run!r}; expected a relative path")
        return directory / member.run


def is_method(run: Path) -> bool:
    """Whether a path is the folder or the file of a method."""
    return (run / METHOD_NAME).is_file() or (run.name == METHOD_NAME and run.is_file())


def numbers_of(task: TaskResult) -> dict[str, float | None]:
    """The numbers of a result whose spread between seeds is reported, by name."""
    numbers = {"score": task.score.value, "gap": task.comparable_gap.value}
    for name, (part, metric) in _METRICS.items():
        if part in task.splits:
            numbers[name] = task.splits[part].metrics[metric].value
    return numbers


def seeds_of_task(seeds: Sequence[int | None], results: Sequence[TaskResult]) -> SeedsOfTask:
    """Collects the numbers of the seeds of a task."""
    numbers = [numbers_of(result) for result in results]
    return SeedsOfTask(
        seeds=tuple(seeds), numbers={name: Spread.of([each[name] for each in numbers]) for name in numbers[0]}
    )


def overall_spread(seeds: Mapping[TaskName, SeedsOfTask]) -> Spread | None:
    """Overall score of each seed; `None` unless all four tasks have the same seeds, two or more."""
    if not set(TASKS) <= seeds.keys():
        return None
    of_four = [seeds[task] for task in TASKS]
    if len({each.seeds for each in of_four}) > 1 or len(of_four[0].seeds) < 2:
        return None
    scores = [each.numbers["score"].values for each in of_four if "score" in each.numbers]
    by_seed = [[score for score in of_seed if score is not None] for of_seed in zip(*scores, strict=True)]
    return Spread.of([sum(each) / len(TASKS) if len(each) == len(TASKS) else None for each in by_seed])


def result_hash(run: Path) -> str:
    """sha256 of the `result.json` of a run.

    Raises:
        DataError: If it cannot be read.
    """
    path = run / RESULT_NAME
    try:
        return file_sha256(path)
    except OSError as cause:
        raise DataError(f"cannot read {path}: {cause}; evaluate the method again") from cause
