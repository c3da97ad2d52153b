"""`python -m harness retract`: retracts results that were pushed."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dataset_builders.chemistry.levels import LEVELS, find_level
from dataset_builders.core.errors import UsageError
from dataset_builders.core.option_parser import option_parser
from model_cards.publishing.push_command import add_way


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Raises:
        MlipOodError: If no result or repo is named, or the Hub rejects the change.
    """
    arguments = parser().parse_args(argv)
    if not arguments.run and arguments.repo is None:
        raise UsageError("nothing to retract is given; expected run folders, or a repo with --repo org/name")
    from harness.method.evaluate import load_any_results
    from model_cards.publishing.retract import RetractOptions, retract_each

    options = RetractOptions(
        repo=arguments.repo,
        route=arguments.route,
        dry_run=arguments.dry_run,
        dataset=arguments.dataset,
        tasks=tuple(arguments.task),
        level=None if arguments.labels is None else find_level(arguments.labels),
    )
    for done in retract_each(load_any_results([*dict.fromkeys(arguments.run)], checked=False), options):
        print(done.text)
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = option_parser(
        "python -m harness retract",
        "[RUN ...] [--repo ORG/NAME] [options]",
        "Remove results that `harness push` published: leaderboard entries, results in the model-index\nand the "
        "section of the card, in one commit or pull request. Content of others is kept.\nGiven run folders, the "
        "numbers of these evaluations are removed; given only --repo, all numbers\npushed to that repo. Retracting "
        "again changes nothing.",
        ("python -m harness retract --repo org/name --task task2 --dry-run",),
    )
    parser.add_argument(
        "run",
        nargs="*",
        type=Path,
        metavar="RUN",
        help="run folder or result.json; for a method, its folder or method.json",
    )
    parser.add_argument(
        "--repo",
        metavar="ORG/NAME",
        help="model repo to remove them from (default: the one that the model of each run was loaded from)",
    )
    parser.add_argument("--dataset", metavar="ORG/NAME", help="only numbers on this data set (default: on all)")
    parser.add_argument(
        "--task", action="extend", nargs="+", default=[], metavar="TASK", help="only numbers of these tasks"
    )
    parser.add_argument(
        "--labels", choices=(*LEVELS,), help="only numbers with labels of this level of theory (default: of all)"
    )
    add_way(parser)
    return parser
