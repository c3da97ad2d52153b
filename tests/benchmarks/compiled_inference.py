"""Prediction with --compile against that without: time to compile, structures per second, and where it pays off.

    python -m tests.benchmarks.compiled_inference
    python -m tests.benchmarks.compiled_inference --model reference --seconds 20

Three processes, one thread each: not compiled; compiled with an empty cache of PyTorch's compiler; compiled with the
cache that the second one left. Each computes the same batches of 512 atoms, over and over. What its first pass takes
beyond a later one, and beyond that of the process that compiles nothing, is the time to compile. The speed-up is the
ratio of processor times, which other load disturbs little, and the prediction pays off beyond the number of structures
for which they save as much as compiling takes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from dataset_builders.core.markdown import markdown_table
from harness.compute.hardware import processor_name
from harness.core.potential import LoadOptions
from harness.data.dataset import open_dataset
from harness.data.scan import scan_dataset
from harness.evaluation.lowered_precision import sampled_places
from harness.inference.batching import filled_bounds, make_plan
from harness.inference.windows import structures_at
from harness.models.registry import load_potential

TASK: Final = "task2"
BATCH_ATOMS: Final = 512
VARIANTS: Final = ("not compiled", "compiled, empty cache", "compiled, cache of the run before")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="reference", help="of a family that compiles (default: reference)")
    parser.add_argument("--structures", type=int, default=200, help="of a pass, spread over the splits (default: 200)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of passes after the first (default: 15)")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--forces", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant is not None:
        print(json.dumps(measured(arguments)))
        return
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        found = [in_process(variant, arguments, Path(folder)) for variant in VARIANTS]
        forces = [np.load(Path(folder, f"{number}.npy")) for number in range(len(VARIANTS))]
    print(rendered(found))
    differences = ", ".join(f"{np.abs(each - forces[0]).max():.1e}" for each in forces[1:])
    print(
        f"\n{arguments.model} on {processor_name('cpu')}, one thread, {arguments.structures} structures of {TASK} of "
        f"mini a pass; forces of the compiled ones differ by at most {differences} eV/Å; load {before:.1f} to "
        f"{os.getloadavg()[0]:.1f}"
    )


def rendered(found: Sequence[dict[str, Any]]) -> str:
    """A table in Markdown."""
    eager, rows = found[0], []
    for variant, each in zip(VARIANTS, found, strict=True):
        saved = eager["cpu"] - each["cpu"]
        extra = each["first"] - eager["first"]
        pays_off = f"{extra / saved:,.0f} structures" if saved > 0.0 else "never"
        speed = (f"{each['rate']:.1f}", f"{1e3 * each['cpu']:.2f}", f"{eager['cpu'] / each['cpu']:.2f}")
        compiling = ("", "") if each is eager else (f"{extra:.1f}", pays_off)
        rows.append([variant, *speed, *compiling])
    headers = ("", "structures/s", "CPU ms", "speed-up", "to compile, s", "pays off beyond")
    return markdown_table(headers, rows, rule="right")


def in_process(variant: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What a variant measures in a process of its own."""
    options = [
        "--model",
        arguments.model,
        "--structures",
        str(arguments.structures),
        "--seconds",
        str(arguments.seconds),
    ]
    path = folder / f"{VARIANTS.index(variant)}.npy"
    command = [sys.executable, "-m", "tests.benchmarks.compiled_inference", "--variant", variant, "--forces", str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run([*command, *options], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds of the first pass beyond those of a later one, and the rate of the later ones."""
    options = LoadOptions(device="cpu", compile=arguments.variant != VARIANTS[0])
    potential = load_potential(arguments.model, options)
    dataset = open_dataset("mini")
    plan = make_plan(scan_dataset(dataset, (TASK,)), BATCH_ATOMS)
    whole = structures_at(dataset, plan, sampled_places(plan, arguments.structures, 0))
    batches = [whole.slice(start, stop) for start, stop in pairwise(filled_bounds(whole.n_atoms, BATCH_ATOMS))]

    def one_pass() -> tuple[float, float]:
        started, used = time.perf_counter(), time.process_time()
        forces = [potential.compute(batch).forces for batch in batches]
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - used
        np.save(arguments.forces, np.concatenate(forces))
        return seconds, cpu_seconds

    (first, _), times = one_pass(), []
    while sum(seconds for seconds, _ in times) < arguments.seconds:
        times.append(one_pass())
    usual, usual_cpu = (statistics.median(each) for each in zip(*times, strict=True))
    return {"first": first - usual, "rate": whole.n_structures / usual, "cpu": usual_cpu / whole.n_structures}


if __name__ == "__main__":
    main()
