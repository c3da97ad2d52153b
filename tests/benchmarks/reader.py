"""Structures per second of the reader, beside reading the same files through `datasets`.

python -m tests.benchmarks.reader
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from harness.data.dataset import open_dataset
from harness.data.rows import stream_split
from harness.data.scan import scan_splits
from harness.inference.batching import make_plan
from harness.inference.windows import read_windows
from tests.benchmarks.many_structures import write_many

N_STRUCTURES = 100_000
REPEATS = 3


def main() -> None:
    from datasets import load_dataset

    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "data"
        write_many(directory, N_STRUCTURES)
        dataset = open_dataset(str(directory))
        files = str(directory / "task1" / "test_id-*.parquet")
        loaded = load_dataset("parquet", data_files=files, split="train", cache_dir=f"{folder}/cache")

        def harness() -> None:
            for _ in stream_split(dataset, "task1", "test_id"):
                pass

        scan = scan_splits({("task1", "test_id"): stream_split(dataset, "task1", "test_id")})
        plan = make_plan(scan, 16384)

        def packed() -> None:
            for window in read_windows(dataset, plan):
                for shard in plan.shards:
                    for first, last in pairwise(shard.bounds):
                        if window.start <= first < window.stop:
                            window.batch(first, last)

        def arrow() -> None:
            for batch in loaded.with_format("arrow").iter(256):
                for name in ("positions", "forces", "atomic_numbers"):
                    batch[name].combine_chunks().flatten().to_numpy()

        def rows() -> None:
            for _ in loaded.with_format("numpy").take(len(loaded) // 100):
                pass

        calls: dict[str, tuple[Callable[[], None], float]] = {
            "harness, every row checked": (harness, 1.0),
            "harness, packed batches": (packed, 1.0),
            "datasets, arrow batches": (arrow, 1.0),
            "datasets, numpy rows": (rows, 0.01),
        }
        rates = {name: [] for name in calls}
        for _ in range(REPEATS):
            for name, (call, share) in calls.items():
                started = time.perf_counter()
                call()
                rates[name].append(share * len(loaded) / (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{N_STRUCTURES} structures of task1, median of {REPEATS}")
    for name, value in medians.items():
        print(f"{name:>27} {value:>12,.0f} structures/s")
    print(f"harness : numpy rows = {medians['harness, every row checked'] / medians['datasets, numpy rows']:.0f}")


if __name__ == "__main__":
    main()
