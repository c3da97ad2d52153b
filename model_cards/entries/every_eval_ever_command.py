"""`python -m harness every-eval-ever`: writes results in the format of Every Eval Ever."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from dataset_builders.core.option_parser import option_parser


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Raises:
        MlipOodError: If a result cannot be read, or the folder cannot be written to.
    """
    arguments = parser().parse_args(argv)
    from harness.method.evaluate import load_any_results
    from model_cards.entries.every_eval_ever import Evaluator, write_record

    evaluator = Evaluator(arguments.organization, arguments.relationship)
    for result in load_any_results([*dict.fromkeys(arguments.run)]):
        print(write_record(result, evaluator, arguments.out))
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    from model_cards.entries.every_eval_ever import Relationship

    parser = option_parser(
        "python -m harness every-eval-ever",
        "RUN [RUN ...] --organization NAME --out DIR",
        "Write results in the format of Every Eval Ever, a collection of evaluations of all kinds, whose\n"
        "records state unit, direction and interval of a number. A second call writes the same files.",
        ('python -m harness every-eval-ever results/org-name/* --organization "My group" --out eee',),
    )
    parser.add_argument(
        "run",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="run folder or result.json; of a method its folder or method.json",
    )
    parser.add_argument("--organization", required=True, metavar="NAME", help="name of who evaluated the model")
    parser.add_argument(
        "--relationship",
        choices=get_args(Relationship),
        default="third_party",
        help="relation of the evaluator to the model (default: third_party)",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write data/mlip-ood/... into")
    return parser
