"""A training step with --compile against one without, PaiNN of the default size, in one run.

python -m tests.benchmarks.compiled_training
"""

import argparse
import statistics
import time
from collections.abc import Iterator

import numpy as np
import torch

from harness.checkpoints.compiling import compiled
from harness.checkpoints.networks import build_network
from harness.dataset import open_dataset
from harness.train.data import read_training_data
from harness.train.frames import LabelledGraph, batches
from harness.train.gradient import loss_and_gradient
from harness.train.settings import TrainSettings

STEPS = 20
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = TrainSettings(epochs=1)
    shape = settings.arguments
    data = read_training_data(open_dataset("mini").directory, "task2", shape.cutoff)
    device = torch.device(arguments.device)
    network = build_network(settings.architecture, shape, data.elements).to(device)
    eager = loss_and_gradient(network, settings.energy_weight)
    fused = compiled(eager, settings.architecture)

    def some_batches(seed: int) -> Iterator[LabelledGraph]:
        order = np.random.default_rng(seed).permutation(data.train.n_frames)[: STEPS * settings.batch_size]
        return batches(data.train, order, settings.batch_size, shape.cutoff, device)

    def milliseconds(function, seed: int) -> float:
        prepared = list(some_batches(seed))
        started = time.perf_counter()
        for batch in prepared:
            float(function(batch)[0])
        return 1e3 * (time.perf_counter() - started) / len(prepared)

    started = time.perf_counter()
    milliseconds(fused, 0)
    print(f"compiling and the first {STEPS} steps: {time.perf_counter() - started:.0f} s")
    pairs = [(milliseconds(eager, seed), milliseconds(fused, seed)) for seed in range(1, 1 + REPEATS)]
    slow, fast = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(first / second for first, second in pairs)
    print(f"a step of {settings.batch_size} frames: {slow:.0f} ms eager, {fast:.0f} ms compiled, ratio {ratio:.1f}")


if __name__ == "__main__":
    main()
