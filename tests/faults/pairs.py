"""Two processes that write to one place at the same time."""

import random
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.faults.phases import Phase, environment
from tests.faults.tally import Tally
from tests.faults.undisturbed import Ended, differences, finish, folder_for, undisturbed

_SECONDS: Final = 1800.0
_CLEAR: Final = ("is in use by another", "contains a finished checkpoint")
"""What a second process says that is refused: while the first runs, or when it has ended."""


def pair_phase(phase: Phase, n_pairs: int, seed: int) -> Tally:
    """Starts a phase twice in one folder, several times.

    Args:
        phase: The phase.
        n_pairs: Number of pairs; the first starts both at once, in others the second starts at a seeded time.
        seed: Seed of these times.
    """
    tally = Tally(
        phase.name, {"pairs": 0, "refused": 0, "both ended": 0, "same end": 0}, struck=("pairs",), needed=("same end",)
    )
    known = undisturbed(phase)
    points = random.Random(f"{seed} pairs {phase.name}")
    for number in range(n_pairs):
        delay = points.uniform(0.0, 0.8 * known.seconds) if number else 0.0
        with folder_for(phase) as (folder, hub):
            both = _both(phase.command(folder), folder, hub, delay)
            tally.add("pairs")
            faults = [f"after {delay:.1f} s: {each}" for each in _problems(tally, both)]
            if all(each.code for each in both):
                # A refusal of both loses nothing as long as one that comes later ends.
                finish(phase.command(folder), folder, hub)
            faults += differences(known.digest, phase.digest(folder))
            tally.lost(faults)
            tally.add("same end", not faults)
    return tally


def _both(command: list[str], folder: Path, hub: str | None, delay: float) -> tuple[Ended, Ended]:
    first = _started(command, folder, hub)
    time.sleep(delay)
    second = _started(command, folder, hub)
    ended = []
    for process in (first, second):
        output, _ = process.communicate(timeout=_SECONDS)
        ended.append(Ended(process.returncode, output))
    return ended[0], ended[1]


def _started(command: list[str], folder: Path, hub: str | None) -> "subprocess.Popen[str]":
    variables: Mapping[str, str] = environment(folder, hub)
    return subprocess.Popen(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _problems(tally: Tally, both: tuple[Ended, Ended]) -> list[str]:
    """What is wrong with the ends of two processes."""
    refused = [each for each in both if each.code]
    tally.add("refused", len(refused))
    tally.add("both ended", not refused)
    faults = [
        f"it is refused without a clear reason ({each.code}): {each.output[-3000:]}"
        for each in refused
        if "Traceback" in each.output or not any(text in each.output for text in _CLEAR)
    ]
    if len(refused) == 2:
        faults.append("each refuses the other")
    return faults
