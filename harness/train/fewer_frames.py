"""Trains on some of the frames: as many of every molecule, from as many bursts as possible, nested in each other."""

import numpy as np

from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.editions import FRAMES_PER_BURST
from harness.data.rows import SplitRows, selected
from harness.train.task_data import Relabel


def fewer_frames(rows: SplitRows, n_frames: int) -> SplitRows:
    """The first frames of a fixed order, in their order in the split, so a smaller number is part of a larger one.

    The order takes one frame of each molecule, then another of each. Within a molecule it takes a frame of each burst
    before a second one of any, since frames of a burst are correlated, and bursts far apart first.

    Args:
        rows: The split.
        n_frames: Number of frames.

    Raises:
        UsageError: If the split has fewer frames, or a molecule would have none.
    """
    n_molecules = len(set(rows.molecule_id))
    if not n_molecules <= n_frames <= len(rows):
        raise UsageError(
            f"--train-frames {n_frames}; expected {n_molecules:,} to {len(rows):,}: train has {n_molecules:,} "
            f"molecules, and every one of them must be shown, and {len(rows):,} frames"
        )
    wanted = np.zeros(len(rows), dtype=np.bool_)
    wanted[np.argsort(_rank(rows), kind="stable")[:n_frames]] = True
    return selected(rows, wanted)


def with_fewer_frames(n_frames: int | None, relabel: Relabel | None) -> Relabel | None:
    """What is done with the rows of each split: `train` gets fewer frames before its labels are replaced.

    Args:
        n_frames: Number of training frames; `None` for all.
        relabel: Replaces labels.
    """
    if n_frames is None:
        return relabel

    def fewer(split: str, rows: SplitRows) -> SplitRows:
        kept = fewer_frames(rows, n_frames) if split == "train" else rows
        return kept if relabel is None else relabel(split, kept)

    return fewer


def _rank(rows: SplitRows) -> IntArray:
    """Place of each row in the order of the frames of its molecule, shape (n_rows,)."""
    bursts, within = np.divmod(rows.frame, FRAMES_PER_BURST)
    order = np.lexsort((_reversed_bits(bursts), within, rows.trajectory, rows.molecule_id))
    rank = np.empty(len(rows), dtype=np.int64)
    names = rows.molecule_id[order]
    starts = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]]))
    rank[order] = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    return rank


def _reversed_bits(numbers: IntArray) -> IntArray:
    """The numbers with their bits in reverse order: counted so, 0, 1, 2, ... spread over their range."""
    n_bits = int(numbers.max(initial=1)).bit_length()
    reverse = np.zeros_like(numbers)
    for bit in range(n_bits):
        reverse |= ((numbers >> bit) & 1) << (n_bits - 1 - bit)
    return reverse
