"""The command line: `python -m dataset_builders build | certify | path`."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dataset_builders.command_line import exit_code_of
from dataset_builders.editions import EDITIONS, find_edition
from dataset_builders.errors import CertificateError, UsageError
from dataset_builders.tasks import TASKS, find_task

MINI_DIRECTORY: Final = Path(__file__).parent / "data" / "mini"
"""The embedded mini edition, a data-set folder."""

_EXIT_CODES: Final = """\
exit codes:
  0  done
  1  unexpected error (please report it)
  2  usage: unknown task, edition or option value
  3  data: absent, corrupt or uncertified data
  5  incomplete: a molecule failed; finished work is kept
  6  environment: a missing package or an unwritable folder
  130  interrupted; the same command goes on from finished work
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    arguments = _parser().parse_args(argv)
    return exit_code_of(lambda: int(arguments.run(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builders",
        description="Build and certify the data set of compositional generalisation.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build an edition into a data-set folder")
    build.add_argument(
        "--edition",
        default="mini",
        help=f"{', '.join(EDITIONS)}, or frames a molecule as TRAIN/OOD/VALIDATION/TEST_ID (default: mini)",
    )
    build.add_argument("--out", type=Path, required=True, metavar="DIR", help="data-set folder to write")
    build.add_argument(
        "--task", action="extend", nargs="+", metavar="TASK", help=f"some of {', '.join(TASKS)} (default: all)"
    )
    build.add_argument(
        "--workers", type=int, default=os.cpu_count(), metavar="N", help="processes (default: all cores)"
    )
    build.add_argument("--seed", type=int, default=0, metavar="S", help="seed of every random number (default: 0)")
    build.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="folder of finished units, kept for larger editions (default: OUT.work)",
    )
    build.set_defaults(run=_build)
    certify = commands.add_parser("certify", help="recompute the certificate of a data-set folder from its rows")
    certify.add_argument("directory", type=Path, metavar="DIR", help="data-set folder, or `mini`")
    certify.set_defaults(run=_certify)
    path = commands.add_parser("path", help="print the folder of the embedded mini edition")
    path.set_defaults(run=_path)
    return parser


def _build(arguments: argparse.Namespace) -> int:
    from dataset_builders.build import build_edition
    from dataset_builders.fanout import BuildSettings

    if arguments.workers < 1:
        raise UsageError(f"--workers {arguments.workers}; expected 1 or more")
    out = arguments.out.resolve()
    settings = BuildSettings(
        tasks=tuple(find_task(name) for name in arguments.task or TASKS),
        edition=find_edition(arguments.edition),
        seed=arguments.seed,
        work_dir=(arguments.work or out.with_name(out.name + ".work")).resolve(),
    )
    build_edition(settings, out, arguments.workers)
    print(f"wrote {arguments.out}; check it with: python -m dataset_builders certify {arguments.out}")
    return 0


def _certify(arguments: argparse.Namespace) -> int:
    from dataset_builders.certify import certify

    directory = MINI_DIRECTORY if str(arguments.directory) == "mini" else arguments.directory
    report = certify(directory)
    print(report.text())
    return 0 if report.ok else CertificateError.exit_code


def _path(_: argparse.Namespace) -> int:
    print(MINI_DIRECTORY)
    return 0
