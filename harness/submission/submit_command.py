"""`python -m harness submit`: writes an entry of a repo of results from finished runs."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builders.core.errors import UsageError
from dataset_builders.core.option_parser import option_parser

if TYPE_CHECKING:
    from harness.submission.entry_document import HubPlace


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Raises:
        MlipOodError: If the runs do not form a valid entry of a repo of results.
    """
    arguments = parser().parse_args(argv)
    from dataset_builders.core.terminal import console
    from harness.submission.review_table import terminal_report
    from harness.submission.write import EntryOptions, write_entry

    options = EntryOptions(
        name=arguments.name,
        checkpoint=arguments.checkpoint,
        records=tuple(arguments.record),
        predictions_at=None if arguments.predictions_at is None else _hub_place(arguments.predictions_at),
        datasets=tuple(arguments.dataset or ("mini",)),
    )
    written = write_entry(arguments.run, arguments.out, options)
    terminal = console()
    terminal.print(terminal_report(written.report, terminal.width), soft_wrap=True)
    terminal.print(
        f"entry: {written.directory}, {written.n_bytes / 1e6:.2f} MB. Add this folder to a repo of results, and open a "
        "pull request",
        soft_wrap=True,
    )
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = option_parser(
        "python -m harness submit",
        "RUN_DIR [RUN_DIR ...] --out DIR [options]",
        "Write an entry for a repo of results from finished runs and check it as `verify` does. Nothing is\nsent.",
        ("python -m harness submit results/reference/* --out entries --name painn-reference",),
    )
    parser.add_argument("run", nargs="+", type=Path, metavar="RUN_DIR", help="folder of a finished run, or of a method")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of entries, such as a repo's entries/"
    )
    parser.add_argument(
        "--name", metavar="NAME", help="name of the entry (default: derived from the name of the model)"
    )
    parser.add_argument(
        "--checkpoint", metavar="WHERE", help="where the weights are available, such as org/model@commit or an address"
    )
    parser.add_argument(
        "--record",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="the mlip-ood.json that a model was evaluated with, if it is no longer next to the checkpoint",
    )
    parser.add_argument(
        "--predictions-at",
        metavar="REPO",
        help="data-set repo on the Hub with the predictions, org/name@COMMIT[/folder], each run in a folder of its "
        "name (default: the entry contains them)",
    )
    parser.add_argument(
        "--dataset",
        action="append",
        metavar="DATASET",
        help="data set of the runs: `mini`, a folder, or org/name@revision (default: mini)",
    )
    return parser


def _hub_place(text: str) -> "HubPlace":
    from pydantic import ValidationError

    from harness.submission.entry_document import HubPlace

    repo, _, rest = text.partition("@")
    revision, _, folder = rest.partition("/")
    try:
        return HubPlace(repo=repo, revision=revision, folder=folder or None)
    except ValidationError as cause:
        raise UsageError(
            f"--predictions-at {text!r}; expected org/name@COMMIT[/folder], with the full hash of the commit, which "
            "`hf upload` prints"
        ) from cause
