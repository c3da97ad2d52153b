"""Shuffled batches for a training loop: `harness.export.loader_batches` beside `datasets` in its fastest form.

python -m tests.benchmarks.export_batches mini --task task3
"""

import argparse
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from harness.export import loader_batches as batches
from harness.export.dataset_reading import open_source
from harness.train.data_source import TRAINING_SPLITS

PASSES = 5


def of_datasets(directory: str, config: str, batch_size: int) -> Iterable[Any]:
    """Arrow batches of random rows, flattened; what a batch of the harness holds, but for one index."""
    import torch
    from datasets import load_dataset
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler

    rows = load_dataset(directory, config, split=TRAINING_SPLITS[0]).with_format("arrow")
    sampler = BatchSampler(RandomSampler(rows), batch_size, drop_last=False)
    for table in DataLoader(rows, sampler=sampler, batch_size=None):
        arrays = [table[name].combine_chunks().flatten() for name in ("atomic_numbers", "positions", "forces")]
        arrays += [table[name].combine_chunks() for name in ("energy", "n_atoms")]
        yield [torch.from_numpy(np.array(array)) for array in arrays]


def seconds(make: Callable[[], Iterable[Any]]) -> float:
    """The fastest of some passes."""
    times = []
    for _ in range(PASSES):
        started = time.perf_counter()
        for _ in make():
            pass
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--task", required=True)
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()
    from torch.utils.data import DataLoader

    source = open_source(arguments.dataset, arguments.task)
    own = batches(source.dataset, arguments.task, "train", arguments.batch_size, seed=0)
    config = source.dataset.level.config(arguments.task)
    directory = str(source.dataset.directory)
    own_s = seconds(lambda: DataLoader(own, batch_size=None))
    other_s = seconds(lambda: of_datasets(directory, config, arguments.batch_size))
    n = len(own.rows)
    print(f"harness.export.loader_batches {n / own_s:,.0f} structures/s, datasets {n / other_s:,.0f} structures/s")
    print(f"harness : datasets = {other_s / own_s:.1f}")


if __name__ == "__main__":
    main()
