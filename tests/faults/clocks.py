"""Phases while the clock of the machine is set back again and again."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tests.faults.phases import ROOT, Phase
from tests.faults.tally import Tally
from tests.faults.undisturbed import differences, folder_for, run, undisturbed

_BACKWARDS: Final = Path(__file__).parent / "backwards"
_JUMPS: Final = "jumps-of-the-clock"
_OLDEST: Final = timedelta(days=7)
"""Nothing sets the clock back that far in all."""
_DURATION: Final = re.compile("second|duration|elapsed|time_s|rate|per_s")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def clock_phase(phase: Phase, seed: int) -> Tally:
    """Runs a phase whose clock is set back several times a second.

    Args:
        phase: The phase.
        seed: Seed of the jumps.
    """
    tally = Tally(
        phase.name,
        {"runs": 0, "jumps back": 0, "dates": 0, "durations": 0, "same end": 0},
        struck=("jumps back",),
        needed=("runs", "same end"),
    )
    with folder_for(phase) as (folder, hub):
        jumps = folder.with_name(f"{folder.name}.{_JUMPS}")
        path = os.pathsep.join([str(_BACKWARDS), str(ROOT)])
        variables = {"PYTHONPATH": path, "MLIP_OOD_TEST_CLOCK": str(seed), "MLIP_OOD_TEST_JUMPS": str(jumps)}
        try:
            ended = run(phase.command(folder), folder, hub, **variables)
        except subprocess.TimeoutExpired:
            tally.lost(["it hangs"])
            return tally
        tally.add("runs")
        tally.add("jumps back", len(jumps.read_text().splitlines()) if jumps.exists() else 0)
        jumps.unlink(missing_ok=True)
        if ended.code:
            tally.lost([f"it ended with {ended.code}: {ended.output[-3000:]}"])
            return tally
        found = [*differences(undisturbed(phase).digest, phase.digest(folder)), *_odd_times(folder, tally)]
        tally.lost(found)
        tally.add("same end", not found)
    return tally


def _odd_times(folder: Path, tally: Tally) -> Iterator[str]:
    """Dates that are no dates of these days, and durations below zero."""
    for path in sorted((*folder.rglob("*.json"), *folder.rglob("*.jsonl"))):
        if "home" in path.relative_to(folder).parts:
            continue
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        for line in lines:
            for key, value in _values(json.loads(line)):
                if isinstance(value, int | float) and _DURATION.search(key):
                    tally.add("durations")
                    if value < 0:
                        yield f"{path.name}: {key} is {value}"
                if isinstance(value, str) and _DATE.fullmatch(value):
                    tally.add("dates")
                    if not timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(value) < _OLDEST:
                        yield f"{path.name}: {key} is {value}"


def _values(document: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a document in JSON, each with the keys that lead to it."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from _values(value, f"{key}.{name}")
    elif isinstance(document, list):
        for value in document:
            yield from _values(value, key)
    else:
        yield key, document
