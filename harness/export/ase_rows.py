"""Frames as rows of ASE databases, independent of time, place and user."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dataset_builders.core.hashes import text_sha256
from harness.data.rows import SplitRows
from harness.export.dataset_reading import CHARGE, SPIN_MULTIPLICITY

NO_TIME: Final = 0.0
"""Creation and modification time of a row, in years since 2000: exports of one data set must be identical bytes."""

CALCULATOR: Final = "unknown"
"""ASE's name for a calculator that stores results and computes nothing."""

ROW_DATA: Final = {"charge": CHARGE, "spin": SPIN_MULTIPLICITY}
"""Where fairchem looks for them. As a key of a row, `charge` means the sum of the initial charges to ASE."""


@dataclass(frozen=True, slots=True)
class DatabaseRow:
    """A frame.

    Attributes:
        fields: Attributes of a row, by ASE's names.
        names: Its key-value pairs.
    """

    fields: dict[str, Any]
    names: dict[str, str | int]


def database_rows(pieces: Iterable[SplitRows]) -> Iterator[list[DatabaseRow]]:
    """Converts the rows of a split to database rows, piece by piece."""
    first = 0
    for rows in pieces:
        yield list(_rows(rows, first))
        first += len(rows)


def _rows(rows: SplitRows, first: int) -> Iterator[DatabaseRow]:
    offsets = rows.offsets
    # float64, the type in which ASE reads the arrays back.
    positions, forces = rows.positions.astype(np.float64), rows.forces.astype(np.float64)
    numbers = rows.atomic_numbers.astype(np.int64)
    for row in range(len(rows)):
        atoms = slice(int(offsets[row]), int(offsets[row + 1]))
        molecule, trajectory, frame = rows.molecule_id[row], rows.trajectory[row], int(rows.frame[row])
        name = f"{first + row} {molecule} {trajectory} {frame}"
        yield DatabaseRow(
            fields={
                "numbers": numbers[atoms],
                "positions": positions[atoms],
                "unique_id": text_sha256(name)[:32],
                "ctime": NO_TIME,
                "user": "",
                "calculator": CALCULATOR,
                "calculator_parameters": {},
                "energy": float(rows.energy[row]),
                "forces": forces[atoms],
            },
            names={"molecule_id": molecule, "smiles": rows.smiles[row], "trajectory": trajectory, "frame": frame},
        )
