"""Runs targets, each in processes of its own, and gathers what escaped."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.fuzz.child import save_input
from tests.fuzz.target import Target

_MOST_DEATHS: Final = 5
"""Crashes and hangs after which a target is given up."""


@dataclass(frozen=True, slots=True)
class Escape:
    """An input that ended in anything but a result or an error of the project.

    Attributes:
        kind: The error, `crash`, `hang` or `memory`.
        where: The last line of the project's own code that took part.
        last: The end of the message.
        saved: The input, for `--replay`.
    """

    kind: str
    where: str
    last: str
    saved: Path


@dataclass(slots=True)
class Outcome:
    """What became of the inputs of a target.

    Attributes:
        name: The target.
        n_inputs: Inputs that were tried.
        n_accepted: Those that were read.
        n_refused: Those that an error of the project refused.
        seconds: Time that this took, without the preparation.
        escapes: Everything else, once for each place in the code.
    """

    name: str
    n_inputs: int = 0
    n_accepted: int = 0
    n_refused: int = 0
    seconds: float = 0.0
    escapes: list[Escape] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a target is run.

    Attributes:
        seconds: Time for the inputs of a target.
        n_inputs: Most inputs of a target.
        seed: Seed of all inputs.
    """

    seconds: float
    n_inputs: int = 10**12
    seed: int = 0


def fuzz(target: Target, limits: Limits, saves: Path, replay: Path | None = None) -> Outcome:
    """Runs one target, again after each crash or hang, until its time is up.

    Args:
        target: The target.
        limits: When to stop.
        saves: Folder that receives the inputs that escaped.
        replay: A saved input, which is tried instead of others.
    """
    outcome = Outcome(target.name)
    left, deaths = limits.seconds, 0
    while left > 0 and deaths < _MOST_DEATHS and outcome.n_inputs < limits.n_inputs:
        folder = Path(tempfile.mkdtemp(prefix="mlip-ood-fuzz-"))
        seed = limits.seed + 1000 * deaths
        command = [
            sys.executable, "-m", "tests.fuzz.child", "--target", target.name, "--folder", str(folder),
            "--saves", str(saves), "--seed", str(seed), "--seconds", str(left),
            "--inputs", str(limits.n_inputs - outcome.n_inputs),
            *(["--replay", str(replay)] if replay else []),
        ]  # fmt: skip
        start = time.monotonic()
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=left + 10 * target.seconds + 300
            )
            returned, said, errors = ended.returncode, ended.stdout, ended.stderr
        except subprocess.TimeoutExpired as cause:
            returned, said, errors = -9, _text(cause.stdout), _text(cause.stderr)
        spent = time.monotonic() - start
        _gather(outcome, said)
        if returned != 0:
            outcome.escapes.append(_death(target, folder, saves, returned, errors))
            deaths += 1
        shutil.rmtree(folder, ignore_errors=True)
        outcome.seconds += min(spent, left)
        left = 0.0 if returned == 0 or replay else left - spent
    return outcome


def _text(content: bytes | str | None) -> str:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else content or ""


def _gather(outcome: Outcome, said: str) -> None:
    """Adds the last counts of a process, and its escapes."""
    counts = {"inputs": 0, "accepted": 0, "refused": 0}
    known = {(each.kind, each.where) for each in outcome.escapes}
    for line in said.splitlines():
        found = json.loads(line)
        if "escape" not in found:
            counts = found
        elif (found["escape"], found["where"]) not in known:
            outcome.escapes.append(Escape(found["escape"], found["where"], found["last"], Path(found["saved"])))
    outcome.n_inputs += counts["inputs"]
    outcome.n_accepted += counts["accepted"]
    outcome.n_refused += counts["refused"]


def _death(target: Target, folder: Path, saves: Path, returned: int, errors: str) -> Escape:
    """A process that ended by a signal or by its clock, or that could not read a valid file."""
    path = folder / target.file
    saved = save_input(saves, target.name, path.read_bytes()) if path.is_file() else saves
    kind = "hang" if "Timeout (" in errors else f"crash ({returned})"
    places = [line.strip() for line in errors.splitlines() if 'File "' in line and "tests/fuzz" not in line]
    return Escape(kind, places[0] if places else "", errors.strip()[-600:], saved)
