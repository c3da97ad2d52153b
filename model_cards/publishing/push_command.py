"""`python -m harness push`: publishes results of finished runs in the repos of their models."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dataset_builders.core.option_parser import option_parser


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Raises:
        MlipOodError: If a result cannot be published, or the Hub rejects it.
    """
    arguments = parser().parse_args(argv)
    from harness.method.evaluate import load_any_results
    from model_cards.publishing.push import PushOptions, push_each

    options = PushOptions(arguments.repo, arguments.route, arguments.dry_run, arguments.results_repo)
    runs = [*dict.fromkeys(arguments.run)]
    for done in push_each(load_any_results(runs), options, runs):
        print(done.text)
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = option_parser(
        "python -m harness push",
        "RUN [RUN ...] [options]",
        "Publish results in the repos of their models on the Hub, in one commit each: leaderboard "
        "entries,\nmodel-index and a section of the card. Content of others is kept, and pushing the same "
        "results\nagain changes nothing.",
        ("python -m harness push results/org-name/* --dry-run",),
    )
    parser.add_argument(
        "run",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="run folder or result.json; for a method, its folder or method.json",
    )
    parser.add_argument(
        "--repo", metavar="ORG/NAME", help="model repo to push to (default: the one that the model was loaded from)"
    )
    add_results_repo(parser)
    add_way(parser)
    return parser


def add_results_repo(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Adds the option that publishes the trace of each result."""
    parser.add_argument(
        "--results-repo",
        metavar="ORG/NAME",
        help="also publish result.json and all predictions in this data-set repo of yours, created if it does not "
        "exist; the entries on the model's page then link there, and name you as the source",
    )


def add_way(parser: argparse.ArgumentParser) -> None:
    """Adds the options for how a change is sent to a repo."""
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--create-pr",
        dest="route",
        action="store_const",
        const="pull request",
        default="own",
        help="open a pull request, or add to your open one (default for repos that are not yours)",
    )
    way.add_argument(
        "--direct",
        dest="route",
        action="store_const",
        const="commit",
        default="own",
        help="commit directly (default for your repos, and those of organisations where you have write access)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show the changes as a diff and send nothing; needs no login"
    )
