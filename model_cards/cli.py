"""The command line: `python -m model_cards card | publish | collect`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataset_builders.core.commands import unknown_command, version_text
from dataset_builders.core.console import exit_code_of
from dataset_builders.core.errors import UsageError
from dataset_builders.core.given_text import require_arguments
from dataset_builders.core.option_parser import EXIT_CODES, CommandParser, OneScreen

if TYPE_CHECKING:
    from model_cards.publishing.publish_checkpoint import PublishOptions

COMMANDS: Final = ("card", "publish", "collect")
PROG: Final = "python -m model_cards"

_DESCRIPTION: Final = f"""\
Cards of checkpoints that `python -m harness train` wrote, and what is published on the Hub.
examples:
  {PROG} card checkpoints/painn-task2-seed0 --result results/painn-task2-seed0/0123456789ab
  {PROG} publish checkpoints/painn-task2-seed0 org/name
  {PROG} publish leaderboard org/name
  {PROG} collect docs/results/standard --work study.work --out rows"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    return exit_code_of(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    require_arguments(given)
    if given[:1] == ["--version"]:
        print(version_text())
        return 0
    if given and given[0] not in COMMANDS and not given[0].startswith("-"):
        raise unknown_command(given[0], COMMANDS, PROG)
    arguments = _parser().parse_args(given)
    return int(arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        usage=f"{PROG} [-h] [--version] COMMAND ...",
        description=_DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=OneScreen,
    )
    commands = parser.add_subparsers(prog=PROG, required=True, metavar="COMMAND", parser_class=CommandParser)
    card = commands.add_parser("card", help="write the card (README.md) of a checkpoint from its results")
    _add_checkpoint(card)
    card.set_defaults(run=_card)
    publish = commands.add_parser(
        "publish",
        help="publish a checkpoint, a method, or the folder of a leaderboard on the Hub",
    )
    _add_checkpoint(publish, takes_methods=True)
    publish.add_argument("repo", metavar="ORG/NAME", help="repo; created if it does not exist")
    publish.add_argument("--private", action="store_true", help="make a private repo")
    publish.add_argument("--create-pr", action="store_true", help="open a pull request instead of a commit")
    publish.set_defaults(run=_publish)
    collect = commands.add_parser("collect", help="collect the checkpoints of a study, with cards, for `publish`")
    _add_collection(collect)
    return parser


def _add_collection(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("records", type=Path, metavar="RECORDS", help="folder of records of a study, such as docs/results/standard")
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder to write: DIR/ROW/TASK/seedN, a method in each row",
    )
    add(
        "--work",
        type=Path,
        default=Path("study.work"),
        metavar="DIR",
        help="checkpoints and runs of the study (default: study.work)",
    )
    add("--rows", nargs="+", default=[], metavar="ROW", help="default: all trained rows")
    add("--best", action="store_true", help="of each row and task only the seed with the smallest validation error")
    command.set_defaults(run=_collect)


def _add_checkpoint(command: argparse.ArgumentParser, *, takes_methods: bool = False) -> None:
    command.add_argument(
        "checkpoint",
        type=Path,
        metavar="CHECKPOINT",
        help="folder with config.json and model.safetensors"
        + (
            "; or the folder of a method, with task1/ to task4/; or one that `harness leaderboard --space` wrote"
            if takes_methods
            else ""
        ),
    )
    command.add_argument(
        "--result",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="run folder or result.json for the table on the card; repeat to compare models",
    )


def _card(arguments: argparse.Namespace) -> int:
    from harness.results.result import load_results
    from model_cards.cards.model_card import write_card

    print(f"wrote {write_card(arguments.checkpoint, load_results(arguments.result))}")
    return 0


def _publish(arguments: argparse.Namespace) -> int:
    from harness.results.result import load_results
    from model_cards.publishing.publish_checkpoint import PublishOptions, publish_checkpoint
    from model_cards.publishing.publish_method import is_method_folder
    from model_cards.publishing.publish_space import is_space_folder

    options = PublishOptions(private=arguments.private, create_pr=arguments.create_pr)
    if is_space_folder(arguments.checkpoint):
        return _publish_space(arguments, options)
    if is_method_folder(arguments.checkpoint):
        return _publish_method(arguments, options)
    published = publish_checkpoint(arguments.checkpoint, arguments.repo, load_results(arguments.result), options)
    print(published.url if published.is_new else f"{arguments.repo} already contains this checkpoint: {published.url}")
    print(f"evaluate it: python -m harness --model {arguments.repo}@{published.commit}")
    return 0


def _collect(arguments: argparse.Namespace) -> int:
    from model_cards.publishing.study_rows import collect_rows, collection_text

    given = arguments.records, arguments.work, arguments.out, arguments.rows
    print(collection_text(collect_rows(*given, best_only=arguments.best)))
    return 0


def _publish_space(arguments: argparse.Namespace, options: "PublishOptions") -> int:
    from model_cards.publishing.publish_space import publish_space

    if arguments.result:
        raise UsageError(
            f"--result {arguments.result[0]} with {arguments.checkpoint}, the folder of a leaderboard: write its page "
            "again with `python -m harness leaderboard --space DIR --from RESULTS`"
        )
    published = publish_space(arguments.checkpoint, arguments.repo, options)
    print(published.url if published.is_new else f"{arguments.repo} already contains this page: {published.url}")
    return 0


def _publish_method(arguments: argparse.Namespace, options: "PublishOptions") -> int:
    from model_cards.publishing.publish_method import publish_method

    if arguments.result:
        raise UsageError(
            f"--result {arguments.result[0]} with {arguments.checkpoint}, the folder of a method: its card shows no "
            f"results. Push them: python -m harness push METHOD_DIR --repo {arguments.repo}"
        )
    published = publish_method(arguments.checkpoint, arguments.repo, options)
    print(published.url if published.is_new else f"{arguments.repo} already contains this method: {published.url}")
    print(f"evaluate it: python -m harness --method {arguments.repo}@{published.commit}")
    return 0
