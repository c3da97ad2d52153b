"""`python -m tests.fuzz`: spoils files of every kind that strangers write, and prints what became of them."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.campaign import Limits, Outcome, fuzz
from tests.fuzz.targets import TARGETS, target_named


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs targets; the exit code is 1 if anything escaped, or a target refused nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0, metavar="N", help="of all targets (default: 300)")
    parser.add_argument("--target", action="append", choices=[each.name for each in TARGETS], metavar="NAME")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all inputs (default: 0)")
    parser.add_argument("--saves", type=Path, metavar="DIR", help="folder for inputs that escape")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="tries one saved input; needs --target")
    given = parser.parse_args(arguments)
    targets = [target_named(name) for name in given.target] if given.target else list(TARGETS)
    saves = given.saves or Path(tempfile.mkdtemp(prefix="mlip-ood-escapes-"))
    limits = Limits(given.seconds / len(targets), seed=given.seed)
    print(f"{'target':24}{'inputs':>9}{'a second':>10}{'accepted':>10}{'refused':>9}  escaped")
    faults: list[str] = []
    for target in targets:
        outcome = fuzz(target, limits, saves, given.replay)
        print(line_of(outcome), flush=True)
        faults += faults_of(outcome, replayed=given.replay is not None)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def line_of(outcome: Outcome) -> str:
    """Its row of the table."""
    rate = outcome.n_inputs / outcome.seconds if outcome.seconds else 0.0
    return (
        f"{outcome.name:24}{outcome.n_inputs:9,}{rate:10,.0f}{outcome.n_accepted:10,}{outcome.n_refused:9,}  "
        f"{len(outcome.escapes) or 'nothing'}"
    )


def faults_of(outcome: Outcome, *, replayed: bool = False) -> list[str]:
    """What fails the run, one paragraph each."""
    faults = [
        f"{outcome.name}: {each.kind}\n  {each.where}\n  {each.last}\n  input: {each.saved}" for each in outcome.escapes
    ]
    if not outcome.n_refused and not target_named(outcome.name).is_lenient and not replayed and not faults:
        faults.append(f"{outcome.name}: nothing was refused, so the files were not spoiled")
    return faults


if __name__ == "__main__":
    sys.exit(main())
