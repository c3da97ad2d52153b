"""`python -m harness evaluate`: evaluates models, prints their table, and publishes the results on request."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dataset_builders.core.errors import MlipOodError, UsageError
from dataset_builders.core.option_parser import option_parser
from harness.commands.evaluation_options import add_evaluation_options, options_of

if TYPE_CHECKING:
    from harness.data.dataset import PinnedDataset
    from harness.evaluation.run import FinishedRun
    from harness.method.source import MethodSource
    from harness.models.registry import ModelSource


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Raises:
        MlipOodError: If the request, the data, a model or the environment is invalid, or structures failed.
    """
    arguments = parser().parse_args(argv)
    require_use_of_results_repo(arguments)
    if arguments.method or arguments.name or any("=" in text for text in arguments.model):
        code = _method_evaluated(arguments)
        if code is not None:
            return code
    runs = evaluated(arguments)
    if not runs:
        return 0
    from harness.commands.printing import print_runs, view_of

    code = print_runs(runs, arguments.output, None if arguments.json else view_of(arguments))
    push_if_asked(arguments, runs)
    return code


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = option_parser(
        "python -m harness",
        "[evaluate] --model MODEL | --method DIR [options]",
        "Evaluate models on unseen geometries of training molecules and on unseen combinations of fragments.",
        ("python -m harness --model reference --task task2", "python -m harness --model org/name@main --device cuda"),
    )
    add_evaluation_options(parser)
    return parser


def evaluated(
    arguments: argparse.Namespace, check: "Callable[[PinnedDataset], None] | None" = None
) -> list["FinishedRun"]:
    """Evaluates the models and returns the runs; with several processes, only the first one returns them.

    Args:
        arguments: Of the command.
        check: Called with the data set before any model is loaded, so that it can refuse a useless evaluation.
    """
    from harness.api import evaluate_models

    def allowed(dataset: "PinnedDataset", models: Sequence["ModelSource"]) -> None:
        if check is not None:
            check(dataset)
        if arguments.push:
            _require_pushable(dataset, models, arguments.results_repo)

    return evaluate_models(
        arguments.model,
        dataset=arguments.dataset,
        tasks=arguments.task,
        check=allowed,
        **options_of(arguments),
    )


def require_use_of_results_repo(arguments: argparse.Namespace) -> None:
    """Checks that a repo of results is named only where results are pushed.

    Raises:
        UsageError: If `--push` is missing.
    """
    if arguments.results_repo is not None and not arguments.push:
        raise UsageError(
            f"--results-repo {arguments.results_repo} without --push, so nothing would be published; add --push, or "
            "leave out --results-repo"
        )


def _method_evaluated(arguments: argparse.Namespace) -> int | None:
    """Evaluates a method and prints its result; `None` if the arguments name models that are not a method."""
    from harness.commands.printing import view_of
    from harness.evaluation.options import EvaluationOptions, datasets_of, require_options, run_options
    from harness.evaluation.run import FinishedRun
    from harness.method.command import evaluate, method_of, show, statement_for_members

    options = options_of(arguments)
    require_options(options, EvaluationOptions)
    datasets = datasets_of(arguments.dataset, options)
    method = method_of(arguments, datasets)
    if method is None:
        return None
    if arguments.push:
        _require_pushable(datasets[0], [method], arguments.results_repo)
    # A statement applies to each member on the task of its folder, which an evaluation of one model cannot express.
    stated = statement_for_members(arguments)
    how = run_options(datasets, arguments.task, EvaluationOptions(**{**options, "protocol": None, "base": None}))
    finished = evaluate(method, datasets, replace(how, statement=stated))
    if finished is None:
        return 0
    code = show([finished], arguments.output, None if arguments.json else view_of(arguments))
    push_if_asked(arguments, [FinishedRun(finished.method.result, finished.directory)])
    return code


def push_if_asked(arguments: argparse.Namespace, runs: Sequence["FinishedRun"]) -> None:
    """Publishes the results of models from the Hub if `--push` is given.

    Raises:
        MlipOodError: If a result cannot be published, or the Hub rejects it; the message says how to retry.
    """
    if not arguments.push:
        return
    from model_cards.publishing.push import PushOptions, push_each

    runs = [run for run in runs if run.result.model.revision is not None]
    try:
        options = PushOptions(results_repo=arguments.results_repo)
        for done in push_each([run.result for run in runs], options, [run.directory for run in runs]):
            # A program that reads JSON from standard output must find nothing else there.
            print(done.text, file=sys.stderr if arguments.json else sys.stdout)
    except MlipOodError as cause:
        kept = " ".join(str(run.directory) for run in runs)
        raise type(cause)(f"{cause}\nThe results are kept; send them with: python -m harness push {kept}") from cause


def _require_pushable(
    dataset: "PinnedDataset", models: Sequence["ModelSource | MethodSource"], results_repo: str | None = None
) -> None:
    """Refuses results that could not be published, before hours of computation."""
    from dataset_builders.core.hub.access import require_login

    if dataset.revision is None:
        raise UsageError(
            f"--push publishes results on data sets of the Hub only, but {dataset.id} was not read from the Hub; "
            "use --dataset org/name@revision"
        )
    if not any(model.revision is not None for model in models):
        raise UsageError(
            "--push sends results to the repos that the models were read from, but none was read from the Hub; "
            "use --model org/name or --method org/name, or send them with `harness push --repo org/name`"
        )
    require_login("pushing")
    if results_repo is not None:
        from dataset_builders.core.hub.repo import Repo
        from model_cards.hub.ownership import logged_in_user
        from model_cards.publishing.trace import require_results_repo

        require_results_repo(results_repo, logged_in_user(Repo(results_repo, "dataset")), [dataset.id])
