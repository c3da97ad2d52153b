"""Frames as ASE `Atoms`, with energy and forces as calculator results."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from dataset_builders.chemistry.levels import GFN2, Level
from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.regions import TaskName
from harness.data.dataset import PinnedDataset
from harness.data.rows import SplitRows
from harness.export.dataset_reading import CHARGE, SPIN_MULTIPLICITY, opened, stream

if TYPE_CHECKING:
    from ase import Atoms


def to_ase(
    dataset: PinnedDataset | str, task: TaskName, split: SplitName = "train", level: Level = GFN2
) -> "Iterator[Atoms]":
    """Iterates over the frames of a split as `Atoms`; memory does not grow with the split.

    `info` contains `molecule_id`, `smiles`, `trajectory`, `frame`, `charge` and `spin` (multiplicity). A calculator has
    `energy` (total, eV) and `forces` (eV/Å).

    Args:
        dataset: An open data set, or `mini`, a folder or a Hub id.
        task: One of its tasks.
        split: `train` or `validation`; a model that was trained on a test split cannot be tested on the task.
        level: Level of theory of the labels, if `dataset` is not open yet.

    Raises:
        UsageError: If there is no such task or split.
        DataError: If the data set is absent or corrupt.
    """
    found = opened(dataset, task, split, level)
    return (atoms for rows in stream(found, task, split) for atoms in atoms_of(rows))


def atoms_of(rows: SplitRows) -> "Iterator[Atoms]":
    """The rows of a split as `Atoms`."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    offsets = rows.offsets
    # float64, the precision of ASE; the conversion from float32 is exact.
    positions, forces = rows.positions.astype(np.float64), rows.forces.astype(np.float64)
    for row in range(len(rows)):
        atoms_here = slice(int(offsets[row]), int(offsets[row + 1]))
        info = {
            "molecule_id": rows.molecule_id[row],
            "smiles": rows.smiles[row],
            "trajectory": rows.trajectory[row],
            "frame": int(rows.frame[row]),
            "charge": CHARGE,
            "spin": SPIN_MULTIPLICITY,
        }
        atoms = Atoms(numbers=rows.atomic_numbers[atoms_here], positions=positions[atoms_here], info=info)
        atoms.calc = SinglePointCalculator(atoms, energy=float(rows.energy[row]), forces=forces[atoms_here])
        yield atoms
