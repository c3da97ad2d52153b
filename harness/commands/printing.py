"""Prints finished runs: one table for each data set, or JSON; failed structures are an error."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builders.core.errors import IncompleteError
from dataset_builders.core.printable import print_json

if TYPE_CHECKING:
    from harness.evaluation.run import FinishedRun
    from harness.results.result import RunResult


def print_runs(runs: Sequence["FinishedRun"], output: Path, *, as_json: bool, with_anatomy: bool = False) -> int:
    """Prints runs and returns the exit code.

    Args:
        runs: Finished runs.
        output: Folder of results, which is searched for results of controls.
        as_json: Whether to print JSON, one result per line.
        with_anatomy: Whether to print the factors of the gaps below the table.

    Raises:
        IncompleteError: If structures failed.
    """
    results = [run.result for run in runs]
    if as_json:
        for result in results:
            print_json(result.model_dump(mode="json"))
    else:
        print_tables(runs, output, with_anatomy=with_anatomy)
    require_no_failures(results)
    return 0


def print_tables(runs: Sequence["FinishedRun"], output: Path, *, with_anatomy: bool = False) -> None:
    """Prints a table for each data set, on demand with the factors of its gaps, and the paths of the results."""
    from harness.report.anatomy_table import anatomy_report
    from harness.report.control_gaps import control_gaps
    from harness.report.table import console, report

    terminal = console()
    # With --labels auto, models may use labels at different levels of theory, which a table must not mix.
    for content in dict.fromkeys(run.result.dataset.content_hash for run in runs):
        results = [run.result for run in runs if run.result.dataset.content_hash == content]
        gaps = control_gaps(content, results, output)
        terminal.print(report(results, gaps, terminal.width), markup=False)
        if with_anatomy:
            terminal.print(anatomy_report(results, terminal.width), markup=False)
    for run in runs:
        terminal.print(f"result: {run.directory / 'result.json'}", markup=False, soft_wrap=True)


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
