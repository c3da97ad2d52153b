"""The encoding of the Parquet files of a data set against the default of pyarrow: bytes an atom, and time to read.

python -m tests.benchmarks.parquet_encoding --dataset mini
"""

import argparse
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.folder.split_writing import ROWS_PER_GROUP, write_split
from harness.data.dataset import open_dataset

REPEATS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="mini", help="`mini` or a folder (default: mini)")
    dataset = open_dataset(parser.parse_args().dataset)
    paths = [path for task in dataset.tasks for path in sorted((Path(dataset.directory) / task).glob("*.parquet"))]
    table = pa.concat_tables([pq.read_table(path).replace_schema_metadata(None) for path in paths])
    n_atoms = pc.sum(table["n_atoms"]).as_py()
    print(f"{table.num_rows:,} frames, {n_atoms:,} atoms of {dataset.id}, read on one core\n")
    with tempfile.TemporaryDirectory() as folder:
        default = Path(folder) / "default.parquet"
        pq.write_table(table, default, compression="zstd", row_group_size=ROWS_PER_GROUP)
        write_split([table], table.schema, Path(folder), "train")
        ours = Path(folder) / "train-00000-of-00001.parquet"
        sizes, times = {}, dict.fromkeys((default, ours), float("inf"))
        for path in (default, ours) * REPEATS:  # in turn, so that both see the same machine
            began = time.perf_counter()
            pq.read_table(path, use_threads=False)
            times[path] = min(times[path], time.perf_counter() - began)
            sizes[path] = path.stat().st_size / n_atoms
        for path, name in ((default, "default"), (ours, "data set")):
            print(f"{name:10}{sizes[path]:6.1f} bytes an atom {times[path] * 1e3:8.1f} ms")
        print(f"{'ratio':10}{sizes[ours] / sizes[default]:6.2f} {times[ours] / times[default]:22.2f}")


if __name__ == "__main__":
    main()
