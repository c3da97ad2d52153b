"""`python -m harness study`: trains and evaluates every row of the table, and writes the report."""

import argparse
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from types import FrameType
from typing import TYPE_CHECKING, Final

from dataset_builders.chemistry.levels import GFN2, LEVELS, find_level
from dataset_builders.core.errors import IncompleteError, UsageError
from dataset_builders.core.option_parser import WIDTH, option_parser
from harness.study.table_rows import ROWS, choose_rows

if TYPE_CHECKING:
    from harness.data.dataset import PinnedDataset
    from harness.study.jobs import Request

DEFAULT_EPOCHS: Final = 20
DEFAULT_SEEDS: Final = (0, 1, 2)
DEFAULT_OUT: Final = Path("docs") / "results"
DEFAULT_WORK: Final = Path("study.work")

_DESCRIPTION: Final = """\
Train and measure every row of the table on every task, and write the report. Finished work is
reused while its data, options, code and packages stay the same; the same command resumes a study."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Raises:
        MlipOodError: If the request, the data or the environment is invalid, or a job failed.
    """
    arguments = _parser().parse_args(argv)
    if arguments.jobs < 1:
        raise UsageError(f"--jobs {arguments.jobs}; expected 1 or more")
    if arguments.carry_over:
        return _carry_over(arguments.out, arguments.task_file)
    if arguments.report_only:
        from harness.study.session import report_all

        for path in report_all(arguments.out):
            print(f"report: {path}")
        return 0
    return _run(arguments)


def _carry_over(out: Path, task_files: Sequence[Path]) -> int:
    from dataset_builders.tasks.task_document import read_task_file
    from harness.study.former_records import carry_over
    from harness.study.run_record import RECORDS_NAME
    from harness.study.table_rows import row_order

    own_tasks = [read_task_file(path) for path in task_files]
    for path in sorted(out.glob(f"*/{RECORDS_NAME}")):
        print(f"{path}: {carry_over(path.parent, row_order(), own_tasks)} records converted")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from harness.data.dataset import open_dataset
    from harness.hub.hub_folder import PREFIX, id_to_download
    from harness.study.runner import Study
    from harness.study.session import do_study, edition_folder, outline
    from harness.study.table_rows import row_order

    if arguments.dataset.startswith(PREFIX):
        raise UsageError(
            f"--dataset {arguments.dataset} is read over the network, and a study reads its frames many times; use "
            f"--dataset {id_to_download(arguments.dataset)}, which downloads them once"
        )
    dataset = open_dataset(arguments.dataset, find_level(arguments.labels))
    study = Study(
        request=_request(arguments, dataset),
        dataset=dataset,
        work=arguments.work,
        results=arguments.out / dataset.level.config(edition_folder(dataset.edition)),
        n_parallel=arguments.jobs,
        row_order=row_order(),
    )
    plan = outline(study, any_code=arguments.any_code)
    print(plan.text)
    if arguments.plan:
        return 0
    with _termination_as_interrupt():
        failures = do_study(study, plan, lambda text: print(text, file=sys.stderr, flush=True))
    if failures:
        listed = "\n".join(f"{failure.job.name}: {failure.cause}" for failure in failures)
        raise IncompleteError(
            f"{len(failures)} of {len(plan.pending)} jobs failed; run the same command again to retry them\n{listed}"
        )
    return 0


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Makes SIGTERM act like Ctrl-C, so that no training continues without its study."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = option_parser(
        "python -m harness study",
        "[options]",
        _DESCRIPTION,
        ("python -m harness study --rows main --jobs 2", "python -m harness study --report-only"),
        notes=_rows_of_groups(),
    )
    add = parser.add_argument_group("model and data").add_argument
    add("--dataset", default="mini", metavar="DATASET", help="`mini`, a folder, or a Hub id (default: mini)")
    add(
        "--labels",
        choices=(*LEVELS,),
        default=GFN2.name,
        metavar="LEVEL",
        help=f"{', '.join(LEVELS)} (default: {GFN2.name})",
    )
    add("--rows", nargs="+", default=[], metavar="ROW", help="rows or groups: main, ablation, all (default: main)")
    add("--tasks", nargs="+", default=[], metavar="TASK", help="default: all tasks of the data set")
    add(
        "--seeds",
        nargs="+",
        type=int,
        default=DEFAULT_SEEDS,
        metavar="N",
        help="seeds of rows that use seeds (default: 0 1 2)",
    )
    add(
        "--model",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="checkpoint, or Hub id, of the rows that need one; rows without it are left out",
    )
    add(
        "--trust-checkpoint",
        action="store_true",
        help="allow checkpoints that run code when they are loaded, such as pickles",
    )
    group = parser.add_argument_group("running")
    add = group.add_argument
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help=f"length of each training, in epochs (default: {DEFAULT_EPOCHS})",
    )
    length.add_argument("--steps", type=int, metavar="N", help="length of each training, in optimiser steps")
    length.add_argument("--budget", metavar="TIME", help=argparse.SUPPRESS)
    add(
        "--compile",
        action="store_true",
        help="compile the models: takes minutes per training, then runs faster on a CPU",
    )
    add("--jobs", type=int, default=1, metavar="N", help="parallel jobs, which share the cores (default: 1)")
    add("--device", default="auto", metavar="DEVICE", help="cpu, cuda, cuda:N, or auto (default: auto)")
    add("--any-code", action="store_true", help="keep finished work though the code has changed")
    add("--plan", action="store_true", help="print the jobs that would run, and stop")
    add = parser.add_argument_group("output").add_argument
    add("--work", type=Path, default=DEFAULT_WORK, metavar="DIR", help=f"checkpoints, logs (default: {DEFAULT_WORK})")
    add("--out", type=Path, default=DEFAULT_OUT, metavar="DIR", help=f"records and reports (default: {DEFAULT_OUT})")
    add("--report-only", action="store_true", help="rewrite the reports from the records in --out and stop")
    add(
        "--carry-over",
        action="store_true",
        help="convert records of version 1.0 in --out: numbers stay, intervals are recomputed where the records "
        "suffice",
    )
    add(
        "--task-file",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="for --carry-over: declarations of custom tasks",
    )
    return parser


def _rows_of_groups() -> str:
    groups = dict.fromkeys(row.group for row in ROWS.values())
    return "\n".join(
        fill(
            f"{group}: {', '.join(row.name for row in ROWS.values() if row.group == group)}",
            WIDTH,
            initial_indent="rows of ",
            subsequent_indent="  ",
            break_on_hyphens=False,
        )
        for group in groups
    )


def _request(arguments: argparse.Namespace, dataset: "PinnedDataset") -> "Request":
    from harness.study.jobs import Request

    if arguments.budget is not None:
        raise UsageError(
            f"--budget {arguments.budget} would make the numbers of a row depend on the load of the machine; give "
            "--epochs or --steps. `harness train --budget` is for quick tests"
        )
    if min(arguments.seeds) < 0:
        raise UsageError(f"--seeds {' '.join(map(str, arguments.seeds))}; expected numbers of 0 or more")
    rows = choose_rows(arguments.rows)
    models = dict(_checkpoint(text) for text in arguments.model)
    unknown = sorted(set(models) - {row.checkpoint for row in ROWS.values()})
    if unknown:
        known = sorted({row.checkpoint for row in ROWS.values() if row.checkpoint is not None})
        raise UsageError(f"--model {unknown[0]}=...: no row needs this checkpoint; known names: {' '.join(known)}")
    _require_places(models)
    asked = [row for row in rows if row.name in arguments.rows and row.checkpoint not in (None, *models)]
    if asked:
        raise UsageError(f"the row {asked[0].name} needs a checkpoint: --model {asked[0].checkpoint}=PATH")
    return Request(
        dataset=arguments.dataset,
        rows=rows,
        tasks=dataset.named_tasks(arguments.tasks) or dataset.tasks,
        seeds=tuple(dict.fromkeys(arguments.seeds)),
        epochs=DEFAULT_EPOCHS if arguments.epochs is arguments.steps is None else arguments.epochs,
        steps=arguments.steps,
        compile=arguments.compile,
        device=arguments.device,
        models=models,
        trust_checkpoint=arguments.trust_checkpoint,
        level=dataset.level,
    )


def _require_places(models: Mapping[str, str]) -> None:
    from harness.models.registry import is_local
    from harness.models.resolve import parse_address

    for name, place in models.items():
        if not is_local(place) and parse_address(place) is None:
            raise UsageError(
                f"--model {name}={place}: there is no file or folder {place}; give the path of one, or a Hub id"
            )


def _checkpoint(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UsageError(f"--model {text}; expected NAME=PATH, such as ani2x=path/to/ani2x_state_dict.pt")
    return name, value
