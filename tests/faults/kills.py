"""Kills a command at random points, lets it finish, and compares what it leaves with an undisturbed run."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.faults.phases import Phase, environment
from tests.faults.tally import Tally
from tests.faults.undisturbed import differences, finish, folder_for, undisturbed

KILLS_EACH: Final = 4
"""Kills of one folder before its command may finish."""
_LATEST: Final = 1.05
"""Latest kill, as a share of the time of an undisturbed run."""


def kill_phase(phase: Phase, n_kills: int, seed: int, kills_each: int = KILLS_EACH) -> Tally:
    """Kills a phase a number of times, in several folders.

    Args:
        phase: The phase.
        n_kills: Number of kills in all.
        seed: Seed of the points in time.
        kills_each: Kills of one folder.
    """
    points = random.Random(f"{seed} {phase.name}")
    tally = Tally(phase.name, {"kills": 0, "too late": 0, "finished": 0}, struck=("kills",), needed=("finished",))
    known = undisturbed(phase)
    tally.seconds = known.seconds
    while tally.counts["kills"] < n_kills and not tally.faults:
        with folder_for(phase) as (folder, hub):
            for _ in range(min(kills_each, n_kills - tally.counts["kills"])):
                if phase.is_done(folder):
                    break
                was_running = kill(phase.command(folder), folder, hub, points.uniform(0.0, _LATEST * known.seconds))
                tally.add("kills" if was_running else "too late")
            if not phase.is_done(folder):
                finish(phase.command(folder), folder, hub)
            tally.add("finished")
            tally.lost(differences(known.digest, phase.digest(folder)))
    return tally


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
