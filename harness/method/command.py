"""Implements `python -m harness --method` and `--model TASK=MODEL`."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builders.core.errors import IncompleteError, UsageError
from dataset_builders.core.printable import print_json
from dataset_builders.tasks.regions import TASKS, TaskName, in_order
from harness.data.dataset import PinnedDataset, named_tasks
from harness.evaluation.options import require_use_of_calculator
from harness.method.evaluate import FinishedMethod, evaluate_method, report_method
from harness.method.source import (
    MethodSource,
    assigned_method,
    assigned_models,
    find_method,
    restricted_to,
)
from harness.method.statement import statement_for_all
from harness.models.registry import find_family
from harness.models.training_declaration import Statement

if TYPE_CHECKING:
    from harness.evaluation.run import RunOptions
    from harness.report.view import View

_LOG = logging.getLogger(__name__)


def method_of(arguments: argparse.Namespace, datasets: Sequence[PinnedDataset]) -> MethodSource | None:
    """The method in the arguments; `None` if they name models that are not a method.

    Raises:
        UsageError: If the arguments contradict each other, or name no method.
        ModelError: If a model of the method cannot be found.
    """
    known = in_order([*TASKS, *(task for dataset in datasets for task in dataset.tasks)])
    assigned = assigned_models(arguments.model, known)
    if arguments.method is None and assigned is None:
        if arguments.name is not None:
            raise UsageError(f"--name {arguments.name} without --model TASK=MODEL; --name applies to a method only")
        return None
    _require_no_contradiction(arguments)
    family = arguments.family or ("ase" if arguments.calculator else None)
    method = _found(arguments, known, assigned, family)
    require_use_of_calculator([member.source for member in method.members], arguments.calculator)
    for name in method.left_out:
        _LOG.warning("%s of %s does not belong to the method and is ignored", name, method.name)
    return restricted_to(method, named_tasks(datasets, arguments.task))


def statement_for_members(arguments: argparse.Namespace) -> Statement | None:
    """The statement of the command line on the training of all members, each on the task of its folder.

    Raises:
        UsageError: If the options contradict each other.
    """
    return statement_for_all(arguments.protocol, arguments.base)


def evaluate(method: MethodSource, datasets: Sequence[PinnedDataset], options: "RunOptions") -> FinishedMethod | None:
    """Evaluates a method; returns `None` in processes other than the first."""
    from harness.inference.meeting import meeting
    from harness.inference.ranks import current_ranks

    with meeting(current_ranks()) as together:
        return evaluate_method(method, datasets, options, together)


def report_again(directories: Sequence[Path], dataset: str | None) -> list[FinishedMethod]:
    """Recomputes the results of methods from their runs."""
    return [report_method(directory, dataset) for directory in directories]


def show(finished: Sequence[FinishedMethod], output: Path, view: "View | None") -> int:
    """Prints methods and returns the exit code.

    Args:
        finished: Measured methods.
        output: Folder of results, which is searched for results of controls.
        view: What the tables show; `None` prints JSON, one method per line.

    Raises:
        IncompleteError: If structures failed.
    """
    for each in finished:
        if view is None:
            print_json(each.method.model_dump(mode="json", by_alias=True))
        else:
            _print_table(each, output, view)
    failed = [
        f"{task.n_failed} of {name} of {each.method.result.model.id}"
        for each in finished
        for name, task in each.method.result.tasks.items()
        if task.n_failed
    ]
    if failed:
        raise IncompleteError(
            f"structures failed: {', '.join(failed)}; the results of the runs list each with its cause. A task with "
            "failures has no score; do not publish these results"
        )
    return 0


def _print_table(finished: FinishedMethod, output: Path, view: "View") -> None:
    from dataset_builders.core.terminal import console
    from harness.method.document import METHOD_NAME
    from harness.method.table import method_table
    from harness.report.control_gaps import control_gaps

    method = finished.method
    terminal = console()
    gaps = control_gaps(method.result.dataset.content_hash, [], output)
    terminal.print(method_table(method, gaps, view), soft_wrap=True)
    for member in method.members if view.provenance else ():
        path = method.run_of(member, finished.directory).resolve()
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        terminal.print(f"{member.place}: {member.model}, run {shown}", soft_wrap=True)
    terminal.print()
    terminal.print(f"result: {finished.directory / METHOD_NAME}", soft_wrap=True)


def _require_no_contradiction(arguments: argparse.Namespace) -> None:
    if arguments.trained_on is not None:
        raise UsageError(
            f"--trained-on {arguments.trained_on} with the models of a method: each is evaluated on the task named by "
            "its folder or by TASK=MODEL. State with --protocol and --base how all of them were trained"
        )
    if arguments.method is not None and arguments.name is not None:
        raise UsageError(
            f"--name {arguments.name} with --method {arguments.method}, which is already its name; omit --name"
        )


def _found(
    arguments: argparse.Namespace,
    known: Sequence[TaskName],
    assigned: Sequence[tuple[TaskName, str]] | None,
    family: str | None,
) -> MethodSource:
    if arguments.method is None:
        assert assigned is not None
        return assigned_method(assigned, arguments.name, family)
    if family is not None and find_family(family).is_open and not Path(arguments.method).is_dir():
        raise UsageError(
            f"--method {arguments.method} is not a local folder; family {family} needs one. Download it first"
        )
    return find_method(arguments.method, known, family)
