"""A training step with --compile against one without, each network of its recipe, in one run.

python -m tests.benchmarks.compiled_training [--arch painn ...]
"""

import argparse
import statistics
import time
from collections.abc import Iterator

import numpy as np
import torch

from harness.data.dataset import open_dataset
from harness.networks.compiling import COMPILABLE, compiled
from harness.networks.networks import build_network
from harness.train.defaults import RECIPES
from harness.train.gradient import LossAndGradient, loss_and_gradient
from harness.train.packed_frames import LabelledGraph, batches
from harness.train.task_data import TrainingData, read_training_data

STEPS = 20
REPEATS = 5


def main() -> None:
    names = {name.lower(): name for name in COMPILABLE}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", nargs="+", default=list(names), choices=list(names))
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(arguments.device)
    directory = open_dataset("mini").directory
    for name in arguments.arch:
        compare(names[name], directory, device)


def compare(architecture, directory, device: torch.device) -> None:
    recipe = RECIPES[architecture]
    data = read_training_data(directory, "task2", recipe.arguments.cutoff)
    eager, traced = (function_of(architecture, data, device, traceable) for traceable in (False, True))
    fused = compiled(traced, architecture)

    def some_batches(seed: int) -> Iterator[LabelledGraph]:
        order = np.random.default_rng(seed).permutation(data.train.n_frames)[: STEPS * recipe.batch_size]
        return batches(data.train, order, recipe.batch_size, recipe.arguments.cutoff, device)

    def milliseconds(function: LossAndGradient, seed: int) -> float:
        prepared = list(some_batches(seed))
        started = time.perf_counter()
        for batch in prepared:
            float(function(batch)[0])
        return 1e3 * (time.perf_counter() - started) / len(prepared)

    milliseconds(eager, 0)
    started = time.perf_counter()
    milliseconds(fused, 0)
    seconds = time.perf_counter() - started
    pairs = [(milliseconds(eager, seed), milliseconds(fused, seed)) for seed in range(1, 1 + REPEATS)]
    slow, fast = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(first / second for first, second in pairs)
    print(
        f"{architecture:9}  compiling and the first {STEPS} steps {seconds:4.0f} s   "
        f"a step of {recipe.batch_size} frames {slow:4.0f} ms eager, {fast:4.0f} ms compiled, ratio {ratio:.1f}",
        flush=True,
    )


def function_of(architecture, data: TrainingData, device: torch.device, traceable: bool) -> LossAndGradient:
    torch.manual_seed(0)
    network = build_network(architecture, RECIPES[architecture].arguments, data.elements, traceable=traceable)
    return loss_and_gradient(network.to(device), 1.0)


if __name__ == "__main__":
    main()
