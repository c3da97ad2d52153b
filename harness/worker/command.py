"""`python -m harness env`: separate environments for families with conflicting packages."""

import argparse
from collections.abc import Sequence

from dataset_builders.core.option_parser import CommandParser, option_parser
from harness.worker.family_environments import (
    ENVIRONMENTS,
    ENVIRONMENTS_VARIABLE,
    create_environment,
    environments_folder,
    find_environment,
    remove_environment,
)


def main(argv: Sequence[str]) -> int:
    """Creates, lists or removes environments.

    Raises:
        UsageError: If the family is unknown.
        SetupError: If the environment cannot be created or removed.
    """
    arguments = _parser().parse_args(argv)
    return int(arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = option_parser(
        "python -m harness env",
        "COMMAND [options]",
        "Manage separate environments of families whose packages conflict; --model finds them automatically.",
        ("python -m harness env create sevennet", "python -m harness env list"),
        notes=f"Folder: {environments_folder()} (set {ENVIRONMENTS_VARIABLE} to change it).\n"
        "Creating an environment takes minutes, and the disk space of a PyTorch installation.",
    )
    commands = parser.add_subparsers(
        prog="python -m harness env",
        required=True,
        title="commands",
        metavar="COMMAND ...",
        parser_class=CommandParser,
    )
    create = commands.add_parser("create", help="create the environment of a family")
    create.add_argument("family", nargs="+", metavar="FAMILY", help=f"one or more of {', '.join(ENVIRONMENTS)}")
    create.add_argument("--python", metavar="PYTHON", help="base interpreter (default: that of the harness)")
    create.set_defaults(run=_create)
    listing = commands.add_parser("list", help="list the environments and their packages")
    listing.set_defaults(run=_list)
    remove = commands.add_parser("remove", help="remove the environment of a family")
    remove.add_argument("family", nargs="+", metavar="FAMILY")
    remove.set_defaults(run=_remove)
    return parser


def _create(arguments: argparse.Namespace) -> int:
    for family in arguments.family:
        if find_environment(family) is None:
            print(f"creating the environment of {family}; this takes some minutes", flush=True)
        environment = create_environment(family, arguments.python)
        print(f"{family}: {environment.directory}")
    return 0


def _list(_: argparse.Namespace) -> int:
    for family, spec in ENVIRONMENTS.items():
        found = find_environment(family)
        state = str(found.directory) if found else f"missing; create it with: python -m harness env create {family}"
        print(f"{family}: {' '.join(spec.requirements)}; {state}")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    for family in arguments.family:
        print(f"{family}: {'removed' if remove_environment(family) else 'did not exist'}")
    return 0
