"""Checkpoints of the fitted controls for tests: trained in seconds on shaken molecules with MMFF94 labels."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from dataset_builders.tasks.words import Word, word
from harness.networks.control_checkpoints import ControlArchitecture
from harness.train.command import main
from tests.harness.small_dataset import frames_of, write_split

WORDS = (word("OH", 1, "H"), word("CHO", 1, "H"), word("NH2", 2, "H"))
"""The molecules of `tests.harness.potentials.molecules`: H, C, N and O."""


def training_data(directory: Path, words: Sequence[Word] = WORDS) -> Path:
    """A data set with `train` and `validation` of task2, whose test files hold no Parquet: whoever reads them fails."""
    for split in ("train", "validation"):
        write_split(directory, "task2", split, pa.concat_tables([frames_of(each, split) for each in words]))
    for split in ("test_id", "test_ood"):
        (directory / f"task2/{split}-00000-of-00001.parquet").write_bytes(b"not Parquet")
    return directory


def train(dataset: Path, out: Path, architecture: ControlArchitecture, *options: str) -> int:
    """Runs the command."""
    return main(["--arch", architecture, "--task", "task2", "--dataset", str(dataset), "--out", str(out), *options])


def small_control(directory: Path, architecture: ControlArchitecture) -> Path:
    """A checkpoint folder."""
    train(training_data(directory / "data"), directory / architecture, architecture)
    return directory / architecture
