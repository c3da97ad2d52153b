"""A data set of two molecules to train on, labelled with MMFF94, whose test files hold no Parquet."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.chemistry.mmff94 import Mmff94, atomic_numbers_of
from dataset_builders.chemistry.sampling import embed
from dataset_builders.folder.schema import with_metadata
from dataset_builders.tasks.words import Word, word
from harness.train.command import main
from harness.train.curve import CURVE_PICTURE
from harness.train.state import SavedRun, write_state

WORDS: Final = (word("OH", 2, "H"), word("H", 2, "H"))
CUTOFF: Final = 4.0
SHAPE: Final = ("--channels", "8", "--radial-features", "8", "--layers", "1", "--cutoff", str(CUTOFF))
TEST_SPLITS: Final = ("test_id", "test_ood")


def write_training_set(directory: Path) -> Path:
    """Writes `train` and `validation` of task2; whoever reads its test files as Parquet fails."""
    (directory / "task2").mkdir(parents=True)
    schema = with_metadata({"edition": "toy", "level_of_theory": {"method": "MMFF94"}})
    for split, trajectory, n_frames in (("train", "primary", 8), ("validation", "secondary", 4)):
        rows = [row for molecule in WORDS for row in frames_of(molecule, n_frames, trajectory)]
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), file_of(directory, split))
    for split in TEST_SPLITS:
        file_of(directory, split).write_bytes(b"not Parquet")
    return directory


def file_of(directory: Path, split: str) -> Path:
    return directory / f"task2/{split}-00000-of-00001.parquet"


def frames_of(molecule: Word, n_frames: int, trajectory: str) -> list[dict[str, Any]]:
    random = np.random.default_rng(len(trajectory))
    numbers = atomic_numbers_of(molecule.smiles)
    field, rest = Mmff94(molecule.smiles), embed(molecule.smiles, 1)
    rows = []
    for frame in range(n_frames):
        positions = (rest + 0.05 * random.normal(size=rest.shape)).astype(np.float32)
        energy, forces = field.singlepoint(positions)
        rows.append(
            {
                **dataclasses.asdict(molecule),
                "molecule_id": molecule.molecule_id,
                "smiles": molecule.smiles,
                "subset": "",
                "trajectory": trajectory,
                "frame": frame,
                "n_atoms": len(numbers),
                "atomic_numbers": numbers.tolist(),
                "positions": positions.ravel().tolist(),
                "energy": energy - 100.0 * len(numbers),
                "forces": forces.ravel().tolist(),
            }
        )
    return rows


def train(dataset: Path, out: Path, *options: str, shape: tuple[str, ...] = SHAPE, drawn: bool = False) -> int:
    words = ["--dataset", str(dataset), "--task", "task2", "--out", str(out), "--device", "cpu", *shape, *options]
    return main(words) if drawn else train_without_drawing(words)


def train_without_drawing(words: Sequence[str]) -> int:
    """The command `harness train` with an empty picture of the curve, whose drawing takes a third of a second."""
    with patch("harness.train.curve.draw_curve", lambda directory, *_: (directory / CURVE_PICTURE).touch()):
        return main(words)


def interrupting_after(n_saves: int) -> Callable[[Path, SavedRun], None]:
    """Saves the state as training does, and interrupts it after so many times."""
    countdown = iter(range(n_saves, 0, -1))

    def save(directory: Path, run: SavedRun) -> None:
        write_state(directory, run)
        if next(countdown) == 1:
            raise KeyboardInterrupt

    return save
