"""What the harness adds to a model: a whole evaluation beside the bare forward passes of the same batches.

python -m tests.benchmarks.overhead --model reference

The bare passes start from graphs that were made before and lie on the device. The harness reads the data set,
packs, finds neighbours, checks and writes predictions.
"""

import argparse
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.batching import Plan, make_plan
from harness.dataset import open_dataset
from harness.joining import read_task
from harness.models import resolve_model
from harness.potentials.base import LoadOptions
from harness.potentials.registry import load_potential
from harness.predict import compute_shards
from harness.run import BATCH_ATOMS

REPEATS = 5
TASK = "task2"


def graphs_of(family: str, potential: Any, plan: Plan) -> list[Any]:
    """The inputs of the network for each batch, on its device."""
    batches = [
        plan.work.slice(first, last).as_batch() for shard in plan.shards for first, last in pairwise(shard.bounds)
    ]
    if family == "mace":
        return [potential._graph(batch) for batch in batches]
    if family == "graph-pes":
        return [potential.graph_of(batch) for batch in batches]
    raise SystemExit(f"{family} does not part its graph from its forward pass; choose a model of mace or graph-pes")


def forward(family: str, potential: Any, graph: Any) -> None:
    if family == "mace":
        potential._model(dict(graph), training=False, compute_force=True)
    else:
        from harness.checkpoints.graph import energies_and_forces

        energies_and_forces(potential.network, graph)


def synchronised(device: str) -> float:
    """The time after all that the device has to do is done."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="reference")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--trust-checkpoint", action="store_true")
    arguments = parser.parse_args()
    source = resolve_model(arguments.model)
    options = LoadOptions(device=arguments.device, trust_checkpoint=arguments.trust_checkpoint)
    loaded: Any = load_potential(source, options)
    potential, family = getattr(loaded, "potential", loaded), source.family.name
    device = potential.traits.device
    seconds: dict[str, list[float]] = {"harness": [], "bare": []}
    n_structures = 0
    for repeat in range(REPEATS + 1):
        with tempfile.TemporaryDirectory() as folder:
            started = synchronised(device)
            plan = make_plan(read_task(open_dataset("mini"), TASK), BATCH_ATOMS[device.split(":")[0]])
            compute_shards(loaded, plan, Path(folder), {})
            harness = synchronised(device) - started
        graphs = graphs_of(family, potential, plan)
        started = synchronised(device)
        for graph in graphs:
            forward(family, potential, graph)
        bare = synchronised(device) - started
        n_structures = plan.n_structures
        if repeat:  # the first one warms up
            seconds["harness"].append(harness)
            seconds["bare"].append(bare)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{arguments.model} ({family}) on {device}, {n_structures} structures of {TASK}, median of {REPEATS}")
    for name, value in medians.items():
        print(f"{name:>8} {value:>8.2f} s {n_structures / value:>10.1f} structures/s")
    print(f"harness : bare = {medians['harness'] / medians['bare']:.3f} in time")


if __name__ == "__main__":
    main()
