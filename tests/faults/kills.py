"""Kills a command at random points, lets it finish, and compares what it leaves with an undisturbed run."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.phases import ROOT, Phase, environment

KILLS_EACH: Final = 4
"""Kills of one folder before its command may finish."""
_SECONDS: Final = 600.0
_HUB_SECONDS: Final = 60.0
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
    with _folder(phase) as (folder, hub):
        start = time.monotonic()
        finish(phase.command(folder), folder, hub)
        outcome.seconds = time.monotonic() - start
        expected = phase.digest(folder)
        assert expected, f"{phase.name} leaves nothing to compare"
    while outcome.n_kills < n_kills and not outcome.faults:
        with _folder(phase) as (folder, hub):
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
            outcome.faults = tuple(_differences(expected, phase.digest(folder)))
    return outcome


def finish(command: list[str], folder: Path, hub: str | None) -> None:
    """Runs a command to its end.

    Raises:
        AssertionError: If it fails; the message holds its output.
    """
    done = subprocess.run(
        command, cwd=folder, env=environment(folder, hub), capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"


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


def _differences(expected: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            yield f"{name}: expected {expected.get(name, 'nothing')[:200]}, found {found.get(name, 'nothing')[:200]}"


@contextmanager
def _folder(phase: Phase) -> Iterator[tuple[Path, str | None]]:
    """A fresh folder, prepared, with a fresh Hub if the phase needs one."""
    folder = Path(tempfile.mkdtemp(prefix="mlip-ood-faults-"))
    try:
        if not phase.on_hub:
            phase.prepare(folder)
            yield folder, None
            return
        with _hub() as address:
            (folder / "hub-address").write_text(address)
            phase.prepare(folder)
            yield folder, address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _hub() -> Iterator[str]:
    """A Hub in a process of its own, which nothing kills."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.loopback_hub", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _HUB_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
                break
            except OSError:
                assert process.poll() is None, "the loopback Hub ended"
                assert time.monotonic() < deadline, "the loopback Hub does not answer"
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
