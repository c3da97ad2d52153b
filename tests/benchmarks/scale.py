"""Time and peak memory of certify, evaluate, report and train against the number of structures.

    python -m tests.benchmarks.scale --structures 10200 102000 1020000

An edition of task2 of each size is written first, with the molecules and the shares of the splits of `standard`: minima
of MMFF94 with random displacements of 0.02 Å, and its energies and forces as labels, so that it certifies. Each command
runs in a process of its own. Its own memory, without mapped files, is sampled while it runs; the peak of all its memory
is that of the system.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from dataset_builders.core.markdown import markdown_table
from dataset_builders.folder.schema import with_metadata
from dataset_builders.folder.split_writing import write_split
from dataset_builders.tasks.editions import EDITIONS, FRAMES_PER_BURST, RANKING, SPLITS, SplitName, find_edition
from dataset_builders.tasks.regions import TASKS
from dataset_builders.tasks.split_words import words_of_split
from dataset_builders.tasks.words import Word
from harness.compute.hardware import processor_name
from tests.dataset_builders import synthetic_folder

TASK: Final = "task2"
_STEPS: Final = 200
_SAMPLED_EVERY_S: Final = 0.05
_MEGABYTE: Final = 1e6


@dataclass(frozen=True)
class Measured:
    """What a command took.

    Attributes:
        seconds: Wall-clock time.
        processor_seconds: Processor time.
        own_memory: Peak memory without mapped files, bytes.
        memory: Peak memory, bytes.
    """

    seconds: float
    processor_seconds: float
    own_memory: int
    memory: int


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the editions, runs the commands and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=int, nargs="+", default=[10_200, 102_000])
    rows: dict[str, list[tuple[int, Measured]]] = {}
    for wanted in parser.parse_args(argv).structures:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            began = time.perf_counter()
            n_structures = write_edition(place / "data", wanted)
            print(f"{n_structures:,} structures written in {time.perf_counter() - began:.0f} s", file=sys.stderr)
            for name, command in commands(place):
                found = measured(command)
                rows.setdefault(name, []).append((n_structures, found))
                print(f"{name}: {found}", file=sys.stderr, flush=True)
    print(table(rows))
    print(f"\n{processor_name('cpu')}, {os.cpu_count()} CPUs; load {os.getloadavg()[0]:.1f} at the end")


def write_edition(directory: Path, wanted: int) -> int:
    """Writes an edition of about so many structures; returns their number."""
    words = {split: words_of_split(TASKS[TASK], split) for split in SPLITS}
    of_standard = sum(getattr(EDITIONS[RANKING], split) * len(words[split]) for split in SPLITS)
    shares = (
        max(1, round(getattr(EDITIONS[RANKING], split) * wanted / of_standard / FRAMES_PER_BURST)) * FRAMES_PER_BURST
        for split in ("train", "test_ood", "validation", "test_id")
    )
    edition = find_edition("/".join(map(str, shares)))
    schema = with_metadata({**synthetic_folder.METADATA, "edition": edition.name})
    (directory / TASK).mkdir(parents=True)
    total = 0
    for split in SPLITS:
        write_split(_bursts(split, edition.bursts(split), words[split]), schema, directory / TASK, split)
        total += len(words[split]) * FRAMES_PER_BURST * len(edition.bursts(split))
    return total


def _bursts(split: SplitName, bursts: Sequence[int], words: Sequence[Word]) -> Iterator[pa.Table]:
    for burst in bursts:
        frames = range(burst * FRAMES_PER_BURST, (burst + 1) * FRAMES_PER_BURST)
        rows = [synthetic_folder.row_of(TASKS[TASK], split, word, frame) for word in words for frame in frames]
        synthetic_folder.frame_of.cache_clear()  # it would hold every frame
        yield pa.Table.from_pylist(rows, schema=with_metadata({}))


def commands(place: Path) -> Iterator[tuple[str, list[str]]]:
    """The commands, by what they do; a report needs the evaluation before it."""
    data, results = str(place / "data"), place / "results"
    harness = [sys.executable, "-m", "harness"]
    yield "certify", [sys.executable, "-m", "dataset_builders", "certify", data]
    options = ["--task", TASK, "--dataset", data, "--jobs", "1", "--output", str(results), "--json", "--quiet"]
    yield "evaluate (zero forces)", [*harness, "--model", "zero", *options]
    (run,) = results.glob("zero/*")
    yield "report as a page", [*harness, "report", str(run), "--json", "--html", str(place / "report.html")]
    for when in ("never", "always"):
        length = ["--steps", str(_STEPS), "--validations", "1", "--compile", "never"]
        train = [*harness, "train", "--task", TASK, "--dataset", data, "--channels", "8", "--layers", "1", *length]
        where = "in memory" if when == "never" else "in files"
        yield (
            f"train, {_STEPS} steps, frames {where}",
            [*train, "--frames-on-disk", when, "--out", str(place / when)],
        )


def measured(command: Sequence[str]) -> Measured:
    """Runs a command to its end.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        own = 0
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            own = max(own, _own_memory(process.pid))
            time.sleep(_SAMPLED_EVERY_S)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, output.read().decode())
    return Measured(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, own, usage.ru_maxrss * 1024)


def _own_memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), 0)


def table(rows: dict[str, list[tuple[int, Measured]]]) -> str:
    """The table: a line for each command and number of structures."""
    header = ["command", "structures", "s", "CPU s", "own memory, MB", "memory, MB"]
    lines = [
        [
            name,
            f"{n_structures:,}",
            f"{found.seconds:.1f}",
            f"{found.processor_seconds:.1f}",
            f"{found.own_memory / _MEGABYTE:,.0f}",
            f"{found.memory / _MEGABYTE:,.0f}",
        ]
        for name, measurements in rows.items()
        for n_structures, found in measurements
    ]
    return markdown_table(header, lines, "right")


if __name__ == "__main__":
    main()
