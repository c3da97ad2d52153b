"""Phases on a full disk, in a read-only folder and without the permission to write."""

import fnmatch
import functools
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.faults.phases import ROOT, Phase, environment
from tests.faults.small_disk import Trouble
from tests.faults.tally import Tally
from tests.faults.undisturbed import differences, folder_for, undisturbed

_SECONDS: Final = 5400.0
_SAID: Final[Mapping[Trouble, str]] = {
    "full": "No space left on device|disk is full|disk full",
    "read-only": "Read-only file system",
    "no permission": "Permission denied",
}
"""What a clear error must say of the cause, in the words of the system."""
_LAUNCHER: Final = re.compile(
    r"Traceback \(most recent call last\):\n(?: .*\n)+torch\.distributed\.elastic\.\S+\.ChildFailedError:\s*"
    r"={20,}\n(?:(?!={20,}).*\n)*={20,}\n"
)
"""What torchrun says when one of its processes ends with another code than zero, after what the process said."""

_REMEDY: Final = re.compile(r"--out\b|--output\b|HF_HOME|[Ff]ree |[Ii]s the disk full|--work\b|choose another")


def disk_phase(phase: Phase, n_full: int, seed: int) -> Tally:
    """Runs a phase on disks that are full at several points, and in folders that it may not write.

    Args:
        phase: A phase that writes files.
        n_full: Number of full disks; each has room for a seeded part of what the phase writes.
        seed: Seed of these parts.
    """
    tally = Tally(
        phase.name,
        {"full": 0, "read-only": 0, "no permission": 0, "enough room": 0, "files kept": 0, "finished": 0},
        struck=("full", "read-only", "no permission"),
        needed=("finished", *(("files kept",) if phase.kept else ())),
        skipped=why_no_disk(),
    )
    if tally.skipped:
        return tally
    written = _written(phase)
    points = random.Random(f"{seed} disk {phase.name}")
    # The middle part of each share: a first disk that is almost empty, a last one that is almost large enough.
    parts = [(number + points.uniform(0.1, 0.9)) / n_full for number in range(n_full)]
    for part in parts:
        _try(tally, phase, "full", int(part * written))
    _try(tally, phase, "read-only", 0)
    _try(tally, phase, "no permission", 0)
    return tally


@functools.cache
def why_no_disk() -> str:
    """Why no disk may be mounted here; empty if one may."""
    program = "mount -t tmpfs -o size=1m tmpfs /mnt && setpriv --bounding-set=-dac_override --inh-caps=-all -- true"
    try:
        done = subprocess.run([*_namespace(), "sh", "-c", program], capture_output=True, text=True, check=False)
    except FileNotFoundError as cause:
        return f"{cause.filename} is not installed"
    return "" if done.returncode == 0 else f"no file system can be mounted ({done.stderr.strip()})"


def _namespace() -> list[str]:
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]


@functools.cache
def _written_by_name(name: str) -> int:
    from tests.faults.phases import phases

    report, found = _report(next(phase for phase in phases() if phase.name == name), "none", 0)
    assert report["second"][0] == 0, f"{name}: {report['second'][1][-4000:]}"
    assert found, f"{name} leaves nothing"
    return int(report["after"] - report["before"])


def _written(phase: Phase) -> int:
    """Bytes that an undisturbed run leaves on the disk."""
    return _written_by_name(phase.name)


def _report(phase: Phase, trouble: Trouble, n_bytes: int) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Runs a phase in trouble; gives the report and the digest of what was left."""
    with folder_for(phase) as (folder, hub):
        after = Path(f"{folder}.after")
        program = [sys.executable, "-m", "tests.faults.small_disk", str(folder), str(after), trouble, str(n_bytes)]
        try:
            done = subprocess.run(
                [*_namespace(), *program, *phase.command(folder)], cwd=ROOT, env=environment(folder, hub),
                capture_output=True, text=True, timeout=_SECONDS, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{phase.name}: {done.stderr[-4000:]}"
            report = json.loads(done.stdout.splitlines()[-1])
            return report, phase.digest(after) if report["second"][0] == 0 else {}
        finally:
            for suffix in ("after", "disk", "home"):
                shutil.rmtree(f"{folder}.{suffix}", ignore_errors=True)


def _try(tally: Tally, phase: Phase, trouble: Trouble, n_bytes: int) -> None:
    report, found = _report(phase, trouble, n_bytes)
    code, said = report["first"]
    what = f"{trouble} ({n_bytes} bytes)" if trouble == "full" else trouble
    if code == 0 and trouble == "full":
        # What is deleted before the end makes room, so that the last part may be enough.
        tally.add("enough room")
    elif code == 0:
        tally.lost([f"{what}: it ended as if it had written"])
    else:
        tally.add(trouble)
        tally.lost(f"{what}: {problem}" for problem in unclear(said, _SAID[trouble], phase.out, phase.n_processes))
    again, output = report["second"]
    if again:
        tally.lost([f"{what}: then with room it ended with {again}: {output[-3000:]}"])
        return
    tally.add("finished")
    tally.lost(f"{what}: {each}" for each in differences(undisturbed(phase).digest, found))
    finished = [path for path in report["files"] if any(fnmatch.fnmatch(path, each) for each in phase.kept)]
    again_written = [path for path in finished if report["files after"].get(path) != report["files"][path]]
    tally.add("files kept", len(finished) - len(again_written))
    tally.lost(f"{what}: {path} was finished and computed again" for path in again_written)


def unclear(said: str, cause: str, paths: tuple[str, ...], n_processes: int = 1) -> Iterator[str]:
    """What is missing from the message of a command that could not write.

    Args:
        said: Its output.
        cause: Pattern of the cause in the words of the system.
        paths: The files and folders one of which it must name.
        n_processes: Processes of the command, each of which may say it once; torchrun reports those that failed.
    """
    said = _LAUNCHER.sub("", said) if n_processes > 1 else said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    shown = said[-3000:]
    if "Traceback (most recent call last)" in said:
        yield f"it ended with a traceback: {shown}"
    elif not 1 <= len(errors) <= n_processes:
        yield f"{len(errors)} messages instead of one: {shown}"
    else:
        if not re.search(cause, said):
            yield f"the message does not name the cause: {shown}"
        if not any(re.search(rf"(^|[\s/'])\.?{re.escape(path)}\b", said) for path in (*paths, "home")):
            yield f"the message names no path: {shown}"
        if not _REMEDY.search(said):
            yield f"the message names no remedy: {shown}"
