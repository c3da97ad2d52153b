"""One structure of each test molecule, which ml-peg counts the elements of and shows."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from dataset_builders.tasks.editions import SplitName
from harness.data.dataset import PinnedDataset

INFO_KEYS: Final = ("task", "split", "molecule_id", "spacer")
"""Entries of `Atoms.info` that place a structure in the data set."""

_SPLITS: Final[tuple[SplitName, ...]] = ("test_id", "test_ood")


def write_structures(dataset: PinnedDataset, folder: Path) -> None:
    """Writes the first test frame of each molecule of each task and split as one extended-XYZ file."""
    from ase.io import write

    # Those of another data set would be shown as if they belonged to this one.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, atoms in _first_frames(dataset):
        write(folder / f"{name}.xyz", atoms, format="extxyz")


def _first_frames(dataset: PinnedDataset) -> Iterator[tuple[str, Any]]:
    from harness.data.rows import stream_split
    from harness.export.atoms import atoms_of

    for task in dataset.tasks:
        for split in _SPLITS:
            seen: set[str] = set()
            for rows in stream_split(dataset, task, split):
                for atoms, spacer in zip(atoms_of(rows), rows.spacer.tolist(), strict=True):
                    molecule = atoms.info["molecule_id"]
                    if molecule in seen:
                        continue
                    seen.add(molecule)
                    atoms.info |= {"task": task, "split": split, "spacer": spacer}
                    yield f"{task}-{split}-{molecule}", atoms
