"""The short form of `make test-faults`: a few faults of most kinds, and that losses would be seen.

What a faulty Hub does to reading and writing is tested where these are, in `tests/harness/data`, `tests/harness/hub`,
`tests/dataset_builders/core/hub` and `tests/model_cards/publishing`; a command for each case would take too long here.
"""

import sys
from pathlib import Path

import pytest

from tests.faults import hub_cases
from tests.faults.__main__ import GROUPS, main
from tests.faults.clocks import clock_phase
from tests.faults.damage import Kind, damage_file
from tests.faults.disks import disk_phase, unclear, why_no_disk
from tests.faults.kills import kill_phase
from tests.faults.pairs import pair_phase
from tests.faults.phases import Phase, phases
from tests.faults.tally import Tally
from tests.faults.workers import CASES, worker_faults

PHASES = {phase.name: phase for phase in phases()}


def test_every_phase_of_the_road_is_there() -> None:
    """The phases that are promised, each of which writes files or to the Hub."""
    road = ["build", "relabel", "import", "predict", "predict in a worker", "predict in two processes", "train"]
    assert list(PHASES) == [*road, "study", "publish", "push"]
    assert all(bool(phase.out) != phase.on_hub for phase in PHASES.values())


@pytest.mark.parametrize("name", ["relabel", "predict"])
def test_killed_phases_end_with_the_same_bytes(name: str) -> None:
    """Two kills in one folder, at seeded points, then to the end."""
    tally = kill_phase(PHASES[name], n_kills=2, seed=1, kills_each=2)
    assert tally.problems() == []
    assert tally.counts["kills"] == 2


def test_a_full_or_forbidden_disk_is_told_and_loses_nothing() -> None:
    """Labels up to where the disk is full are kept."""
    if why_no_disk():
        pytest.skip(f"no disk of a test's own: {why_no_disk()}")
    tally = disk_phase(PHASES["relabel"], n_full=1, seed=0)
    assert tally.problems() == []
    assert tally.counts["files kept"] >= 1


def test_a_clock_that_is_set_back_changes_nothing() -> None:
    """It jumps back at least once."""
    assert clock_phase(PHASES["relabel"], seed=0).problems() == []


def test_of_two_processes_on_one_output_one_is_refused() -> None:
    """Both start at once."""
    tally = pair_phase(PHASES["relabel"], n_pairs=1, seed=0)
    assert tally.problems() == []
    assert tally.counts["refused"] == 1


def test_a_worker_that_dies_loses_nothing() -> None:
    """It answers half, and is started again."""
    (case,) = [case for case in CASES if case.deed == "die_inside_an_answer"]
    (tally,) = worker_faults((case,))
    assert tally.problems() == []
    assert tally.counts["same"] == 1


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
    tally = kill_phase(append, n_kills=2, seed=0, kills_each=2)
    assert tally.counts["kills"] == 2
    assert tally.faults[0].startswith("lines: expected 0\n1\n")
    mixed = pair_phase(append, n_pairs=1, seed=0)
    assert mixed.faults[0].startswith("lines: expected 0\n1\n")


def test_damage_that_is_read_as_something_else_is_found(tmp_path: Path) -> None:
    """A reader that checks nothing lets every flipped bit through."""
    path = tmp_path / "numbers"
    path.write_bytes(bytes(range(64)))
    tally = damage_file(Kind("numbers", path, path.read_bytes), n_flips=5, seed=0)
    assert (tally.counts["flips"], tally.counts["caught"], len(tally.faults)) == (5, 0, 9)
    assert path.read_bytes() == bytes(range(64))


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("Traceback (most recent call last)\nOSError: No space", "it ended with a traceback"),
        ("nothing", "0 messages instead of one"),
        ("error: cannot write to out; free some space", "the message does not name the cause"),
        ("error: No space left on device; free some space", "the message names no path"),
        ("error: cannot write to out: No space left on device", "the message names no remedy"),
    ],
)
def test_an_unclear_message_is_found(said: str, problem: str) -> None:
    """One part of a clear message at a time is missing."""
    assert [each.partition(":")[0] for each in unclear(said, "No space left", ("out",))] == [problem]


def test_a_clear_message_passes() -> None:
    """Place, cause and remedy."""
    said = "error: cannot write to out/a.parquet: No space left on device; free some space, or choose another --out"
    assert list(unclear(said, "No space left", ("out",))) == []


TORCHRUN = """\
W1129 10:20:13.237000 22497 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 2 closing signal
Traceback (most recent call last):
  File "torch/distributed/run.py", line 1032, in <module>
    main()
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
harness FAILED
  error_file: <N/A>
============================================================
"""
CRASHED = """\
Traceback (most recent call last):
  File "harness/__main__.py", line 1, in <module>
OSError: [Errno 28] No space left on device
"""


def test_what_torchrun_adds_is_not_taken_for_the_message() -> None:
    """Each of two processes may say it once; a process that crashes is found before what torchrun says of it."""
    said = "error: cannot write to out: No space left on device; choose another --out\n"
    other = f"error: rank 1 of 2 stops, since rank 0 failed: {said.removeprefix('error: ')}"
    assert list(unclear(said + other + TORCHRUN, "No space left", ("out",), 2)) == []
    for text, problem in ((said, "it ended with a traceback"), (said + said + said, "3 messages instead of one")):
        report = TORCHRUN if "3" in problem else CRASHED + TORCHRUN
        found = unclear(text + report, "No space left", ("out",), 2)
        assert [each.partition(":")[0] for each in found] == [problem]


def test_a_count_of_zero_fails_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As do a fault that cannot be tried, and a group without a line."""
    never = Tally("train", {"kills": 0, "finished": 1}, struck=("kills",))
    skipped = Tally("build", {"full": 0}, struck=("full",), skipped="no mount")
    for tallies in ([never], [skipped], []):
        monkeypatch.setitem(GROUPS, "kills", ("killed", lambda given, chosen, found=tallies: iter(found)))
        assert main(["--group", "kills"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "kills: train: kills: 0",
        "kills: build: not tried here: no mount",
        "kills: nothing was tried",
    ]


def test_cases_have_names_of_their_own() -> None:
    """One that is asked for by its title is that one alone."""
    titles = [case.title for case in hub_cases.cases()]
    assert len(titles) == len(set(titles))
