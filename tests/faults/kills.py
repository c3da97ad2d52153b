"""Kills a command at random points, lets it finish, and compares what it leaves with an undisturbed run."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.phases import Phase, environment
from tests.faults.undisturbed import differences, finish, folder_for, undisturbed

KILLS_EACH: Final = 4
"""Kills of one folder before its command may finish."""
_LATEST: Final = 1.05
"""Latest kill, as a share of the time of an undisturbed run."""


@dataclass(slots=True)
class Outcome:
    """What became of a phase.

    Attributes:
        name: The phase.
        n_kills: Processes that were killed.
        n_early: Commands that ended before they were to be killed.
        n_finished: Folders whose command finished afterwards.
        faults: What differed from the undisturbed run.
        seconds: Time of the undisturbed run.
    """

    name: str
    n_kills: int = 0
    n_early: int = 0
    n_finished: int = 0
    faults: tuple[str, ...] = ()
    seconds: float = 0.0


def kill_phase(phase: Phase, n_kills: int, seed: int, kills_each: int = KILLS_EACH) -> Outcome:
    """Kills a phase a number of times, in several folders.

    Args:
        phase: The phase.
        n_kills: Number of kills in all.
        seed: Seed of the points in time.
        kills_each: Kills of one folder.
    """
    points = random.Random(f"{seed} {phase.name}")
    outcome = Outcome(phase.name)
    known = undisturbed(phase)
    outcome.seconds = known.seconds
    while outcome.n_kills < n_kills and not outcome.faults:
        with folder_for(phase) as (folder, hub):
            for _ in range(min(kills_each, n_kills - outcome.n_kills)):
                if phase.is_done(folder):
                    break
                if kill(phase.command(folder), folder, hub, points.uniform(0.0, _LATEST * outcome.seconds)):
                    outcome.n_kills += 1
                else:
                    outcome.n_early += 1
            if not phase.is_done(folder):
                finish(phase.command(folder), folder, hub)
            outcome.n_finished += 1
            outcome.faults = tuple(differences(known.digest, phase.digest(folder)))
    return outcome


def kill(command: list[str], folder: Path, hub: str | None, seconds: float) -> bool:
    """Starts a command and kills it with all its processes after a time; whether it was still running."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment(folder, hub), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        _kill_session(process.pid)
        process.wait()
        return True
    return False


def _kill_session(leader: int) -> None:
    """Kills every process of a session: workers lead process groups of their own, and must not outlive the command."""
    while True:
        numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        members = [number for number in numbers if _descends(number, leader)]
        if not members:
            return
        for number in members:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)
        with suppress(ChildProcessError):
            os.waitpid(leader, os.WNOHANG)


def _descends(number: int, leader: int) -> bool:
    """Whether a process is of the session of a leader, or a worker that started a session of its own under it."""
    while number > 1:
        if number == leader:
            return _is_alive(number)
        number = _parent(number)
    return False


def _parent(number: int) -> int:
    try:
        return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _is_alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False
