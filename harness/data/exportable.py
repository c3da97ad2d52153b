"""Methods by which an opened data set hands its frames to the training code of others."""

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.regions import TaskName

if TYPE_CHECKING:
    from ase import Atoms
    from torch import Tensor
    from torch_geometric.data import Data

_EXPORT: Final = "harness.export"
"""It reads data sets, so it is imported by name when it is asked for: no prediction depends on it, and the hash of the
code of predictions, which follows imports, must not change with it."""


class Batches(Protocol):
    """Batches of a split, as `harness.export.FrameBatches` describes them."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> "dict[str, Tensor]":
        """A batch."""
        ...

    def set_epoch(self, epoch: int) -> None:
        """Takes the order of another epoch."""
        ...


class Exportable:
    """What a `PinnedDataset` can do for other training code; the functions of `harness.export` say more."""

    __slots__ = ()

    def to_ase(self, task: TaskName, split: SplitName = "train") -> "Iterator[Atoms]":
        """The frames of a split as `Atoms` of ASE, one after the other; see `harness.export.to_ase`.

        Args:
            task: One of its tasks.
            split: `train` or `validation`; a model that saw a test split cannot be tested on the task.

        Raises:
            UsageError: If there is no such task or split.
            DataError: If a file is absent or corrupt.
        """
        atoms: Iterator[Atoms] = _exporter().to_ase(self, task, split)
        return atoms

    def to_pyg(self, task: TaskName, split: SplitName = "train") -> "Iterator[Data]":
        """The frames of a split as `Data` of PyTorch Geometric, one after the other; see `harness.export.to_pyg`.

        Args:
            task: One of its tasks.
            split: `train` or `validation`; a model that saw a test split cannot be tested on the task.

        Raises:
            MissingPackageError: If PyTorch Geometric is not installed.
            UsageError: If there is no such task or split.
            DataError: If a file is absent or corrupt.
        """
        graphs: Iterator[Data] = _exporter().to_pyg(self, task, split)
        return graphs

    def batches(
        self, task: TaskName, split: SplitName = "train", batch_size: int = 32, *, seed: int | None = None
    ) -> "Batches":
        """Batches of a split as flat tensors, for a `DataLoader`; see `harness.export.loader_batches`.

        Args:
            task: One of its tasks.
            split: `train` or `validation`; a model that saw a test split cannot be tested on the task.
            batch_size: Frames of a batch.
            seed: Shuffles the frames; `None` keeps the order of the files.

        Raises:
            UsageError: If there is no such task or split, or the batches would be empty.
            DataError: If a file is absent or corrupt.
        """
        found: Batches = _exporter().batches(self, task, split, batch_size, seed=seed)
        return found


def _exporter() -> Any:
    return importlib.import_module(_EXPORT)
