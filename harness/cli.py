"""The command line `python -m harness`: a table of commands, each with its own options and parser.

A command is one line in `COMMANDS` and one module with `main(argv) -> int`, which is imported on use.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from dataset_builders.core.commands import Command, listed, unknown_command, version_text
from dataset_builders.core.console import exit_code_of
from dataset_builders.core.given_text import require_arguments
from dataset_builders.core.hub.names import DATASET_ID
from dataset_builders.core.option_parser import WIDTH

# Modules by name: some are in `model_cards`, at the end of the flow, and must not be imported before use.
COMMANDS: Final[Mapping[str, Command]] = MappingProxyType(
    {
        "evaluate": Command("harness.commands.evaluate", "evaluate models; the default, so its name may be omitted"),
        "compare": Command("harness.commands.compare", "compare models, paired by molecule"),
        "report": Command("harness.commands.report", "recompute metrics, table and result from saved predictions"),
        "train": Command("harness.commands.train", "train a model on the training molecules of one task"),
        "study": Command("harness.study.command", "train and evaluate every row of the results tables"),
        "push": Command(
            "model_cards.publishing.push_command", "publish results in the repos of their models on the Hub"
        ),
        "retract": Command("model_cards.publishing.retract_command", "remove results that were pushed"),
        "leaderboard": Command("model_cards.leaderboard.command", "rank published results"),
        "every-eval-ever": Command(
            "model_cards.entries.every_eval_ever_command", "write results in the format of Every Eval Ever"
        ),
        "submit": Command("harness.submission.submit_command", "write finished runs as an entry for a repo of results"),
        "verify": Command("harness.submission.verify_command", "check runs, and entries of a repo of results"),
        "ml-peg": Command("harness.peg.command", "install this benchmark as one of ml-peg's, or remove it"),
        "env": Command("harness.worker.command", "manage environments for families whose packages conflict"),
    }
)
DEFAULT: Final = "evaluate"
PROG: Final = "python -m harness"

_HELP: Final = """\
usage: {prog} [COMMAND] [options]

Tests whether an interatomic potential generalises to unseen combinations of known fragments.
examples:
  {prog} --model reference --task task2
  {prog} compare --model gfn1-xtb --model mmff94 --task task2
  {prog} train --arch painn --task task2 --budget 5min
  {prog} --model org/name --dataset {dataset} --push

commands ({prog} COMMAND --help lists the options of each):
{commands}

{models}
{families}

exit codes:
  0  done
  1  unexpected error (please report it)
  2  usage: unknown command, task, model or option value
  3  data: missing, corrupt, or not as in the schema
  4  model: not on the Hub, cannot be loaded, or lacks an element of the molecules
  5  incomplete: some structures failed; the result lists them and has no score
  6  environment: a missing package, no network, an unwritable folder
  130  interrupted; the same command resumes from finished work
  141  the output was closed before its end, as by `head`
MLIP_OOD_TRACEBACK=1 adds the traceback to an error; docs/command-line.md lists all variables."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Libraries report skipped and repeated steps through logging.
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.addLevelName(logging.WARNING, "warning")
    return exit_code_of(lambda: _run(arguments))


def _run(arguments: list[str]) -> int:
    require_arguments(arguments)
    first = arguments[0] if arguments else ""
    if first in ("-h", "--help"):
        print(_help())
        return 0
    if first == "--version":
        print(version_text())
        return 0
    if first in COMMANDS:
        return COMMANDS[first].run(arguments[1:])
    if first and not first.startswith("-"):
        raise unknown_command(first, COMMANDS, PROG)
    return COMMANDS[DEFAULT].run(arguments)


def _help() -> str:
    from textwrap import fill

    from harness.models.registry import known_names, readers

    names = {"built-in models": known_names(), "checkpoints of": readers()}
    models, families = (
        fill(f"{title}: {' '.join(each)}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        for title, each in names.items()
    )
    return _HELP.format(prog=PROG, dataset=DATASET_ID, commands=listed(COMMANDS), models=models, families=families)
