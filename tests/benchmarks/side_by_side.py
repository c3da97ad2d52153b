"""The harness, TorchSim's `static` and the families' own batched calls on the same batches: one table in one run.

    python -m tests.benchmarks.side_by_side --python path/to/environment/bin/python

`--python` is the interpreter of an environment with torch-sim-atomistic and mace-torch; TorchSim has a model for MACE
only, of the families here. Each computes the same structures in the same batches, in one thread on a CPU, from
structures to energies and forces: neighbours, graphs and transfers count. How much faster the harness is, is the ratio
of the processor times of the best passes, workers included: other load disturbs these little, and only adds to them.
All take two turns. `network` is the part of the family's own call that is the
network and its gradient. Differences are from the harness. Models: those of `tests.benchmarks.speed` whose package
computes batches.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.markdown import markdown_table
from harness.compute.hardware import processor_name
from harness.compute.process_threads import threads_per_process
from harness.compute.staging import compute_ahead
from harness.core.batch import StructureBatch
from harness.core.potential import LoadOptions
from harness.data.dataset import open_dataset
from harness.data.scan import scan_dataset
from harness.evaluation.lowered_precision import sampled_places
from harness.inference.batching import filled_bounds, make_plan
from harness.inference.windows import structures_at
from harness.models.registry import ModelSource
from harness.models.resolve import resolve_model
from harness.worker.family_environments import find_environment
from harness.worker.loading import loaded
from tests.benchmarks.against_torchsim import torchsim
from tests.benchmarks.native_batches import mace_call, native_rates, so3lr_call, torchani_call
from tests.benchmarks.processor_time import processor_time
from tests.benchmarks.speed import model_of, package_version
from tests.harness.potentials.other_interpreter import Arrays, run_elsewhere

TASK: Final = "task2"
BATCH_ATOMS: Final = 512
ROUNDS: Final = 2
TIMES: Final = ("seconds", "cpu_seconds", "of_network")
MODELS: Final = ("mace-16", "ani2x", "so3lr")
HEADERS: Final = (
    "model", "computed by", "structures/s", "CPU ms", "harness faster by", "network",
    "energies differ, eV", "forces differ, eV/Å",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--python", help="interpreter with TorchSim; without it, the table says that it was not measured"
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--structures", type=int, default=200, help="spread over the splits (default: 200)")
    parser.add_argument("--repeats", type=int, default=5, help="in each of two rounds; the best counts (default: 5)")
    arguments = parser.parse_args()
    dataset = open_dataset("mini")
    plan = make_plan(scan_dataset(dataset, (TASK,)), BATCH_ATOMS)
    whole = structures_at(dataset, plan, sampled_places(plan, arguments.structures, 0))
    before, rows = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory() as folder, threads_per_process(1):
        for name in arguments.models:
            rows += rows_of(name, model_of(name, Path(folder)), whole, arguments)
    print(markdown_table(HEADERS, rows))
    print(
        f"\n{processor_name('cpu')}, one thread, Python {platform.python_version()} but for TorchSim; "
        f"{whole.n_structures} structures of {TASK} of mini in batches of {BATCH_ATOMS} atoms, best of "
        f"{ROUNDS * arguments.repeats}; load {before:.1f} to {os.getloadavg()[0]:.1f}"
    )


def rows_of(name: str, model: str, whole: StructureBatch, arguments: argparse.Namespace) -> list[list[str]]:
    """The rows of a model: the harness, TorchSim where it has such a model, and the family's own call."""
    bounds = filled_bounds(whole.n_atoms, BATCH_ATOMS)
    batches = [whole.slice(start, stop) for start, stop in pairwise(bounds)]
    source = resolve_model(model)
    with_torchsim = name == "mace-16" and arguments.python is not None
    own, theirs, native = {}, {}, {}
    for _ in range(ROUNDS):
        own = joined(own, of_harness(source, batches, arguments.repeats))
        if with_torchsim:
            theirs = joined(theirs, torchsim(batches, model, "cpu", arguments.python, arguments.repeats))
        native = joined(native, of_package(source, whole, bounds, arguments.repeats))
    share = f"{100.0 * statistics.median(np.divide(native['of_network'], native['cpu_seconds'])):.0f} %"
    others = [(f"{package_version(name)}, own batches", native, share)]
    if with_torchsim:
        label = "TorchSim {torch-sim-atomistic}, PyTorch {torch}, Python {python}".format(**theirs["versions"])
        others.insert(0, (label, theirs, ""))
    rows = [[name, "harness", *speeds(own, whole.n_structures), "", "", "", ""]]
    if len(others) == 1:
        reason = "not measured: no --python" if name == "mace-16" else "has no model of this family"
        rows.append([name, "TorchSim", reason, *[""] * 5])
    for label, other, network in others:
        factor = min(other["cpu_seconds"]) / min(own["cpu_seconds"])
        differences = (np.abs(own[key] - np.asarray(other[key])).max() for key in ("energy", "forces"))
        cells = (f"{factor:.2f}", network, *(f"{each:.1e}" for each in differences))
        rows.append([name, label, *speeds(other, whole.n_structures), *cells])
    return rows


def joined(before: dict[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What one of them measured in all rounds so far."""
    times = {key: [*before.get(key, ()), *now[key]] for key in TIMES if key in now}
    return {**now, **times}


def speeds(found: Any, n_structures: int) -> tuple[str, str]:
    """Structures per second and processor time of a structure in ms, each of the best pass: other load only adds."""
    seconds, cpu_seconds = (min(found[key]) for key in ("seconds", "cpu_seconds"))
    return f"{n_structures / seconds:,.1f}", f"{1e3 * cpu_seconds / n_structures:,.2f}"


def of_harness(source: ModelSource, batches: Sequence[StructureBatch], repeats: int) -> dict[str, FloatArray]:
    """Times of each pass but the first, and energies and forces."""
    seconds: list[float] = []
    cpu_seconds: list[float] = []
    outcomes = []
    with loaded(source, LoadOptions(device="cpu", trust_checkpoint=True)) as potential:
        for repeat in range(repeats + 1):
            started, used = time.perf_counter(), processor_time()
            outcomes = [each for _, each in compute_ahead(potential, ((None, batch) for batch in batches), tuple)]
            if repeat:
                seconds.append(time.perf_counter() - started)
                cpu_seconds.append(processor_time() - used)
    for each in outcomes:
        if isinstance(each, Exception):
            raise each
    return {
        "seconds": np.array(seconds),
        "cpu_seconds": np.array(cpu_seconds),
        "energy": np.concatenate([each.energy for each in outcomes]),
        "forces": np.concatenate([each.forces for each in outcomes]),
    }


def of_package(source: ModelSource, whole: StructureBatch, bounds: Sequence[int], repeats: int) -> Arrays:
    """What the family's package measures, in the interpreter that it needs."""
    arrays: Arrays = {
        "atomic_numbers": whole.atomic_numbers,
        "positions": whole.positions,
        "n_atoms": whole.n_atoms,
        "bounds": np.array(bounds),
    }
    values = {
        "module": source.family.module,
        "name": source.family.name,
        "place": source.model_id if source.path is None else str(source.path),
        "is_path": source.path is not None,
        "repeats": repeats,
    }
    if find_environment(source.family.name) is None:
        return native_rates(arrays, **values)
    calls = [mace_call, torchani_call, so3lr_call]
    return run_elsewhere(source.family.name, native_rates, arrays, calls, **values)


if __name__ == "__main__":
    main()
