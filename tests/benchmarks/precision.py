"""Structures per second in float32 and in float64, and how far the two differ, for several models in one run.

    python -m tests.benchmarks.precision
    python -m tests.benchmarks.precision --models mace-16 path/to/your.model

Both precisions of a model compute the same batches in turn, in one thread each. The speed-up is the ratio of the
processor times of a turn, workers included, which other load disturbs little; the median over the turns counts. The
differences are those of all forces and energies. Models: those of `tests.benchmarks.speed`, a name or a path that the
harness takes. A model that computes in one precision only is named with the reason.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import MlipOodError
from dataset_builders.core.markdown import markdown_table
from harness.compute.hardware import processor_name
from harness.compute.process_threads import threads_per_process
from harness.compute.staging import compute_ahead
from harness.core.batch import StructureBatch
from harness.core.potential import DtypeName, LoadOptions, Potential
from harness.data.dataset import open_dataset
from harness.data.scan import scan_dataset
from harness.evaluation.lowered_precision import sampled_places
from harness.inference.batching import filled_bounds, make_plan
from harness.inference.windows import structures_at
from harness.models.resolve import resolve_model
from harness.worker.loading import loaded
from tests.benchmarks.processor_time import processor_time
from tests.benchmarks.speed import MODELS, model_of

TASK: Final = "task2"
BATCH_ATOMS: Final = 512
BOTH: Final[tuple[DtypeName, DtypeName]] = ("float32", "float64")
SPEEDS: Final = (
    "model", "saved in", "float32, structures/s", "float64, structures/s", "float32, CPU ms", "float64, CPU ms",
    "speed-up",
)  # fmt: skip
DIFFERENCES: Final = (
    "difference", "force, largest, eV/Å", "force, mean, eV/Å", "energy, largest, eV/atom", "energy, mean, eV/atom",
    "mean of the forces, eV/Å",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Passes:
    """What a potential computed of the batches, each time.

    Attributes:
        seconds: Of each pass but the first.
        cpu_seconds: Processor time of the same, workers included.
        energy: Energies of the last pass, eV.
        forces: Forces of the last pass, eV/Å.
    """

    seconds: list[float]
    cpu_seconds: list[float]
    energy: FloatArray
    forces: FloatArray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), help=f"default: {' '.join(MODELS)}")
    parser.add_argument("--structures", type=int, default=200, help="spread over the splits (default: 200)")
    parser.add_argument("--repeats", type=int, default=3, help="of each precision (default: 3)")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    dataset = open_dataset("mini")
    plan = make_plan(scan_dataset(dataset, (TASK,)), BATCH_ATOMS)
    whole = structures_at(dataset, plan, sampled_places(plan, arguments.structures, 0))
    batches = [whole.slice(start, stop) for start, stop in pairwise(filled_bounds(whole.n_atoms, BATCH_ATOMS))]
    before = os.getloadavg()[0]
    rows = []
    with tempfile.TemporaryDirectory() as folder, threads_per_process(1):
        for name in arguments.models:
            model = model_of(name, Path(folder)) if name in MODELS else name
            rows.append([name, *row(model, batches, arguments.repeats, arguments.device)])
    print(markdown_table(SPEEDS, [cells[: len(SPEEDS)] for cells in rows], rule="right"))
    differences = [[cells[0], *cells[len(SPEEDS) :]] for cells in rows]
    print(f"\n{markdown_table(DIFFERENCES, differences, rule='right')}")
    print(
        f"\n{processor_name(arguments.device)}, one thread, Python {platform.python_version()}; {whole.n_structures} "
        f"structures of {TASK} of mini in batches of {BATCH_ATOMS} atoms, median of {arguments.repeats}; load "
        f"{before:.1f} to {os.getloadavg()[0]:.1f}"
    )


def row(model: str, batches: Sequence[StructureBatch], repeats: int, device: str) -> list[str]:
    """The cells of both tables for a model, or one that says why it cannot be measured."""
    source = resolve_model(model)
    single, double = (LoadOptions(device, dtype, trust_checkpoint=True) for dtype in BOTH)
    try:
        with loaded(source, single) as first, loaded(source, double) as second:
            saved = first.traits.saved_dtype or "not told"
            passes = in_turn((first, second), batches, repeats)
    except MlipOodError as cause:
        return [f"not measured: {cause}", *[""] * (len(SPEEDS) + len(DIFFERENCES) - 3)]
    low, high = passes
    n_atoms = np.concatenate([batch.n_atoms for batch in batches])
    forces, energies = np.abs(low.forces - high.forces), np.abs(low.energy - high.energy) / n_atoms
    ratio = statistics.median(one / other for one, other in zip(high.cpu_seconds, low.cpu_seconds, strict=True))
    differences = (forces.max(), forces.mean(), energies.max(), energies.mean())
    return [
        saved,
        *(f"{len(n_atoms) / statistics.median(each.seconds):,.1f}" for each in passes),
        *(f"{1e3 * statistics.median(each.cpu_seconds) / len(n_atoms):,.2f}" for each in passes),
        f"{ratio:.2f}",
        *(f"{each:.1e}" for each in differences),
        f"{np.abs(high.forces).mean():.2g}",
    ]


def in_turn(potentials: Sequence[Potential], batches: Sequence[StructureBatch], repeats: int) -> list[Passes]:
    """Passes over all batches, of one potential after the other; the first pass of each warms up."""
    times: list[tuple[list[float], list[float]]] = [([], []) for _ in potentials]
    found = []
    for repeat in range(repeats + 1):
        found = []
        for potential, (seconds, cpu_seconds) in zip(potentials, times, strict=True):
            started, used = time.perf_counter(), processor_time()
            outcomes = [outcome for _, outcome in compute_ahead(potential, ((None, each) for each in batches), tuple)]
            if repeat:
                seconds.append(time.perf_counter() - started)
                cpu_seconds.append(processor_time() - used)
            found.append([computed(outcome) for outcome in outcomes])
    return [
        Passes(*of_one, *(np.concatenate(each) for each in zip(*predicted, strict=True)))
        for of_one, predicted in zip(times, found, strict=True)
    ]


def computed(outcome: object) -> tuple[FloatArray, FloatArray]:
    """Energies and forces of a batch; an error is raised here."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome.energy, outcome.forces  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
