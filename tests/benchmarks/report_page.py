"""Time and size of the page of `harness report` for a run of many structures.

    python -m tests.benchmarks.report_page 20000

The frames of task2 of mini are repeated under new indices in a folder of their own, and MMFF94 is evaluated on them.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.tasks.editions import SPLITS
from harness.cli import main as harness

_TASK = "task2"
_TEST = ("test_id", "test_ood")


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the folder, evaluates, makes the page, and prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n_structures", type=int, nargs="?", default=20_000)
    wanted = parser.parse_args(argv).n_structures
    with tempfile.TemporaryDirectory() as folder:
        data, results, page = (Path(folder) / name for name in ("data", "results", "report.html"))
        n_frames = repeated(data, wanted)
        harness(["--model", "mmff94", "--dataset", str(data), "--output", str(results), "--json", "--quiet"])
        run = str(next(results.glob("mmff94/*")))
        began = time.perf_counter()
        harness(["report", run, "--json"])
        plain = time.perf_counter()
        harness(["report", run, "--json", "--html", str(page)])
        ended = time.perf_counter()
        print(
            f"\n{n_frames:,} test structures: report {plain - began:.1f} s, with its page {ended - plain:.1f} s, page "
            f"{page.stat().st_size / 1e6:.2f} MB"
        )


def repeated(folder: Path, wanted: int) -> int:
    """Writes task2 of mini with its test frames repeated; returns their number, at least the wanted one."""
    tables = {split: pq.read_table(MINI_DIRECTORY / _TASK / f"{split}-00000-of-00001.parquet") for split in SPLITS}
    n_times = -(-wanted // sum(tables[split].num_rows for split in _TEST))
    (folder / _TASK).mkdir(parents=True)
    total = 0
    for split, table in tables.items():
        whole = pa.concat_tables([_later(table, n) for n in range(n_times)]) if split in _TEST else table
        pq.write_table(whole, folder / _TASK / f"{split}-00000-of-00001.parquet")
        total += whole.num_rows if split in _TEST else 0
    return total


def _later(table: pa.Table, n: int) -> pa.Table:
    """The same frames under other indices."""
    place = table.schema.get_field_index("frame")
    frames = pc.add(table["frame"], pa.scalar(1000 * n, pa.int32()))
    return table.set_column(place, table.schema.field(place), frames)


if __name__ == "__main__":
    main()
