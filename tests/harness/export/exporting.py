"""What the tests of exports share."""

from pathlib import Path

import numpy as np

from dataset_builders.chemistry.levels import GFN2
from harness.data.dataset import PinnedDataset
from harness.data.rows import SplitRows
from harness.export.command import main
from harness.train.task_data import pin_training_files, read_training_split

TRAINING = ("train", "validation")


def export(dataset: Path | str, out: Path, form: str, *options: str, task: str = "task2") -> Path:
    assert main([str(dataset), "--task", task, "--format", form, "--out", str(out), *options]) == 0
    return out


def pinned(dataset: Path) -> PinnedDataset:
    return pin_training_files(dataset, "task2", GFN2)


def rows_of(dataset: Path, split: str) -> SplitRows:
    return read_training_split(pinned(dataset), "task2", split)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same_bits(found: object, expected: np.ndarray) -> bool:
    """Whether numbers are the same to the last bit in the type in which the data set holds them."""
    return np.asarray(found).astype(expected.dtype).tobytes() == expected.tobytes()
