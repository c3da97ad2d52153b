"""Writes the Parquet files of a split."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.folder.schema import SCHEMA
from dataset_builders.tasks.editions import FRAMES_PER_BURST, SplitName

ROWS_PER_FILE: Final = 100_000
ROWS_PER_GROUP: Final = 2_000
_REALS: Final = {"positions": "positions.list.element", "energy": "energy", "forces": "forces.list.element"}
"""Columns whose values rarely repeat, by their path in Parquet: zstd compresses them best without a dictionary and with
byte-stream split. 0.58 of the size, 0.75 of the reading time (`tests.benchmarks.parquet_encoding`, mini edition)."""


def write_split(tables: Iterable[pa.Table], schema: pa.Schema, directory: Path, split: SplitName) -> None:
    """Writes the Parquet files of a split, with one row group in memory at a time.

    Args:
        tables: Rows of the split, in order.
        schema: Schema with the metadata of the files.
        directory: Folder of the configuration.
        split: The split.
    """
    files: list[Path] = []
    groups = cut_into_groups(tables)
    # A slice may have no molecule of a split, whose file then has no rows.
    group: pa.Table | None = next(groups, SCHEMA.empty_table())
    while group is not None:
        # The names contain the number of files, which is known only at the end.
        files.append(directory / f".{split}-{len(files):05d}.partial")
        with pq.ParquetWriter(
            files[-1],
            schema,
            compression="zstd",
            use_dictionary=[column for column in schema.names if column not in _REALS],
            column_encoding=dict.fromkeys(_REALS.values(), "BYTE_STREAM_SPLIT"),
            # The Hub stores chunks that files have in common once; with pages that end where the content says so, an
            # edition shares them with a larger one. The index lets a reader skip pages.
            use_content_defined_chunking=True,
            write_page_index=True,
            write_page_checksum=True,
        ) as writer:
            rows = 0
            while group is not None and rows < ROWS_PER_FILE:
                writer.write_table(group.cast(schema), row_group_size=ROWS_PER_GROUP)
                rows += group.num_rows
                group = next(groups, None)
    for number, path in enumerate(files):
        path.rename(directory / f"{split}-{number:05d}-of-{len(files):05d}.parquet")


def by_burst(rows: pa.Table) -> pa.Table:
    """Rows in the order of bursts; rows of one burst number keep their order, such as that of their molecules.

    A reader that shuffles with a buffer then sees all molecules from the start, and a smaller edition is the beginning
    of a larger one.
    """
    bursts = pc.divide(rows["frame"], FRAMES_PER_BURST).to_numpy()
    return rows.take(np.argsort(bursts, kind="stable"))


def cut_into_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Cuts rows into row groups that do not cross the end of a file."""
    held: list[pa.Table] = []
    n_held, n_passed = 0, 0
    for table in tables:
        held.append(table)
        n_held += table.num_rows
        while n_held >= (size := min(ROWS_PER_GROUP, ROWS_PER_FILE - n_passed % ROWS_PER_FILE)):
            whole = pa.concat_tables(held)
            yield whole.slice(0, size)
            held, n_held, n_passed = [whole.slice(size)], n_held - size, n_passed + size
    if n_held:
        yield pa.concat_tables(held)
