"""`python -m harness verify`: checks runs and entries of a repo of results, and prints what is proved."""

import argparse
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataset_builders.core.errors import DataError, IncompleteError, SetupError, UsageError
from dataset_builders.core.hub.names import DATASET_ID
from dataset_builders.core.markdown import printable
from dataset_builders.core.option_parser import option_parser
from dataset_builders.core.printable import print_json
from harness.models.registry import readers

if TYPE_CHECKING:
    from harness.submission.findings import EntryReport
    from harness.submission.places import Place

MINI: Final = "mini"
_FRAMES: Final = 32
_TOLERANCE: Final = 1.0


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Raises:
        MlipOodError: If an entry is refused, or a checkpoint or data set is not available.
    """
    arguments = parser().parse_args(argv)
    _require_possible(arguments)
    with tempfile.TemporaryDirectory(prefix="mlip-ood-verify-") as workspace:
        from harness.submission.places import places_of

        places = places_of(arguments.entry, Path(workspace), arguments.record)
        reports, problems = _checked(places, arguments)
        reports = [_with_spot_check(report, arguments) for report in reports]
    names = {str(place.entry.absolute()): place.name for place in places}
    reports = [replace(report, place=names[report.place]) for report in reports]
    for report in reports:
        _print(report, as_json=arguments.json)
    if arguments.summary is not None:
        _write_summary(arguments.summary, reports)
    _require_sound(reports)
    if problems:
        raise problems[0]
    return 0


def _require_possible(arguments: argparse.Namespace) -> None:
    if arguments.frames < 1:
        raise UsageError(f"--frames {arguments.frames}; expected 1 or more")
    if arguments.seed is not None and arguments.seed < 0:
        raise UsageError(f"--seed {arguments.seed}; expected 0 or more")
    if not arguments.tolerance > 0.0 or arguments.tolerance == float("inf"):
        raise UsageError(f"--tolerance {arguments.tolerance:g}; expected a positive number of meV/Å")
    arguments.dataset = arguments.dataset or [MINI]


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = option_parser(
        "python -m harness verify",
        "WHAT [WHAT ...] [options]",
        "Check finished runs, or entries of a repo of results: files, identities, data set, training\ndeclaration, and "
        "every number against the predictions. No code from an entry is executed.",
        (
            "python -m harness verify results/mmff94/*",
            f"python -m harness verify org/results --dataset {DATASET_ID}@v1.0",
        ),
    )
    parser.add_argument(
        "entry",
        nargs="+",
        metavar="WHAT",
        help="folder of a run, method, entry or entries; or on the Hub org/name[@revision][/entries/NAME]",
    )
    parser.add_argument(
        "--record",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="mlip-ood.json of the model of a run, if it is no longer next to it",
    )
    parser.add_argument(
        "--dataset",
        action="append",
        metavar="DATASET",
        help="an accepted data set: `mini`, a folder, or org/name@revision; repeat for several (default: mini). A "
        "data set named only by an entry is never opened",
    )
    parser.add_argument("--summary", type=Path, metavar="FILE", help="append the tables, in Markdown, to a file")
    parser.add_argument("--json", action="store_true", help="print only the reports, as JSON, one per line")
    _add_spot_check(parser)
    return parser


def _add_spot_check(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("spot check", "recompute some frames of one entry with its checkpoint")
    group.add_argument(
        "--model", action="append", default=[], metavar="MODEL", help="a checkpoint of the entry: path or Hub id"
    )
    group.add_argument(
        "--frames", type=int, default=_FRAMES, metavar="N", help=f"number of frames (default: {_FRAMES})"
    )
    group.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="seed of the choice of frames (default: random, so that it cannot be predicted)",
    )
    group.add_argument(
        "--tolerance",
        type=float,
        default=_TOLERANCE,
        metavar="MEV",
        help="largest accepted difference of forces, meV/Å, and energies, meV, beyond the rounding of the precision "
        f"of the run (default: {_TOLERANCE:g})",
    )
    group.add_argument("--family", metavar="NAME", help=f"family of the checkpoint: {' '.join(readers())}")
    group.add_argument("--device", default="auto", metavar="DEVICE", help="cpu, cuda, cuda:N, or auto (default: auto)")
    group.add_argument(
        "--trust-checkpoint", action="store_true", help="allow a checkpoint that runs code when it is loaded"
    )


def _checked(places: Sequence["Place"], arguments: argparse.Namespace) -> tuple[list["EntryReport"], list[SetupError]]:
    """The reports, and the errors that prevented a check, such as an unreachable Hub."""
    from dataset_builders.engines.separate_processes import SeparateProcesses
    from harness.submission.across import findings_across
    from harness.submission.bounded_process import verify_in_bounded_process

    if arguments.model and len(places) > 1:
        raise UsageError(f"--model with {len(places)} entries; a spot check takes one entry")
    reports, problems = [], []
    with SeparateProcesses(1) as processes:
        for place in places:
            try:
                reports.append(verify_in_bounded_process(processes, place.entry.absolute(), arguments.dataset))
            except SetupError as problem:
                problems.append(problem)
    across = findings_across(reports)
    return [report.with_findings(across.get(report.place, ())) for report in reports], problems


def _with_spot_check(report: "EntryReport", arguments: argparse.Namespace) -> "EntryReport":
    if not arguments.model or report.faults:
        return report
    from harness.models.resolve import resolve_model
    from harness.submission.spot_check import SpotCheck, spot_check_entry

    check = SpotCheck(
        n_frames=arguments.frames,
        seed=secrets.randbelow(2**31) if arguments.seed is None else arguments.seed,
        tolerance=arguments.tolerance,
        device=arguments.device,
        trust_checkpoint=arguments.trust_checkpoint,
    )
    models = [resolve_model(text, arguments.family) for text in dict.fromkeys(arguments.model)]
    return report.with_findings(spot_check_entry(Path(report.place), arguments.dataset, models, check))


def _print(report: "EntryReport", *, as_json: bool) -> None:
    from dataset_builders.core.terminal import console
    from harness.submission.review_table import document_of, terminal_report

    if as_json:
        print_json(document_of(report))
    else:
        terminal = console()
        terminal.print(terminal_report(report, terminal.width), soft_wrap=True)


def _write_summary(path: Path, reports: Sequence["EntryReport"]) -> None:
    """Appends the tables to a file, in the format of a CI job summary."""
    from harness.submission.review_table import markdown_report

    try:
        with path.open("a", encoding="utf-8", newline="") as stream:
            stream.writelines(markdown_report(report) + "\n" for report in reports)
    except OSError as cause:
        raise SetupError(
            f"cannot write {path}: {cause.strerror or cause}; choose another file with --summary"
        ) from cause


def _require_sound(reports: Sequence["EntryReport"]) -> None:
    refused = [report for report in reports if report.faults]
    if not refused:
        return
    faults = [fault for report in refused for fault in report.faults]
    text = (
        f"{len(refused)} of {len(reports)} entries are refused, with {len(faults)} faults; the first: "
        f"{printable(faults[0].text)}"
    )
    raise (IncompleteError if all(fault.is_incomplete for fault in faults) else DataError)(text)
