"""Trains on some of the frames: as many of every molecule, from as many bursts as possible, nested in each other."""

import numpy as np

from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.editions import FRAMES_PER_BURST
from harness.data.rows import BoolArray, FrameNames, SplitRows, selected


def fewer_frames(rows: SplitRows, n_frames: int) -> SplitRows:
    """The frames of `first_frames`, in their order in the split.

    Raises:
        UsageError: As `first_frames`.
    """
    return selected(rows, first_frames(rows, n_frames))


def first_frames(names: FrameNames, n_frames: int) -> BoolArray:
    """Which rows are the first frames of a fixed order, so that a smaller number is part of a larger one.

    The order takes one frame of each molecule, then another of each. Within a molecule it takes a frame of each burst
    before a second one of any, since frames of a burst are correlated, and bursts far apart first.

    Args:
        names: The frames of the split.
        n_frames: Number of frames.

    Returns:
        Shape (n_rows,).

    Raises:
        UsageError: If the split has fewer frames, or a molecule would have none.
    """
    n_molecules, n_rows = len(set(names.molecule_id)), len(names.frame)
    if not n_molecules <= n_frames <= n_rows:
        raise UsageError(
            f"--train-frames {n_frames}; expected {n_molecules:,} to {n_rows:,}: train has {n_molecules:,} "
            f"molecules, and every one of them must be shown, and {n_rows:,} frames"
        )
    wanted = np.zeros(n_rows, dtype=np.bool_)
    wanted[np.argsort(_rank(names), kind="stable")[:n_frames]] = True
    return wanted


def _rank(rows: FrameNames) -> IntArray:
    """Place of each row in the order of the frames of its molecule, shape (n_rows,)."""
    bursts, within = np.divmod(rows.frame, FRAMES_PER_BURST)
    order = np.lexsort((_reversed_bits(bursts), within, rows.trajectory, rows.molecule_id))
    rank = np.empty(len(order), dtype=np.int64)
    names = rows.molecule_id[order]
    starts = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]]))
    rank[order] = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return rank


def _reversed_bits(numbers: IntArray) -> IntArray:
    """The numbers with their bits in reverse order: counted so, 0, 1, 2, ... spread over their range."""
    n_bits = int(numbers.max(initial=1)).bit_length()
    reverse = np.zeros_like(numbers)
    for bit in range(n_bits):
        reverse |= ((numbers >> bit) & 1) << (n_bits - 1 - bit)
    return reverse
