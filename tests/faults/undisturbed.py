"""Runs of a phase that nothing disturbs, with which the disturbed ones are compared, and the folders of both."""

import functools
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.phases import ROOT, Phase, environment, phases

_SECONDS: Final = 1800.0
_HUB_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What a phase leaves if nothing disturbs it.

    Attributes:
        digest: As its phase takes it.
        seconds: Time that it took.
    """

    digest: Mapping[str, str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended.

    Attributes:
        code: Its exit code.
        output: Standard output and standard error, joined.
    """

    code: int
    output: str


def undisturbed(phase: Phase) -> Undisturbed:
    """Runs a phase once; every later call gives what that run left."""
    return _of_name(phase.name) if phase.name in {each.name for each in phases()} else _run(phase)


def finish(command: list[str], folder: Path, hub: str | None, **variables: str) -> str:
    """Runs a command to its end, and gives its output.

    Raises:
        AssertionError: If it fails; the message holds its output.
    """
    ended = run(command, folder, hub, **variables)
    assert ended.code == 0, f"{' '.join(command)}: {ended.code}\n{ended.output[-6000:]}"
    return ended.output


def run(command: list[str], folder: Path, hub: str | None, seconds: float = _SECONDS, **variables: str) -> Ended:
    """Runs a command to its end, whatever that is.

    Raises:
        subprocess.TimeoutExpired: If it hangs.
    """
    done = subprocess.run(
        command, cwd=folder, env=environment(folder, hub) | variables, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout)


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    """What differs between two digests."""
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            yield f"{name}: expected {expected.get(name, 'nothing')[:200]}, found {found.get(name, 'nothing')[:200]}"


@contextmanager
def folder_for(phase: Phase) -> Iterator[tuple[Path, str | None]]:
    """A fresh folder, prepared, with a fresh Hub if the phase needs one."""
    folder = Path(tempfile.mkdtemp(prefix="mlip-ood-faults-"))
    try:
        if not phase.on_hub:
            phase.prepare(folder)
            yield folder, None
            return
        with hub_of_its_own() as address:
            (folder / "hub-address").write_text(address)
            phase.prepare(folder)
            yield folder, address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def hub_of_its_own() -> Iterator[str]:
    """A Hub in a process of its own, which nothing disturbs."""
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


@functools.cache
def _of_name(name: str) -> Undisturbed:
    return _run(next(phase for phase in phases() if phase.name == name))


def _run(phase: Phase) -> Undisturbed:
    with folder_for(phase) as (folder, hub):
        start = time.monotonic()
        finish(phase.command(folder), folder, hub)
        seconds = time.monotonic() - start
        digest = phase.digest(folder)
    assert digest, f"{phase.name} leaves nothing to compare"
    return Undisturbed(digest, seconds)
