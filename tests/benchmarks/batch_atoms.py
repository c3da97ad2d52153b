"""Structures per second of a model against the size of a batch, beside one structure at a time.

python -m tests.benchmarks.batch_atoms --model reference
"""

import argparse
import statistics
import time
from itertools import pairwise

from harness.core.potential import LoadOptions, Potential
from harness.data.dataset import open_dataset
from harness.data.rows import stream_split
from harness.data.scan import scan_splits
from harness.inference.batching import make_plan
from harness.inference.windows import Window, read_windows
from harness.models.registry import load_potential

SIZES = (1, 128, 256, 512, 1024, 2048)
REPEATS = 3


def seconds(potential: Potential, window: Window, bounds: tuple[int, ...]) -> float:
    started = time.perf_counter()
    for first, last in pairwise(bounds):
        potential.compute(window.batch(first, last))
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="reference")
    parser.add_argument("--task", default="task2")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--trust-checkpoint", action="store_true")
    arguments = parser.parse_args()
    options = LoadOptions(device=arguments.device, trust_checkpoint=arguments.trust_checkpoint)
    potential = load_potential(arguments.model, options)
    dataset = open_dataset("mini")
    scan = scan_splits({(arguments.task, "test_ood"): stream_split(dataset, arguments.task, "test_ood")})
    plans = {size: make_plan(scan, size) for size in SIZES}
    (window,) = read_windows(dataset, plans[1])
    n_structures = plans[1].n_frames
    bounds = {
        size: tuple(dict.fromkeys(bound for shard in plan.shards for bound in shard.bounds))
        for size, plan in plans.items()
    }
    potential.compute(window.batch(0, 8))
    rates: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(REPEATS):
        for size in SIZES:
            rates[size].append(n_structures / seconds(potential, window, bounds[size]))
    single = statistics.median(rates[SIZES[0]])
    print(
        f"{arguments.model} on {potential.traits.device}, {n_structures} structures of {arguments.task}, "
        f"median of {REPEATS}"
    )
    print("batch atoms  structures/s  ratio to one at a time")
    for size in SIZES:
        rate = statistics.median(rates[size])
        print(f"{size if size > 1 else 'one molecule':>12} {rate:>12.1f} {rate / single:>10.2f}")


if __name__ == "__main__":
    main()
