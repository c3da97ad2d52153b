"""`python -m tests.faults`: each phase meets what goes wrong with machines and networks; prints the counts."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from tests.faults.clocks import clock_phase
from tests.faults.damage import damages
from tests.faults.disks import disk_phase
from tests.faults.hubs import hub_faults
from tests.faults.kills import kill_phase
from tests.faults.pairs import pair_phase
from tests.faults.phases import Phase, phases
from tests.faults.tally import Tally
from tests.faults.workers import worker_faults

Group = Callable[[argparse.Namespace, Sequence[Phase]], Iterator[Tally]]


def _kills(given: argparse.Namespace, chosen: Sequence[Phase]) -> Iterator[Tally]:
    return (kill_phase(phase, given.kills, given.seed) for phase in chosen)


def _disks(given: argparse.Namespace, chosen: Sequence[Phase]) -> Iterator[Tally]:
    return (disk_phase(phase, given.disks, given.seed) for phase in chosen if phase.out)


def _clocks(given: argparse.Namespace, chosen: Sequence[Phase]) -> Iterator[Tally]:
    return (clock_phase(phase, given.seed) for phase in chosen)


def _pairs(given: argparse.Namespace, chosen: Sequence[Phase]) -> Iterator[Tally]:
    return (pair_phase(phase, given.pairs, given.seed) for phase in chosen)


GROUPS: Final[dict[str, tuple[str, Group]]] = {
    "kills": ("killed at random points, and finished afterwards", _kills),
    "damage": ("files with a flipped bit, or cut short", lambda given, chosen: damages(given.flips, given.seed)),
    "disks": ("a full disk, a read-only folder, a folder of somebody else", _disks),
    "clocks": ("a clock that is set back", _clocks),
    "pairs": ("two processes on one output", _pairs),
    "hub": ("a Hub that is slow, wrong, silent or changing", lambda given, chosen: hub_faults()),
    "workers": ("workers that hang, die, lie or flood", lambda given, chosen: worker_faults()),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs all groups; the exit code is 1 if anything was lost, or a fault never struck."""
    names = [phase.name for phase in phases()]
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="kills of each phase (default: 20)")
    parser.add_argument("--flips", type=int, default=100, metavar="N", help="flipped bits of each file (default: 100)")
    parser.add_argument("--disks", type=int, default=3, metavar="N", help="full disks of each phase (default: 3)")
    parser.add_argument("--pairs", type=int, default=2, metavar="N", help="pairs of each phase (default: 2)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all points (default: 0)")
    parser.add_argument("--group", action="append", choices=GROUPS, metavar="NAME", help=f"only: {', '.join(GROUPS)}")
    parser.add_argument("--phase", action="append", choices=names, metavar="NAME", help=f"only: {', '.join(names)}")
    given = parser.parse_args(arguments)
    chosen = [phase for phase in phases() if given.phase is None or phase.name in given.phase]
    start, problems, totals = time.monotonic(), [], []
    for name in given.group or GROUPS:
        title, group = GROUPS[name]
        print(f"\n{name}: {title}")
        tallies = _printed(group(given, chosen))
        problems += [f"{name}: {problem}" for tally in tallies for problem in tally.problems()]
        # A group without a line would otherwise pass unseen.
        problems += [] if tallies else [f"{name}: nothing was tried"]
        totals.append(f"{name} {sum(tally.n_struck for tally in tallies)}")
    print(f"\n{', '.join(totals)} in {time.monotonic() - start:.0f} s; {len(problems) or 'no'} problems")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _printed(tallies: Iterable[Tally]) -> list[Tally]:
    """Prints the counts as they come, under one heading."""
    found: list[Tally] = []
    for tally in tallies:
        if not found:
            print(tally.heading())
        found.append(tally)
        print(tally.line(), flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
