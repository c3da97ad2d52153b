"""`python -m harness report`: recomputes metrics, tables and result.json from saved predictions, without the model."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builders.core.errors import SetupError, UsageError
from dataset_builders.core.option_parser import option_parser
from harness.commands.evaluation_options import add_printing

if TYPE_CHECKING:
    from harness.evaluation.run import FinishedRun, SavedRun


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Raises:
        MlipOodError: If a run is not finished, the data set is not the one of the run, or structures failed.
    """
    arguments = parser().parse_args(argv)
    from harness.commands.printing import print_runs, view_of
    from harness.evaluation.run import finish_again, open_saved
    from harness.method.document import is_method
    from harness.results.one_dataset import require_one_dataset

    methods = [directory for directory in dict.fromkeys(arguments.run) if is_method(directory)]
    if methods:
        _require_runs(arguments, methods[0])
        return _report_methods(arguments, methods)
    if arguments.html is not None or arguments.figures is not None:
        from harness.pages.report.report_page import require_writable

        require_writable(arguments.html, arguments.figures)
    saved = [open_saved(directory, arguments.dataset) for directory in dict.fromkeys(arguments.run)]
    runs = [finish_again(run) for run in saved]
    require_one_dataset([run.result for run in runs], "a table")
    output = runs[0].directory.resolve().parent.parent
    if arguments.anatomy_figure is not None:
        _draw_figure(runs, arguments.anatomy_figure)
    if arguments.html is not None or arguments.figures is not None:
        _write_page(saved, runs, output, arguments)
    return print_runs(runs, output, None if arguments.json else view_of(arguments), with_anatomy=True)


def _require_runs(arguments: argparse.Namespace, method: Path) -> None:
    """Checks that nothing is asked of a method that needs the predictions of one run."""
    of_runs = {"--html": arguments.html, "--figures": arguments.figures, "--anatomy-figure": arguments.anatomy_figure}
    for option, value in of_runs.items():
        if value is not None:
            raise UsageError(
                f"{option} is for runs, and {method} is the folder of a method; give the runs of the method, whose "
                "folders its method.json lists"
            )


def _write_page(
    saved: "Sequence[SavedRun]", runs: "Sequence[FinishedRun]", output: Path, arguments: argparse.Namespace
) -> None:
    from harness.pages.report.report_page import report_of, write_report
    from harness.pages.report.reported_runs import reported_runs
    from harness.report.control_gaps import control_tasks

    results = [run.result for run in runs]
    controls = control_tasks(results[0].dataset.content_hash, results, output)
    write_report(report_of(reported_runs(saved, runs), controls), arguments.html, arguments.figures)


def _draw_figure(runs: Sequence["FinishedRun"], path: Path) -> None:
    from harness.report.anatomy_figure import bars_of, draw_anatomy

    bars = bars_of([run.result for run in runs])
    if not bars:
        raise UsageError("--anatomy-figure: no run has a gap that could be divided; leave the option out")
    try:
        draw_anatomy(bars, path)
    except OSError as cause:
        raise SetupError(
            f"cannot write {path}: {cause.strerror or cause}; choose a file with --anatomy-figure"
        ) from cause


def _report_methods(arguments: argparse.Namespace, methods: Sequence[Path]) -> int:
    others = [directory for directory in arguments.run if directory not in methods]
    if others:
        raise UsageError(f"{methods[0]} is the folder of a method, but {others[0]} is not; report them separately")
    from harness.commands.printing import view_of
    from harness.method.command import report_again, show

    finished = report_again(methods, arguments.dataset)
    output = finished[0].directory.resolve().parent.parent
    return show(finished, output, None if arguments.json else view_of(arguments))


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = option_parser(
        "python -m harness report",
        "RUN_DIR [RUN_DIR ...] [options]",
        "Recompute metrics, tables and result.json from the predictions of finished runs; for a method, those\n"
        "of all its runs and method.json. For runs, print the anatomy of their gaps; --html writes a page\n"
        "with the charts, molecules and structures behind the numbers.",
        ("python -m harness report results/mmff94/*", "python -m harness report RUN_DIR --html report.html"),
    )
    data = parser.add_argument_group("data")
    data.add_argument("run", nargs="+", type=Path, metavar="RUN_DIR", help="folder of a finished run or method")
    data.add_argument("--dataset", metavar="DATASET", help="where the data set is now (default: as recorded)")
    output = parser.add_argument_group("output")
    output.add_argument("--html", type=Path, metavar="FILE", help="also write a page that opens without a network")
    output.add_argument("--figures", type=Path, metavar="DIR", help="also write its charts as SVG and PNG")
    output.add_argument("--anatomy-figure", type=Path, metavar="FILE", help="also draw the factors of the gaps, as PNG")
    add_printing(output)
    return parser
