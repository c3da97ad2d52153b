"""The short form of `make fuzz`: some readers for a moment, and that escapes of every kind would be seen."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import faults_of
from tests.fuzz.campaign import Limits, Outcome, fuzz
from tests.fuzz.child import save_input
from tests.fuzz.mutations import mutated
from tests.fuzz.target import Kind
from tests.fuzz.targets import PLANTED, TARGETS, target_named

SHORT = ("task-file", "eval.yaml")
"""Readers that start quickly."""

HEAVY = (
    "config.json", "control-config", "control-tensors", "knn-config", "knn-tensors", "parquet-certify", "card-yaml",
    "board-result", "submitted-result", "submitted-run", "predictions", "board-records", "extxyz",
)  # fmt: skip
"""Readers whose valid files take longer than half a second to make."""


@pytest.mark.parametrize("name", SHORT)
def test_nothing_escapes(name: str, tmp_path: Path) -> None:
    """Of some inputs, the same each time; `make fuzz` tries all readers for longer."""
    outcome = fuzz(target_named(name), Limits(seconds=60.0, n_inputs=50), tmp_path)
    assert faults_of(outcome) == []
    assert outcome.n_inputs == 50
    assert 0 < outcome.n_refused < 50
    assert outcome.n_accepted + outcome.n_refused == 50


def test_escapes_are_seen_and_kept_for_replay(tmp_path: Path) -> None:
    """An error of Python, a hang, a crash and a memory that fills, each once, and the input behind each."""
    outcome = fuzz(PLANTED, Limits(seconds=60.0, n_inputs=400), tmp_path)
    kinds = {re.sub(r"[ :(].*", "", each.kind) for each in outcome.escapes}
    assert kinds == {"KeyError", "hang", "crash", "MemoryError"}
    assert all(escape.saved.is_file() for escape in outcome.escapes)
    error = next(each for each in outcome.escapes if each.kind == "KeyError")
    again = fuzz(PLANTED, Limits(seconds=60.0), tmp_path, replay=error.saved)
    assert (again.n_inputs, [each.where for each in again.escapes]) == (1, [error.where])
    assert len(faults_of(outcome)) == len(outcome.escapes)


def test_a_reader_that_refuses_nothing_is_a_fault() -> None:
    (fault,) = faults_of(Outcome("task-file", n_inputs=5, n_accepted=5))
    assert fault == "task-file: nothing was refused, so the files were not spoiled"


@pytest.mark.parametrize("kind", ["json", "yaml", "toml", "text", "bytes"])
def test_inputs_follow_from_the_seed_and_differ(kind: Kind) -> None:
    seeds = [b'{"a": [1, 2.5, "x"], "b": {"c": null}}', b'{"d": true}']
    first, second = ([mutated(kind, seeds, random.Random(7)) for _ in range(1)] for _ in range(2))
    assert first == second
    rng = random.Random(7)
    assert len({mutated(kind, seeds, rng) for _ in range(200)}) > 100


PREPARED = """
import os, sys
from pathlib import Path
from tests.fuzz.targets import target_named

for name in sys.argv[1:]:
    target, folder = target_named(name), Path(name).resolve()
    path = folder / target.file
    folder.mkdir()
    os.chdir(folder)
    reading = target.prepare(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    for seed in reading.seeds:
        path.write_bytes(seed)
        reading.read()
    os.chdir(folder.parent)
"""


@pytest.mark.parametrize("is_heavy", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_valid_files_of_targets_are_read(is_heavy: bool, tmp_path: Path) -> None:
    """Where they are not, `make fuzz` finds nothing. In a process of its own, since targets replace what they call."""
    chosen = [each.name for each in TARGETS if (each.name in HEAVY) == is_heavy]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", PREPARED, *chosen],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(chosen) > 10


def test_a_document_of_repeated_repetitions_is_cut_off() -> None:
    seed = json.dumps({"a": [[["x" * 1000] * 100]]}).encode()
    assert max(len(mutated("json", [seed], random.Random(number))) for number in range(300)) < 30e6


def test_names_are_distinct_and_saved_inputs_are_named_after_them(tmp_path: Path) -> None:
    names = [each.name for each in TARGETS]
    assert len(set(names)) == len(names)
    saved = save_input(tmp_path / "new", "a", json.dumps(1).encode())
    assert saved.read_bytes() == b"1"
    assert saved.name.startswith("a-")
