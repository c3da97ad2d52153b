"""The command line: `python -m dataset_builders COMMAND`; `COMMANDS` lists them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dataset_builders.build.command import add_build_options, run_build
from dataset_builders.core.commands import unknown_command, version_text
from dataset_builders.core.console import exit_code_of
from dataset_builders.core.errors import CertificateError, UsageError
from dataset_builders.core.given_text import require_arguments
from dataset_builders.core.hub.names import DATASET_ID, is_repo_id
from dataset_builders.core.option_parser import CommandParser, OneScreen
from dataset_builders.core.printable import print_json
from dataset_builders.core.sole_user import sole_user
from dataset_builders.core.terminal import terminal_width
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.relabel.command import add_relabel_options, run_relabel

COMMANDS: Final = ("build", "import", "relabel", "certify", "publish", "export", "croissant", "hashes", "path")
PROG: Final = "python -m dataset_builders"

_DESCRIPTION: Final = f"""\
Build, certify and publish the data set of compositional generalisation.
examples:
  {PROG} certify mini
  {PROG} build --edition standard --out editions/standard
  {PROG} export mini --task task3 --format extxyz --out export"""
_EXIT_CODES: Final = """\
exit codes:
  0  done
  1  unexpected error (please report it)
  2  usage: unknown task, edition or option value, an invalid task file, or an existing tag
  3  data: missing, corrupt or uncertified data
  5  incomplete: a molecule failed; finished work is kept
  6  environment: a missing package, an unwritable folder, no login or no access to the Hub
  130  interrupted; run the same command again to resume from finished work
  141  the output was closed before its end, as by `head`
"""


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
    if given[:1] == ["export"]:
        # It belongs to the harness, since it reads a data set.
        from harness.export.command import main as export

        return export(given[1:])
    arguments = _parser().parse_args(given)
    return int(arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        usage=f"{PROG} [-h] [--version] COMMAND ...",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=OneScreen,
    )
    commands = parser.add_subparsers(prog=PROG, required=True, metavar="COMMAND", parser_class=CommandParser)
    build = commands.add_parser("build", help="build an edition into a data-set folder")
    add_build_options(build)
    build.set_defaults(run=run_build)
    _add_import(commands.add_parser("import", help="import external trajectories into a data-set folder"))
    relabel = commands.add_parser("relabel", help="recompute labels of a data-set folder at another level of theory")
    relabel.add_argument("directory", type=Path, metavar="DIR", help="data-set folder, or `mini`")
    add_relabel_options(relabel)
    relabel.set_defaults(run=_relabel)
    certify = commands.add_parser("certify", help="recompute the certificate of a data-set folder from its rows")
    certify.add_argument("directory", type=Path, metavar="DIR", help="data-set folder, or `mini`")
    certify.add_argument(
        "--recompute",
        type=int,
        metavar="N",
        help="recompute the labels of N rows, spread over the configurations, each at its level of theory",
    )
    certify.add_argument(
        "--seed", type=int, metavar="SEED", help="seed of the choice of rows, only with --recompute (default: 0)"
    )
    certify.add_argument(
        "--without-geometry",
        action="store_true",
        help="leave out the geometric support of the test frames, which takes seconds to minutes",
    )
    certify.set_defaults(run=_certify)
    _add_publish(commands.add_parser("publish", help="publish a certified data-set folder on the Hub, in one commit"))
    commands.add_parser("export", help="write the frames of one task in formats for other training codes")
    croissant = commands.add_parser("croissant", help="print the Croissant metadata of a data-set folder, as JSON-LD")
    croissant.add_argument("directory", type=Path, metavar="DIR", help="data-set folder, or `mini`")
    croissant.add_argument(
        "repo_id",
        metavar="ORG/NAME",
        nargs="?",
        default=DATASET_ID,
        help=f"its repo on the Hub ({DATASET_ID})",
    )
    croissant.set_defaults(run=_croissant)
    hashes = commands.add_parser("hashes", help="print the content hash of each configuration of a data-set folder")
    hashes.add_argument("directory", type=Path, metavar="DIR", help="data-set folder, or `mini`")
    hashes.set_defaults(run=_hashes)
    path = commands.add_parser("path", help="print the folder of the embedded mini edition")
    path.set_defaults(run=_path)
    return parser


def _add_import(importing: argparse.ArgumentParser) -> None:
    importing.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="trajectory of one molecule (extended XYZ, or ASE's .traj, .db or .json), a folder of them, or a data set "
        "on the Hub as hf://datasets/ORG/NAME[@REVISION]",
    )
    importing.add_argument(
        "--task-map", type=Path, required=True, metavar="MAP", help="TOML file that describes them; docs/import.md"
    )
    importing.add_argument("--out", type=Path, required=True, metavar="DIR", help="data-set folder to write")
    importing.add_argument(
        "--skip-mismatches",
        action="store_true",
        help="leave out frames, files and molecules that do not match; they are reported and recorded",
    )
    importing.set_defaults(run=_import)


def _add_publish(publish: argparse.ArgumentParser) -> None:
    publish.add_argument("directory", type=Path, metavar="DIR", help="data-set folder, or `mini`; certified first")
    publish.add_argument("repo_id", metavar="ORG/NAME", help="data-set repo on the Hub; created if it does not exist")
    publish.add_argument(
        "--revision-tag", metavar="TAG", help="tag of the commit, such as v1.0; a published tag never moves"
    )
    publish.add_argument("--private", action="store_true", help="make the repo private if it is created")
    publish.add_argument("--create-pr", action="store_true", help="open a pull request instead of changing the repo")
    publish.add_argument(
        "--dry-run", action="store_true", help="print the files that would be added, changed and removed; write nothing"
    )
    others = publish.add_mutually_exclusive_group()
    others.add_argument(
        "--keep-others",
        dest="others",
        action="store_const",
        const="keep",
        default="refuse",
        help="keep configurations of the repo that are not in DIR; their files are downloaded, since the card "
        "is computed from the whole repo (default: refuse if there are any)",
    )
    others.add_argument(
        "--remove",
        dest="others",
        action="store_const",
        const="remove",
        help="delete configurations of the repo that are not in DIR",
    )
    publish.add_argument("--source-url", metavar="URL", help="address of the source code, for the card")
    publish.add_argument(
        "--evaluation-framework",
        metavar="NAME",
        help="name of the benchmark in `eval.yaml`. The Hub has a list of names and rejects a file with any other, so "
        "ask its staff to add yours first (default: the name in the repo, else none)",
    )
    publish.set_defaults(run=_publish)


def _import(arguments: argparse.Namespace) -> int:
    from dataset_builders.importing.import_map import read_import_map
    from dataset_builders.importing.imported_edition import import_trajectories

    how = read_import_map(arguments.task_map)
    with sole_user(arguments.out, "build or import", "choose another --out"):
        report = import_trajectories(arguments.files, how, arguments.out, skip_mismatches=arguments.skip_mismatches)
    print(report.text(terminal_width()))
    return 0


def _relabel(arguments: argparse.Namespace) -> int:
    source = _folder(arguments.directory).resolve()
    if source == MINI_DIRECTORY.resolve() and arguments.out is None:
        raise UsageError(
            "relabel mini without --out would change the edition installed with the package; name a folder with --out"
        )
    return run_relabel(arguments, source)


def _certify(arguments: argparse.Namespace) -> int:
    from dataset_builders.certify.audit import certify

    if arguments.seed is not None and arguments.recompute is None:
        raise UsageError(
            f"--seed {arguments.seed} without --recompute chooses nothing; add --recompute N, or omit --seed"
        )
    report = certify(
        _folder(arguments.directory),
        arguments.recompute,
        arguments.seed or 0,
        with_geometry=not arguments.without_geometry,
    )
    print(report.text(terminal_width()))
    return 0 if report.ok else CertificateError.exit_code


def _publish(arguments: argparse.Namespace) -> int:
    from dataset_builders.publish.publish_folder import PublishRequest, plan_publication, publish

    request = PublishRequest(
        directory=_folder(arguments.directory),
        repo_id=arguments.repo_id,
        tag=arguments.revision_tag,
        private=arguments.private,
        create_pr=arguments.create_pr,
        source_url=arguments.source_url,
        evaluation_framework=arguments.evaluation_framework,
        others=arguments.others,
    )
    print(plan_publication(request).text() if arguments.dry_run else publish(request).text())
    return 0


def _folder(directory: Path) -> Path:
    return MINI_DIRECTORY if str(directory) == "mini" else directory


def _croissant(arguments: argparse.Namespace) -> int:
    from dataset_builders.card.croissant import croissant

    if not is_repo_id(arguments.repo_id):
        raise UsageError(f"{arguments.repo_id!r} is not an id on the Hub; expected ORG/NAME")
    print_json(croissant(_folder(arguments.directory), arguments.repo_id), indent=2)
    return 0


def _hashes(arguments: argparse.Namespace) -> int:
    from dataset_builders.folder.content_hash import config_hashes

    for config, content in config_hashes(_folder(arguments.directory)).items():
        print(f"{config} {content}")
    return 0


def _path(_: argparse.Namespace) -> int:
    print(MINI_DIRECTORY)
    return 0
