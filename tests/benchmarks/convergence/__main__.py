r"""OOD against ID error while networks are trained until they converge, and the power law that relates the two.

    python -m tests.benchmarks.convergence run editions/standard --task task2 --arch painn --steps 200000
    python -m tests.benchmarks.convergence run editions/standard --task task3 --arch painn --delta gfn1-xtb \
        --steps 100000
    python -m tests.benchmarks.convergence report

`run` trains with `--keep-checkpoints` and measures the model of each validation on both test splits. It leaves out what
is recorded, and goes on with a training that was interrupted. `report` writes the tables and figures of
docs/convergence.md from docs/results/convergence/checkpoints.jsonl.
"""

import argparse
from pathlib import Path
from typing import Final

from harness.networks.checkpoint_format import BASELINES
from tests.benchmarks.convergence.report import write_report
from tests.benchmarks.convergence.runs import RECORDS, Request, run_missing

_WORK: Final = Path("convergence.work")
_VALIDATIONS: Final = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train, and measure the model of each validation")
    run.add_argument("dataset", type=Path)
    run.add_argument("--task", required=True)
    run.add_argument("--arch", required=True)
    run.add_argument("--delta", choices=BASELINES, help="physics method that the network corrects")
    run.add_argument("--steps", type=int, required=True, help="optimiser steps at most")
    run.add_argument("--validations", type=int, default=_VALIDATIONS)
    run.add_argument("--compile", choices=("always", "never"), default="always")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--work", type=Path, default=_WORK, help="checkpoints and results (default: convergence.work)")
    commands.add_parser("report", help="write tables and figures")
    arguments = vars(parser.parse_args())
    if arguments.pop("command") == "run":
        run_missing(Request(**arguments))
    else:
        write_report(RECORDS)


if __name__ == "__main__":
    main()
