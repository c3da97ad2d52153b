"""Frames as PyTorch Geometric `Data`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from dataset_builders.chemistry.levels import GFN2, Level
from dataset_builders.core.errors import MissingPackageError
from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.regions import TaskName
from harness.data.dataset import PinnedDataset
from harness.data.rows import SplitRows
from harness.export.dataset_reading import CHARGE, SPIN_MULTIPLICITY, opened, stream

if TYPE_CHECKING:
    from torch_geometric.data import Data


def to_pyg(
    dataset: PinnedDataset | str, task: TaskName, split: SplitName = "train", level: Level = GFN2
) -> "Iterator[Data]":
    """Iterates over the frames of a split as `Data`; memory does not grow with the split.

    `z` and `pos` (float32, Å) are the atoms, `energy` (total, eV, float64, shape (1,)) and `force` (eV/Å) the labels,
    as in PyTorch Geometric's MD17 data set. `charge`, `spin` (multiplicity), `molecule_id`, `trajectory` and `frame`
    are further attributes. There are no edges: a model builds them with its own cutoff.

    Args:
        dataset: An open data set, or `mini`, a folder or a Hub id.
        task: One of its tasks.
        split: `train` or `validation`; a model that was trained on a test split cannot be tested on the task.
        level: Level of theory of the labels, if `dataset` is not open yet.

    Raises:
        MissingPackageError: If PyTorch Geometric is not installed.
        UsageError: If there is no such task or split.
        DataError: If the data set is absent or corrupt.
    """
    data = _data_class()
    found = opened(dataset, task, split, level)
    return (graph for rows in stream(found, task, split) for graph in _graphs(rows, data))


def _data_class() -> Any:
    try:
        from torch_geometric.data import Data
    except ModuleNotFoundError as cause:
        if (cause.name or "").partition(".")[0] != "torch_geometric":
            raise
        raise MissingPackageError("torch-geometric", "pyg", "to_pyg") from cause
    return Data


def _graphs(rows: SplitRows, data: Any) -> "Iterator[Data]":
    import torch

    offsets = rows.offsets
    for row in range(len(rows)):
        atoms = slice(int(offsets[row]), int(offsets[row + 1]))
        # Copies: a slice that is saved or sent to another process would carry the whole piece with it.
        yield data(
            z=torch.from_numpy(rows.atomic_numbers[atoms].astype(np.int64)),
            pos=torch.from_numpy(rows.positions[atoms].copy()),
            energy=torch.from_numpy(rows.energy[row : row + 1].copy()),
            force=torch.from_numpy(rows.forces[atoms].copy()),
            charge=CHARGE,
            spin=SPIN_MULTIPLICITY,
            molecule_id=rows.molecule_id[row],
            trajectory=rows.trajectory[row],
            frame=int(rows.frame[row]),
        )
