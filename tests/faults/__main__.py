"""`python -m tests.faults`: kills each phase at random points, damages files, and prints what became of them."""

import argparse
import sys
import time
from collections.abc import Sequence

from tests.faults.damage import Damage, damages
from tests.faults.kills import Outcome, kill_phase
from tests.faults.phases import phases


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs all phases; the exit code is 1 if anything was lost, or a phase was never killed."""
    names = [phase.name for phase in phases()]
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="kills of each phase (default: 20)")
    parser.add_argument("--flips", type=int, default=100, metavar="N", help="flipped bits of each file (default: 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all points (default: 0)")
    parser.add_argument("--phase", action="append", choices=names, metavar="NAME", help=f"only: {', '.join(names)}")
    given = parser.parse_args(arguments)
    start = time.monotonic()
    outcomes = []
    print(f"{'phase':28}{'kills':>7}{'too late':>10}{'finished':>10}{'undisturbed, s':>16}  lost")
    for phase in phases():
        if given.phase is None or phase.name in given.phase:
            outcomes.append(kill_phase(phase, given.kills, given.seed))
            print(_line(outcomes[-1]), flush=True)
    damaged: list[Damage] = []
    if given.phase is None:
        print(f"\n{'file':32}{'flips':>7}{'cuts':>6}{'caught':>8}{'harmless':>10}  missed")
        for each in damages(given.flips, given.seed):
            damaged.append(each)
            print(_line_of_file(each), flush=True)
    n_kills = sum(outcome.n_kills for outcome in outcomes)
    n_damaged = sum(each.n_flips + each.n_cuts for each in damaged)
    print(f"\n{n_kills} kills and {n_damaged} damaged files in {time.monotonic() - start:.0f} s")
    faults = [f"{each.name}: {fault}" for each in (*outcomes, *damaged) for fault in each.faults]
    faults += [f"{each.name}: never killed" for each in outcomes if each.n_kills == 0]
    faults += [f"{each.name}: nothing was caught" for each in damaged if each.n_caught == 0]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _line(outcome: Outcome) -> str:
    return (
        f"{outcome.name:28}{outcome.n_kills:7}{outcome.n_early:10}{outcome.n_finished:10}{outcome.seconds:16.1f}  "
        f"{len(outcome.faults) or 'nothing'}"
    )


def _line_of_file(each: Damage) -> str:
    return (
        f"{each.name:32}{each.n_flips:7}{each.n_cuts:6}{each.n_caught:8}{each.n_harmless:10}  "
        f"{len(each.faults) or 'nothing'}"
    )


if __name__ == "__main__":
    sys.exit(main())
