"""Batches of frames as flat tensors, for a PyTorch `DataLoader` or your own loop."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dataset_builders.chemistry.levels import GFN2, Level
from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.regions import TaskName
from harness.data.dataset import PinnedDataset
from harness.data.rows import SplitRows
from harness.export.dataset_reading import opened, read
from harness.inference.batching import ragged_indices

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(slots=True)
class FrameBatches:
    """Batches of a split, in the order of one epoch.

    `DataLoader(these, batch_size=None)` yields them one by one, with or without workers. A loader must not batch
    them again: it would collate frame by frame in Python.

    Attributes:
        rows: The frames.
        batch_size: Frames per batch; the last batch may be smaller.
        seed: Shuffles the frames, differently in each epoch; `None` keeps the file order.
        epoch: Index of the epoch; see `set_epoch`.
    """

    rows: SplitRows
    batch_size: int
    seed: int | None = None
    epoch: int = 0
    _order: IntArray | None = None
    _offsets: IntArray | None = None

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, which determines the order; call it before each epoch, as with PyTorch samplers.

        It has no effect on workers that outlive an epoch (`persistent_workers`).
        """
        self.epoch, self._order = epoch, None

    def __getitem__(self, number: int) -> "dict[str, Tensor]":
        """Returns one batch.

        Returns:
            `atomic_numbers` (n_atoms_total,), int64; `positions` (n_atoms_total, 3), float32, Å; `forces`, likewise,
            eV/Å; `energy` (n_frames,), float64, total, eV; `n_atoms` (n_frames,), int64; `system_idx`
            (n_atoms_total,), int64: the frame of each atom, like PyTorch Geometric's `batch`; and `row` (n_frames,),
            int64: indices of the frames in the split.

        Raises:
            IndexError: If there is no such batch.
        """
        import torch

        if not 0 <= number < len(self):
            raise IndexError(f"there is no batch {number}; this split has {len(self)}")
        if self._order is None or self._offsets is None:
            self._order, self._offsets = self._shuffled(), self.rows.offsets
        chosen = self._order[number * self.batch_size : (number + 1) * self.batch_size]
        n_atoms = self.rows.n_atoms[chosen]
        atoms = ragged_indices(self._offsets[chosen], n_atoms)
        arrays = {
            "atomic_numbers": self.rows.atomic_numbers[atoms].astype(np.int64),
            "positions": self.rows.positions[atoms],
            "forces": self.rows.forces[atoms],
            "energy": self.rows.energy[chosen],
            "n_atoms": n_atoms,
            "system_idx": np.repeat(np.arange(len(chosen)), n_atoms),
            "row": chosen,
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _shuffled(self) -> IntArray:
        if self.seed is None:
            return np.arange(len(self.rows))
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self.rows))


def batches(
    dataset: PinnedDataset | str,
    task: TaskName,
    split: SplitName = "train",
    batch_size: int = 32,
    *,
    seed: int | None = None,
    level: Level = GFN2,
) -> FrameBatches:
    """Reads a split and returns its batches.

    Args:
        dataset: An open data set, or `mini`, a folder or a Hub id.
        task: One of its tasks.
        split: `train` or `validation`; a model that was trained on a test split cannot be tested on the task.
        batch_size: Frames per batch.
        seed: Shuffles the frames; `None` keeps the file order.
        level: Level of theory of the labels, if `dataset` is not open yet.

    Raises:
        UsageError: If there is no such task or split, or the batches would be empty.
        DataError: If the data set is absent or corrupt.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; expected 1 or more")
    return FrameBatches(read(opened(dataset, task, split, level), task, split), batch_size, seed)
