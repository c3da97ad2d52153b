"""`python -m harness compare`: compares models with the first one, paired by molecule."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataset_builders.core.errors import UsageError
from dataset_builders.core.option_parser import option_parser
from dataset_builders.core.printable import print_json
from harness.commands.evaluate import evaluated, push_if_asked, require_use_of_results_repo
from harness.commands.evaluation_options import AUTO, add_evaluation_options

if TYPE_CHECKING:
    from harness.data.dataset import PinnedDataset
    from harness.results.result import RunResult

_OF_FINISHED_RUNS: Final = frozenset({"run", "model", "task", "dataset", "output", "json", "quiet"})
"""Options that apply where no model is evaluated, or change nothing that is printed."""


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
    require_use_of_results_repo(arguments)
    if not arguments.model:
        _require_use_of_options(arguments)
    n_models = len(set(arguments.model))
    if (n_results := n_models + len(arguments.run)) < 2:
        raise UsageError(f"{n_results} results; a comparison needs two or more of --model and RUN_DIR")
    earlier = _load_any_results(arguments.run)
    check = partial(_require_comparable, earlier=earlier, tasks=arguments.task, n_models=n_models)
    runs = evaluated(arguments, check) if arguments.model else []
    if not current_ranks().is_first:
        return 0
    results = [*_with_tasks(earlier, arguments.task), *(run.result for run in runs)]
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


def _require_use_of_options(arguments: argparse.Namespace) -> None:
    """Checks that a comparison of finished runs alone has no option of an evaluation, which it could not follow.

    Raises:
        UsageError: If it has one.
    """
    options = parser()
    for name, value in vars(arguments).items():
        if name not in _OF_FINISHED_RUNS and value != options.get_default(name):
            remedy = "publish them with `harness push RUN_DIR`" if name == "push" else "leave it out"
            raise UsageError(
                f"--{name.replace('_', '-')} has no effect on finished runs, and no --model is named; {remedy}"
            )


def _with_tasks(results: "Sequence[RunResult]", tasks: Sequence[str]) -> "list[RunResult]":
    """The results with the named tasks only; with all if none is named."""
    if not tasks:
        return list(results)
    return [
        result.model_copy(update={"tasks": {name: each for name, each in result.tasks.items() if name in tasks}})
        for result in results
    ]


def _require_comparable(
    dataset: "PinnedDataset", earlier: "Sequence[RunResult]", tasks: Sequence[str], n_models: int
) -> None:
    """Checks that results of models can be compared with earlier ones, before any model is evaluated.

    Args:
        dataset: Data set of the models.
        earlier: Results of finished runs.
        tasks: Tasks of the models; if empty, those of the data set.
        n_models: Number of models.

    Raises:
        DataError: If the earlier results are on other data.
        UsageError: If no task can have two results.
    """
    from harness.results.one_dataset import require_same_data

    require_same_data([*(result.dataset for result in earlier), dataset], "a comparison")
    held = [task for result in earlier for task in result.tasks]
    wanted = {*(tasks or dataset.tasks)}
    if n_models == 1 and not wanted & {*held} and len(held) == len({*held}):
        finished = ", ".join(f"{result.model.id}: {' '.join(result.tasks)}" for result in earlier)
        raise UsageError(
            f"no task would have two results ({finished}; --model: {' '.join(sorted(wanted))}); a comparison requires "
            "a task that both results contain"
        )


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
        "Compare models with the first one, paired by molecule: finished runs, then models to evaluate.",
        ("python -m harness compare --model gfn1-xtb --model mmff94 --task task2",),
    )
    add_evaluation_options(parser, comparing=True)
    return parser
