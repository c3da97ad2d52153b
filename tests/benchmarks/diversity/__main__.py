"""What to compute next: trains on sets that differ in one thing, and compares the errors on the molecules of `task3`.

    python -m tests.benchmarks.diversity declare tasks
    python -m dataset_builders build --edition 100/20/5/10 --task-file tasks/*.toml --out editions/diversity
    python -m tests.benchmarks.diversity run editions/diversity --arch additive
    python -m tests.benchmarks.diversity run editions/diversity --arch painn --steps 10000
    python -m tests.benchmarks.diversity report

`run` leaves out what is recorded, and goes on with a training that was interrupted. Two of them share the work with
`--shard 1/2` and `--shard 2/2`. `report` writes the table and the figure of docs/diversity.md from
docs/results/diversity/trainings.jsonl.
"""

import argparse
import json
from pathlib import Path
from typing import Final

from dataset_builders.engines.shares import parse_shard
from tests.benchmarks.diversity.report import write_report
from tests.benchmarks.diversity.runs import RECORDS, Request, run_missing
from tests.benchmarks.diversity.series import declarations

_WORK: Final = Path("diversity.work")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    declare = commands.add_parser("declare", help="write the task files")
    declare.add_argument("folder", type=Path)
    run = commands.add_parser("run", help="train and evaluate what is missing")
    run.add_argument("dataset", type=Path)
    run.add_argument("--arch", required=True)
    run.add_argument("--steps", type=int, help="optimiser steps of each training")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--work", type=Path, default=_WORK, help="checkpoints and results (default: diversity.work)")
    run.add_argument("--shard", default="1/1", metavar="I/N", help="every N-th training, from the I-th (default: 1/1)")
    commands.add_parser("report", help="write table and figure")
    arguments = parser.parse_args()
    if arguments.command == "declare":
        arguments.folder.mkdir(parents=True, exist_ok=True)
        for document in declarations():
            path = arguments.folder / f"{document['name']}.toml"
            path.write_text(_toml(document), encoding="utf-8")
    elif arguments.command == "run":
        request = Request(arguments.dataset, arguments.arch, arguments.steps, arguments.seed, arguments.work)
        run_missing(request, parse_shard(arguments.shard))
    else:
        write_report(RECORDS)


def _toml(document: dict[str, object]) -> str:
    """A task file; JSON writes strings, numbers and lists of them as TOML does."""
    lines = []
    for key, value in document.items():
        if isinstance(value, str):
            lines.append(f"{key} = {json.dumps(value)}")
    for name in ("train", "ood"):
        for region in document[name]:  # type: ignore[attr-defined]
            lines += [f"\n[[{name}]]", *(f"{key} = {json.dumps(value)}" for key, value in region.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
