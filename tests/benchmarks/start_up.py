"""Time from the start of Python to the first structure of an evaluation, with everything that is imported for it.

python -m tests.benchmarks.start_up --model reference --repeats 5
python -m tests.benchmarks.start_up --model small.model --trust-checkpoint

Further options go to the command. Each repeat is a process of its own, with an empty folder of results. The first one
warms the cache of the disk and does
not count.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

_STARTED = "MLIP_OOD_STARTED"
_PROGRAM = f"""
import os, sys, time
from harness.cli import main
from harness.inference import stopwatch

def first(watch, structures):
    print(time.time() - float(os.environ["{_STARTED}"]), time.process_time(), file=sys.stderr, flush=True)
    os._exit(0)

stopwatch.Stopwatch._count = first
main(sys.argv[1:])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="reference")
    parser.add_argument("--task", default="task2")
    parser.add_argument("--repeats", type=int, default=5)
    arguments, others = parser.parse_known_args()
    load = os.getloadavg()[0]
    found = [one_start(arguments.model, arguments.task, others) for _ in range(arguments.repeats + 1)][1:]
    for name, values in zip(("wall-clock", "processor"), zip(*found, strict=True), strict=True):
        print(f"{name} time: {statistics.median(values):.2f} s, {min(values):.2f} to {max(values):.2f}")
    print(f"{arguments.model} on {arguments.task} of mini, {arguments.repeats} starts, load {load:.1f} before")


def one_start(model: str, task: str, others: Sequence[str] = ()) -> tuple[float, float]:
    """Wall-clock and processor time to the first structure, s; the latter without that of a worker."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--model", model, "--task", task, "--dataset", "mini", "--output", folder, "--quiet", *others]
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, *options],
            env={**os.environ, _STARTED: str(time.time())},
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
    wall, processor = map(float, done.stderr.split()[-2:])
    return wall, processor


if __name__ == "__main__":
    main()
