"""Time and memory of the geometric support of a certificate, for a task of the size of an edition.

python -m tests.benchmarks.geometric_support --edition standard

Frames are those of mini with small random displacements, repeated until there are as many as in the edition; the row
checks of a certificate are not part of the measurement.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq

from dataset_builders.certify.geometry.support import MEASURED_SPLITS, MeasuredSplit
from dataset_builders.certify.geometry.support_meter import SupportMeter
from dataset_builders.certify.row_checks import Frames, frames_by_molecule
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.tasks.editions import EDITIONS
from dataset_builders.tasks.regions import TASKS

DISPLACEMENT = 0.02
FRAMES_PER_PART = 60
"""Frames of a molecule in one batch of rows, as in an edition whose rows are ordered by burst."""


def parts_of(task: str, split: MeasuredSplit, count: int) -> Iterator[Frames]:
    """Parts with `count` frames of each molecule."""
    random = np.random.default_rng(0)
    (path,) = (MINI_DIRECTORY / task).glob(f"{split}-*.parquet")
    batch = pq.read_table(path).combine_chunks().to_batches()[0]
    for frames in frames_by_molecule(batch, np.arange(batch.num_rows), path.name):
        for start in range(0, count, FRAMES_PER_PART):
            chosen = np.arange(start, min(start + FRAMES_PER_PART, count)) % len(frames.rows)
            shape = (len(chosen), *frames.positions.shape[1:])
            yield replace(
                frames,
                rows=frames.rows[chosen],
                columns={name: values[chosen] for name, values in frames.columns.items()},
                atomic_numbers=frames.atomic_numbers[chosen],
                positions=frames.positions[chosen] + random.normal(0.0, DISPLACEMENT, shape).astype(np.float32),
                forces=frames.forces[chosen],
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--edition", default="standard", choices=list(EDITIONS))
    parser.add_argument("--task", default="task1", choices=list(TASKS))
    arguments = parser.parse_args()
    edition = EDITIONS[arguments.edition]
    meter = SupportMeter(arguments.task, TASKS[arguments.task])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, n_frames = time.process_time(), 0
    for split in MEASURED_SPLITS:
        for frames in parts_of(arguments.task, split, getattr(edition, split)):
            meter.add(frames, split)
            n_frames += len(frames.rows)
    read = time.process_time()
    meter.support()
    end = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{arguments.task} of {arguments.edition}: {n_frames:,} frames")
    print(f"frames compared {read - start:.1f} s, sampled atoms {end - read:.1f} s of processor time")
    print(f"peak memory {peak / 1024:.0f} MB, before the first frame {before / 1024:.0f} MB")


if __name__ == "__main__":
    main()
