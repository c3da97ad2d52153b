"""The harness, TorchSim's `static` and the families' own batched calls on the same batches: one table in one run.

    python -m tests.benchmarks.side_by_side --python path/to/environment/bin/python

`--python` is the interpreter of an environment with torch-sim-atomistic and mace-torch; TorchSim has a model for MACE
only, of the families here. Each computes the same structures in the same batches, in one thread on a CPU, from
structures to energies and forces: neighbours, graphs and transfers count. `network` is the part of the family's own
call that is the network and its gradient. Differences are from the harness. Models: those of `tests.benchmarks.speed`
whose package computes batches.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
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
from tests.benchmarks.speed import model_of, package_version
from tests.harness.potentials.other_interpreter import Arrays, run_elsewhere

TASK: Final = "task2"
BATCH_ATOMS: Final = 512
MODELS: Final = ("mace-16", "ani2x", "so3lr")
HEADERS: Final = (
    "model", "computed by", "structures/s", "harness is", "network", "energies differ, eV", "forces differ, eV/Å",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--python", help="interpreter with TorchSim; without it, the table says that it was not measured"
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--structures", type=int, default=200, help="spread over the splits (default: 200)")
    parser.add_argument("--repeats", type=int, default=3)
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
        f"{whole.n_structures} structures of {TASK} of mini in batches of {BATCH_ATOMS} atoms, median of "
        f"{arguments.repeats}; load {before:.1f} to {os.getloadavg()[0]:.1f}"
    )


def rows_of(name: str, model: str, whole: StructureBatch, arguments: argparse.Namespace) -> list[list[str]]:
    """The rows of a model: the harness, TorchSim where it has such a model, and the family's own call."""
    bounds = filled_bounds(whole.n_atoms, BATCH_ATOMS)
    batches = [whole.slice(start, stop) for start, stop in pairwise(bounds)]
    source = resolve_model(model)
    own = of_harness(source, batches, arguments.repeats)
    count, rate = whole.n_structures, whole.n_structures / statistics.median(own["seconds"])
    rows = [[name, "harness", f"{rate:,.1f}", "", "", "", ""]]

    def add(label: str, other: Any, network: str = "") -> None:
        their_rate = count / statistics.median(other["seconds"])
        energies = np.abs(own["energy"] - np.asarray(other["energy"])).max()
        forces = np.abs(own["forces"] - np.asarray(other["forces"])).max()
        factor = f"{rate / their_rate:.2f} times as fast"
        rows.append([name, label, f"{their_rate:,.1f}", factor, network, f"{energies:.1e}", f"{forces:.1e}"])

    if name != "mace-16":
        rows.append([name, "TorchSim", "has no model of this family", "", "", "", ""])
    elif arguments.python is None:
        rows.append([name, "TorchSim", "not measured: no --python", "", "", "", ""])
    else:
        theirs = torchsim(batches, model, "cpu", arguments.python, arguments.repeats)
        versions = theirs["versions"]
        label = "TorchSim {torch-sim-atomistic}, PyTorch {torch}, Python {python}".format(**versions)
        add(label, theirs | {"energy": theirs["energies"]})
    native = of_package(source, whole, bounds, arguments.repeats)
    share = statistics.median(native["of_network"] / native["seconds"])
    add(f"{package_version(name)}, own batches", native, f"{100.0 * share:.0f} %")
    return rows


def of_harness(source: ModelSource, batches: Sequence[StructureBatch], repeats: int) -> dict[str, FloatArray]:
    """Seconds of each pass but the first, and energies and forces."""
    seconds, outcomes = [], []
    with loaded(source, LoadOptions(device="cpu", trust_checkpoint=True)) as potential:
        for repeat in range(repeats + 1):
            started = time.perf_counter()
            outcomes = [each for _, each in compute_ahead(potential, ((None, batch) for batch in batches), tuple)]
            if repeat:
                seconds.append(time.perf_counter() - started)
    for each in outcomes:
        if isinstance(each, Exception):
            raise each
    return {
        "seconds": np.array(seconds),
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
