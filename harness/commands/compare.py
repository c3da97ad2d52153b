"""`python -m harness compare`: compares models with the first one, paired by molecule."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builders.core.errors import UsageError
from dataset_builders.core.option_parser import option_parser
from dataset_builders.core.printable import print_json
from harness.commands.evaluate import evaluated, push_if_asked
from harness.commands.evaluation_options import AUTO, add_evaluation_options

if TYPE_CHECKING:
    from harness.results.result import RunResult


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Raises:
        MlipOodError: If the request, the data, a model or the environment is invalid, or structures failed.
    """
    arguments = parser().parse_args(argv)
    from dataset_builders.core.terminal import console
    from harness.commands.printing import print_tables, require_no_failures, view_of
    from harness.inference.ranks import current_ranks
    from harness.report.compare import comparison_documents, comparison_table

    if arguments.labels == AUTO and len(arguments.model) + len(arguments.run) > 1:
        raise UsageError(
            "compare needs the same labels for all models, but --labels auto may choose different ones; name a level"
        )
    earlier = _load_any_results(arguments.run)
    runs = evaluated(arguments) if arguments.model else []
    if not current_ranks().is_first:
        return 0
    results = [*(run.result for run in runs), *earlier]
    if len(results) < 2:
        raise UsageError(f"{len(results)} results; a comparison needs two or more of --model and RUN_DIR")
    if arguments.json:
        for document in comparison_documents(results):
            print_json(document)
    else:
        if runs:
            print_tables(runs, arguments.output, view_of(arguments))
            print()
        terminal = console()
        terminal.print(comparison_table(results, terminal.width), soft_wrap=True)
    require_no_failures(results)
    push_if_asked(arguments, runs)
    return 0


def _load_any_results(runs: Sequence[Path]) -> "list[RunResult]":
    """Loads results of runs or methods; only methods import the evaluation code."""
    from harness.method.document import is_method
    from harness.results.result import load_results

    if not any(map(is_method, runs)):
        return load_results(runs)
    from harness.method.evaluate import load_any_results

    return load_any_results(runs)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = option_parser(
        "python -m harness compare",
        "[RUN_DIR ...] [--model MODEL ...] [options]",
        "Compare models with the first one, paired by molecule: models to evaluate, finished runs, or both.",
        ("python -m harness compare --model gfn1-xtb --model mmff94 --task task2",),
    )
    add_evaluation_options(parser, comparing=True)
    return parser
