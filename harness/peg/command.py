"""`python -m harness ml-peg`: the benchmark as one of ml-peg's."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dataset_builders.core.option_parser import CommandParser, option_parser
from harness.peg.benchmarks import BENCHMARKS, CATEGORY, DATASET_VARIABLE
from harness.peg.installation import checked_package, install, installed_package, remove


def main(argv: Sequence[str]) -> int:
    """Installs the benchmarks into ml-peg, or removes them.

    Raises:
        UsageError: If the named folder is not that of ml-peg.
        SetupError: If ml-peg is not installed, of another version, or its folder cannot be written to.
    """
    arguments = _parser().parse_args(argv)
    package = installed_package() if arguments.into is None else checked_package(arguments.into)
    if arguments.command == "install":
        print(f"{len(install(package))} files written to {package}")
        print(f"benchmarks of the category {CATEGORY}: {' '.join(BENCHMARKS)}")
        print(f"next: ml_peg calc --category {CATEGORY} --models MODELS")
    else:
        print(f"{len(remove(package))} files removed from {package}; outputs were kept")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = option_parser(
        "python -m harness ml-peg",
        "COMMAND [options]",
        "Make this benchmark one of ml-peg's: its commands calc, analyse and app then know it.",
        ("python -m harness ml-peg install", "python -m harness ml-peg remove"),
        notes=f"The data set is mini, or what the variable {DATASET_VARIABLE} names.",
    )
    commands = parser.add_subparsers(
        dest="command",
        prog="python -m harness ml-peg",
        required=True,
        title="commands",
        metavar="COMMAND ...",
        parser_class=CommandParser,
    )
    for name, does in (("install", "write the files of the benchmarks into ml-peg"), ("remove", "remove these files")):
        command = commands.add_parser(name, help=does)
        command.add_argument(
            "--into", type=Path, metavar="DIR", help="checkout of ml-peg (default: the ml-peg of this environment)"
        )
    return parser
