"""Evaluates a method: each model on its task in a separate run, and the mean of these runs."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import DataError
from dataset_builders.core.hashes import text_sha256
from dataset_builders.tasks.regions import TaskName
from harness.data.dataset import PinnedDataset
from harness.evaluation.run import FinishedRun, RunOptions, evaluate_again, evaluate_model
from harness.inference.meeting import ALONE, Meeting
from harness.method.assemble import MeasuredMember, mean_result
from harness.method.claims import require_claims
from harness.method.document import METHOD_NAME, MethodMember, MethodResult, is_method, result_hash
from harness.method.source import MethodSource
from harness.method.statement import agreed
from harness.models.training_declaration import Statement
from harness.results.identity import model_slug
from harness.results.result import RESULT_NAME, RunResult, load_results

_KEY_LENGTH: Final = 12


@dataclass(frozen=True, slots=True)
class FinishedMethod:
    """The result of a method and its folder."""

    method: MethodResult
    directory: Path


@dataclass(frozen=True, slots=True)
class _RunOfMember:
    task: TaskName
    seed: int | None
    run: FinishedRun


def evaluate_method(
    method: MethodSource, datasets: Sequence[PinnedDataset], options: RunOptions, meeting: Meeting = ALONE
) -> FinishedMethod | None:
    """Evaluates the models of a method, reuses existing runs, and writes `method.json`.

    Args:
        method: The method from `harness.method.source`.
        datasets: One data set at one or more levels of theory.
        options: The user's options. `tasks` selects tasks of the method. The task of `statement` is ignored,
            since the folder of a model determines its task.
        meeting: The processes that share the work.

    Returns:
        The result in the first process; `None` in others.

    Raises:
        UsageError: If a model was trained on another task than its folder names, does not declare its training, or
            counts twice.
        DataError: If two models were trained or evaluated differently.
        MlipOodError: As `harness.evaluation.run.evaluate_model` does.
    """
    statement = agreed(method.statement, options.statement)
    require_claims(method.members, statement)
    found = []
    for member in method.members:
        own = replace(options, tasks=(member.task,), statement=_statement(statement, member.task))
        run = evaluate_model(member.source, datasets, own, meeting)
        if run is not None:
            found.append(_RunOfMember(member.task, member.seed, run))
    if len(found) < len(method.members):
        return None
    directory = options.output / model_slug(method.name) / _key(found)
    return _finish(found, directory, method.name, method.revision)


def report_method(directory: Path, dataset_text: str | None = None) -> FinishedMethod:
    """Recomputes the result of a method from the predictions of its runs, without its models.

    Args:
        directory: Folder of the method.
        dataset_text: Present location of the data set; `None` for the former location.

    Raises:
        DataError: If the folder is not that of a method, or a run is absent or belongs to another model.
        MlipOodError: As `harness.evaluation.run.evaluate_again` does.
    """
    before = MethodResult.load(directory)
    found = []
    for member in before.members:
        folder = before.run_of(member, directory)
        _require_run(folder, member)
        run = evaluate_again(folder, dataset_text)
        if run.result.model.id != member.model:
            raise DataError(f"{folder} is a run of {run.result.model.id}; {directory} names {member.model} for it")
        found.append(_RunOfMember(member.task, member.seed, run))
    model = before.result.model
    return _finish(found, directory, model.id, model.revision)


def load_method(directory: Path) -> MethodResult:
    """Reads the result of a method, and checks it against the results of its runs.

    Args:
        directory: Folder of the method.

    Raises:
        DataError: If it is not a method, a run is absent or its result differs from the recorded hash, or the means are
            not those of the runs.
    """
    method = MethodResult.load(directory)
    measured = []
    for member in method.members:
        folder = method.run_of(member, directory)
        _require_run(folder, member)
        found = result_hash(folder)
        if found != member.result_sha256:
            raise DataError(
                f"{folder / RESULT_NAME} has sha256 {found[:_KEY_LENGTH]}, but {directory / METHOD_NAME} was computed "
                f"from one with {member.result_sha256[:_KEY_LENGTH]}; recompute it with: python -m harness report "
                f"{directory}"
            )
        measured.append(MeasuredMember(member.task, member.seed, RunResult.load(folder / RESULT_NAME)))
    result = method.result
    if mean_result(result.model.id, measured, result.created, result.model.revision) != result:
        raise DataError(
            f"{directory / METHOD_NAME} is not the mean of the results that it names: it was edited, or written by "
            f"another version of the harness. Recompute it with: python -m harness report {directory}"
        )
    return method


def load_any_results(runs: Sequence[Path], *, checked: bool = True) -> list[RunResult]:
    """Reads results: those of runs, and of methods.

    Args:
        runs: Folders of runs or methods, or their files.
        checked: Whether to check methods against their runs, which must exist then.

    Raises:
        DataError: As `load_method` and `harness.results.result.load_results` do.
    """
    load = load_method if checked else MethodResult.load
    return [load(_folder_of(run)).result if is_method(run) else load_results([run])[0] for run in runs]


def _folder_of(run: Path) -> Path:
    return run.parent if run.name == METHOD_NAME else run


def _statement(statement: Statement | None, task: TaskName) -> Statement | None:
    return None if statement is None else replace(statement, task=task)


def _finish(found: Sequence[_RunOfMember], directory: Path, name: str, revision: str | None) -> FinishedMethod:
    measured = [MeasuredMember(each.task, each.seed, each.run.result) for each in found]
    members = tuple(
        MethodMember(
            task=each.task,
            seed=each.seed,
            model=each.run.result.model.id,
            family=each.run.result.model.family,
            run=Path(os.path.relpath(each.run.directory.resolve(), directory.resolve())).as_posix(),
            result_sha256=result_hash(each.run.directory),
        )
        for each in found
    )
    result = mean_result(name, measured, datetime.now(UTC), revision)
    method = _with_first_date(MethodResult(members=members, result=result), directory)
    method.save(directory)
    return FinishedMethod(method, directory)


def _with_first_date(method: MethodResult, directory: Path) -> MethodResult:
    """Keeps the date of an equal method on disk, so that a second push changes nothing."""
    if not is_method(directory):
        return method
    try:
        earlier = MethodResult.load(directory)
    except DataError:
        return method
    result = method.result.model_copy(update={"created": earlier.result.created})
    return earlier if earlier.result == result and earlier.members == method.members else method


def _key(found: Sequence[_RunOfMember]) -> str:
    """Key of a method from the names of its runs, which cover all inputs of their predictions."""
    runs = [[each.task, each.seed, each.run.directory.name] for each in found]
    return text_sha256(json.dumps(runs))[:_KEY_LENGTH]


def _require_run(folder: Path, member: MethodMember) -> None:
    if not (folder / RESULT_NAME).is_file():
        raise DataError(
            f"the run of {member.place} of the method is not at {folder}; keep the folders of the runs next to that of "
            "the method, or evaluate the method again"
        )
