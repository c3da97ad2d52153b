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

from harness.compute.torch_potential import TorchPotential
from harness.core.potential import LoadOptions
from harness.data.dataset import PinnedDataset, open_dataset
from harness.data.scan import scan_dataset
from harness.inference.batch_size import batch_atoms_for
from harness.inference.batching import make_plan
from harness.inference.predict import compute_shards
from harness.inference.windows import read_windows
from harness.models.registry import load_potential
from harness.models.resolve import resolve_model

REPEATS = 5
TASK = "task2"


def prepared_batches(potential: TorchPotential, dataset: PinnedDataset, batch_atoms: int) -> list[tuple[Any, Any]]:
    """The inputs of the network for each batch, on its device, and the batch as tensors there."""
    plan = make_plan(scan_dataset(dataset, (TASK,)), batch_atoms)
    inputs = []
    for window in read_windows(dataset, plan):
        for shard in plan.shards:
            for first, last in pairwise(shard.bounds):
                if window.start <= first < window.stop:
                    prepared = potential.prepare(window.batch(first, last))
                    inputs.append((prepared.graph, prepared.tensors))
    return inputs


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
    parser.add_argument("--batch-atoms", type=int)
    parser.add_argument("--trust-checkpoint", action="store_true")
    arguments = parser.parse_args()
    source = resolve_model(arguments.model)
    options = LoadOptions(device=arguments.device, trust_checkpoint=arguments.trust_checkpoint)
    loaded: Any = load_potential(source, options)
    potential, family = getattr(loaded, "potential", loaded), source.family.name
    if not isinstance(potential, TorchPotential):
        raise SystemExit(f"{family} does not part its graph from its forward pass; choose a model in PyTorch")
    device = potential.traits.device
    dataset = open_dataset("mini")
    windows = read_windows(dataset, make_plan(scan_dataset(dataset, (TASK,)), 512))
    batch_atoms = arguments.batch_atoms or batch_atoms_for(potential, windows)
    inputs = prepared_batches(potential, dataset, batch_atoms)
    seconds: dict[str, list[float]] = {"harness": [], "bare": []}
    n_structures = 0
    for repeat in range(REPEATS + 1):
        with tempfile.TemporaryDirectory() as folder:
            started = synchronised(device)
            plan = make_plan(scan_dataset(dataset, (TASK,)), batch_atoms)
            compute_shards(loaded, plan, read_windows(dataset, plan), Path(folder), {})
            harness = synchronised(device) - started
        started = synchronised(device)
        for graph, tensors in inputs:
            potential.forward(graph, tensors)
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
