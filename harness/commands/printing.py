"""Prints finished runs: one table for each data set, or JSON; failed structures are an error."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builders.core.errors import IncompleteError
from dataset_builders.core.printable import print_json

if TYPE_CHECKING:
    import argparse

    from harness.evaluation.run import FinishedRun
    from harness.report.view import View
    from harness.results.result import RunResult


def view_of(arguments: "argparse.Namespace") -> "View":
    """What the command line asks tables to show, in the width of the terminal."""
    from dataset_builders.core.terminal import terminal_width
    from harness.report.view import View

    return View(terminal_width(), arguments.intervals, arguments.provenance)


def print_runs(runs: Sequence["FinishedRun"], output: Path, view: "View | None", *, with_anatomy: bool = False) -> int:
    """Prints runs and returns the exit code.

    Args:
        runs: Finished runs.
        output: Folder of results, which is searched for results of controls.
        view: What the tables show; `None` prints JSON, one result per line.
        with_anatomy: Whether to print the factors of the gaps below the table.

    Raises:
        IncompleteError: If structures failed.
    """
    results = [run.result for run in runs]
    if view is None:
        for result in results:
            print_json(result.model_dump(mode="json"))
    else:
        print_tables(runs, output, view, with_anatomy=with_anatomy)
    require_no_failures(results)
    return 0


def print_tables(runs: Sequence["FinishedRun"], output: Path, view: "View", *, with_anatomy: bool = False) -> None:
    """Prints a table for each data set, on demand with the factors of its gaps, and the paths of the results."""
    from dataset_builders.core.terminal import console
    from harness.report.anatomy_table import anatomy_report
    from harness.report.control_gaps import control_gaps
    from harness.report.table import report

    terminal = console()
    # With --labels auto, models may use labels at different levels of theory, which a table must not mix.
    for content in dict.fromkeys(run.result.dataset.content_hash for run in runs):
        results = [run.result for run in runs if run.result.dataset.content_hash == content]
        gaps = control_gaps(content, results, output)
        terminal.print(report(results, gaps, view), soft_wrap=True)
        if with_anatomy:
            terminal.print()
            terminal.print(anatomy_report(results, view), soft_wrap=True)
    terminal.print()
    for run in runs:
        terminal.print(f"result: {run.directory / 'result.json'}", soft_wrap=True)


def require_no_failures(results: Sequence["RunResult"]) -> None:
    """Checks that no structure failed.

    Raises:
        IncompleteError: If any did.
    """
    failed = [(result.model.id, sum(task.n_failed for task in result.tasks.values())) for result in results]
    listed = ", ".join(f"{count} of {model}" for model, count in failed if count)
    if listed:
        raise IncompleteError(
            f"structures failed: {listed}; the result lists each with its cause, and a task with failures has no "
            "score. Do not publish it"
        )
