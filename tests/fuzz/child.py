"""Spoils the file of one target again and again in a process with bounded memory and time for each input.

A crash or a hang ends the process; the input that caused it is then in the file of the target, where the campaign
finds it. Anything else that is not an error of the project is saved, once for each place in the code.
"""

import argparse
import faulthandler
import gc
import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final

from dataset_builders.core.errors import MlipOodError
from tests.fuzz.mutations import mutated
from tests.fuzz.target import Reading, Target

MEMORY: Final = 1500 * 2**20
"""Memory, in bytes, that the inputs of a target may need beyond what its valid files need."""
_GROWTH: Final = 600 * 2**20
"""Growth of resident memory by one input that is reported as an escape."""
_PROGRESS_SECONDS: Final = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until the time is up; prints counts and escapes, one JSON object a line, on the standard output."""
    from tests.fuzz.targets import target_named

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.child")
    parser.add_argument("--target", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--saves", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--inputs", type=int, default=10**12)
    parser.add_argument("--replay", type=Path)
    given = parser.parse_args(arguments)
    report = os.fdopen(os.dup(1), "w")
    target = target_named(given.target)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        run = _Run(target, given.folder, given.saves, report)
        if given.replay is not None:
            run.try_input(given.replay.read_bytes())
        else:
            run.campaign(random.Random(f"{given.seed} {target.name}"), given.seconds, given.inputs)
    run.say()
    return 0


class _Run:
    """One process of a target: its counts, and the places where errors of others came out."""

    def __init__(self, target: Target, folder: Path, saves: Path, report: Any) -> None:
        self.target, self.folder, self.saves, self.report = target, folder, saves, report
        self.path = folder / target.file
        self.n_inputs = self.n_accepted = self.n_refused = 0
        self.seen: set[str] = set()
        os.chdir(folder)
        faulthandler.enable(file=sys.__stderr__)
        self.reading = self._prepared()
        gc.collect()
        gc.freeze()
        _limit_memory()
        self.resident = _peak()

    def _prepared(self) -> Reading:
        reading = self.target.prepare(self.folder)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for seed in reading.seeds:
            self.path.write_bytes(seed)
            reading.read()  # A target whose valid files are refused finds nothing.
        return reading

    def campaign(self, rng: random.Random, seconds: float, n_inputs: int) -> None:
        end, next_report = time.monotonic() + seconds, time.monotonic() + _PROGRESS_SECONDS
        while (now := time.monotonic()) < end and self.n_inputs < n_inputs:
            if now > next_report:
                self.say()
                next_report = now + _PROGRESS_SECONDS
            self.try_input(mutated(self.target.kind, self.reading.seeds, rng))

    def try_input(self, content: bytes) -> None:
        self.path.write_bytes(content)
        self.n_inputs += 1
        faulthandler.dump_traceback_later(self.target.seconds, exit=True, file=sys.__stderr__)
        try:
            self.reading.read()
            self.n_accepted += 1
        except MlipOodError as refusal:
            self.n_refused += 1
            if not str(refusal).strip() or len(str(refusal)) > 20_000:
                self._escaped(content, f"message of {len(str(refusal))} characters", traceback.format_exc())
        except (SystemExit, KeyboardInterrupt, Exception) as cause:
            if isinstance(cause, KeyboardInterrupt):
                raise
            self._escaped(content, type(cause).__name__, traceback.format_exc())
        finally:
            faulthandler.cancel_dump_traceback_later()
        peak = _peak()
        if peak - self.resident > _GROWTH:
            self._escaped(content, f"memory: {(peak - self.resident) / 2**20:.0f} MiB more", "")
        self.resident = max(self.resident, peak)

    def _escaped(self, content: bytes, kind: str, trace: str) -> None:
        places = [line.strip() for line in trace.splitlines() if line.startswith('  File "')]
        own = [place for place in places if "tests/fuzz" not in place and "site-packages" not in place
               and "/lib/python" not in place]  # fmt: skip
        where = (own or places or [""])[-1]
        signature = f"{kind.split(':', maxsplit=1)[0]} {where}"
        if signature in self.seen:
            return
        self.seen.add(signature)
        saved = save_input(self.saves, self.target.name, content)
        last = trace.strip().splitlines()[-1][:300] if trace else ""
        self._print({"escape": kind, "where": where, "last": last, "saved": str(saved)})

    def say(self) -> None:
        self._print({"inputs": self.n_inputs, "accepted": self.n_accepted, "refused": self.n_refused})

    def _print(self, line: dict[str, Any]) -> None:
        print(json.dumps(line), file=self.report, flush=True)


def save_input(saves: Path, name: str, content: bytes) -> Path:
    """Keeps an input for `--replay`."""
    import hashlib

    saves.mkdir(parents=True, exist_ok=True)
    path = saves / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    path.write_bytes(content)
    return path


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**28, 2**28))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
