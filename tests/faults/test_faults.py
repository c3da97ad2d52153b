"""The short form of `make test-faults`: two phases killed twice, a damaged run, and that losses would be seen."""

import sys
from pathlib import Path

import pytest

from tests.faults.damage import Kind, damage_file
from tests.faults.kills import kill_phase
from tests.faults.phases import Phase, phases

PHASES = {phase.name: phase for phase in phases()}


@pytest.mark.parametrize("name", ["relabel", "predict in a worker"])
def test_killed_phases_end_with_the_same_bytes(name: str) -> None:
    """Two kills in one folder, at seeded points, then to the end."""
    outcome = kill_phase(PHASES[name], n_kills=2, seed=1, kills_each=2)
    assert outcome.faults == ()
    assert outcome.counts["kills"] == 2
    assert outcome.counts["finished"] >= 1


def test_a_phase_that_loses_something_is_found() -> None:
    """A command that writes as it goes ends with other bytes after a kill."""
    program = (
        "import time\n"
        "with open('lines', 'a') as stream:\n"
        "    for number in range(20):\n"
        "        print(number, file=stream, flush=True)\n"
        "        time.sleep(0.05)\n"
    )
    append = Phase(
        "append",
        lambda folder: [sys.executable, "-c", program],
        lambda folder: {"lines": (folder / "lines").read_text()},
    )
    outcome = kill_phase(append, n_kills=2, seed=0, kills_each=2)
    assert outcome.counts["kills"] == 2
    assert outcome.faults[0].startswith("lines: expected 0\n1\n")


def test_damage_that_is_read_as_something_else_is_found(tmp_path: Path) -> None:
    """A reader that checks nothing lets every flipped bit through."""
    path = tmp_path / "numbers"
    path.write_bytes(bytes(range(64)))
    outcome = damage_file(Kind("numbers", path, path.read_bytes), n_flips=5, seed=0)
    assert (outcome.counts["flips"], outcome.counts["caught"], len(outcome.faults)) == (5, 0, 9)
    assert path.read_bytes() == bytes(range(64))
