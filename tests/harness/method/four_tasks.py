"""A data set of all four tasks with two or three molecules a split, and methods that are trained on it in seconds."""

from pathlib import Path
from typing import Final

import pyarrow as pa

from dataset_builders.tasks.editions import SPLITS
from dataset_builders.tasks.words import parse_word
from tests.harness.small_dataset import frames_of, write_split
from tests.harness.training_set import train_without_drawing

TRAIN: Final = {
    "task1": ("H-2-H", "OH-2-H", "OH-3-H"),
    "task2": ("H-2-H", "OH-2-H", "OH-4-H"),
    "task3": ("H-2-H", "OH-2-H", "NH2-2-H"),
    "task4": ("H-2-H", "OH-2-H", "H-4-H"),
}
OOD: Final = {
    "task1": {"OH-6-H": "", "H-6-H": ""},
    "task2": {"OH-2-OH": "near", "OH-4-OH": "far"},
    "task3": {"NH2-2-OH": "near", "NH2-6-OH": "far"},
    "task4": {"OH-6-H": "", "OH-8-H": ""},
}
METADATA: Final = {"edition": "tiny", "level_of_theory": {"method": "MMFF94"}}
SMALL: Final = ("--channels", "8", "--radial-features", "8", "--layers", "1", "--cutoff", "4", "--batch-size", "8")


def write_four_tasks(directory: Path) -> Path:
    """Writes the data set."""
    for task, training in TRAIN.items():
        for split in SPLITS:
            names = dict.fromkeys(training, "") if split != "test_ood" else OOD[task]
            tables = [_with_subset(frames_of(parse_word(name), split), subset) for name, subset in names.items()]
            write_split(directory, task, split, pa.concat_tables(tables), METADATA)
    return directory


def train_method(dataset: Path, out: Path, seeds: tuple[int, ...] = (0, 1), steps: int = 40) -> Path:
    """Trains a small PaiNN for each task and seed."""
    options = ("--arch", "painn", "--all-tasks", "--seeds", *map(str, seeds), "--dataset", str(dataset))
    length = ("--steps", str(steps), "--validations", "1", "--learning-rate", "0.01", "--ema-decay", "0.5")
    assert train_without_drawing([*options, *SMALL, *length, "--out", str(out)]) == 0
    return out


def _with_subset(table: pa.Table, subset: str) -> pa.Table:
    place = table.schema.get_field_index("subset")
    return table.set_column(place, table.schema.field(place), pa.array([subset] * len(table), pa.string()))
