"""Extended XYZ, one file a split, which reproduces every value exactly when read.

ASE's own writer rounds positions and forces to eight decimals, which is coarser than float32 below 0.1. Here they
have nine significant digits, enough to restore every float32, and energies have the full digits of a float64. The
comment line follows ASE's format and quoting rules.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from harness.data.rows import SplitRows
from harness.export.dataset_reading import CHARGE, SPIN_MULTIPLICITY
from harness.export.keys import LabelKeys

_ATOM: Final = "%-2s" + " %15.9g" * 6 + "\n"


def write_extxyz(place: Path, pieces: Iterable[SplitRows], keys: LabelKeys) -> None:
    """Writes a split.

    Args:
        place: The file.
        pieces: The rows of the split.
        keys: Names of energy and forces; ASE reads `energy` and `forces` as calculator results.
    """
    with place.open("w", encoding="utf-8", newline="\n") as stream:
        for rows in pieces:
            stream.writelines(_frames(rows, keys))


def _frames(rows: SplitRows, keys: LabelKeys) -> Iterator[str]:
    from ase.data import chemical_symbols
    from ase.io.extxyz import key_val_dict_to_str

    symbols = [chemical_symbols[number] for number in rows.atomic_numbers.tolist()]
    # float64 before printing, so that nine digits represent the float32 and not a rounded value.
    values = np.concatenate([rows.positions, rows.forces], axis=1).astype(np.float64).tolist()
    offsets = rows.offsets.tolist()
    for row in range(len(rows)):
        info = {
            keys.energy: float(rows.energy[row]),
            "molecule_id": rows.molecule_id[row],
            "trajectory": rows.trajectory[row],
            "frame": int(rows.frame[row]),
            "charge": CHARGE,
            "spin": SPIN_MULTIPLICITY,
        }
        atoms = range(offsets[row], offsets[row + 1])
        lines = "".join(_ATOM % (symbols[atom], *values[atom]) for atom in atoms)
        columns = f"species:S:1:pos:R:3:{keys.forces}:R:3"
        yield f'{len(atoms)}\nProperties={columns} {key_val_dict_to_str(info)} pbc="F F F"\n{lines}'
