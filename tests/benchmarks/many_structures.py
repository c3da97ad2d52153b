"""A data set of any size: the frames of the mini edition again and again, under new numbers, slightly shifted."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.folder.mini import MINI_DIRECTORY

ROWS_PER_FILE = 100_000


def write_many(directory: Path, n_structures: int, task: str = "task1") -> None:
    """Writes a task with so many structures in `test_id`; the other splits are those of mini."""
    (directory / task).mkdir(parents=True)
    for split in ("train", "validation", "test_ood"):
        name = f"{split}-00000-of-00001.parquet"
        (directory / task / name).write_bytes((MINI_DIRECTORY / task / name).read_bytes())
    frames = pq.read_table(MINI_DIRECTORY / task / "test_id-00000-of-00001.parquet")
    n_files = -(-n_structures // ROWS_PER_FILE)
    written = 0
    for number in range(n_files):
        path = directory / task / f"test_id-{number:05d}-of-{n_files:05d}.parquet"
        with pq.ParquetWriter(path, frames.schema, compression="zstd") as writer:
            for _ in range(-(-min(ROWS_PER_FILE, n_structures - written) // len(frames))):
                copy = written // len(frames)
                rows = min(len(frames), n_structures - written)
                writer.write_table(_copied(frames, copy).slice(0, rows))
                written += rows


def _copied(frames: pa.Table, copy: int) -> pa.Table:
    frame = pa.array(frames["frame"].to_numpy() + 100_000 * copy, pa.int32())
    chunk = frames["positions"].combine_chunks()
    moved = (chunk.values.to_numpy() + np.float32(1e-3 * copy)).astype(np.float32)
    positions = pa.ListArray.from_arrays(chunk.offsets, pa.array(moved)).cast(frames.schema.field("positions").type)
    changed = frames.set_column(frames.schema.get_field_index("frame"), frames.schema.field("frame"), frame)
    place = frames.schema.get_field_index("positions")
    return changed.set_column(place, frames.schema.field(place), positions)
