"""Flat packed NumPy arrays, one `.npz` a split, written piece by piece."""

import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.data.rows import SplitRows
from harness.export.dataset_reading import CHARGE, SPIN_MULTIPLICITY
from harness.export.keys import LabelKeys


def write_packed(place: Path, pieces: Iterable[SplitRows], keys: LabelKeys) -> None:
    """Writes a split; docs/your-own-training.md lists the arrays.

    Args:
        place: The file.
        pieces: The rows of the split.
        keys: Names of the arrays of energies and forces.
    """
    scratch = place.with_name(f"{place.name}.parts")
    scratch.mkdir()
    growing: dict[str, _Growing] = {}
    molecules: dict[str, str] = {}
    n_atoms_before = 0
    for rows in pieces:
        for molecule, smiles in zip(rows.molecule_id, rows.smiles, strict=True):
            molecules.setdefault(molecule, smiles)
        place_of = {molecule: number for number, molecule in enumerate(molecules)}
        ends = n_atoms_before + np.cumsum(rows.n_atoms, dtype=np.int64)
        arrays: dict[str, npt.NDArray[Any]] = {
            "n_atoms": rows.n_atoms,
            "offsets": ends if growing else np.concatenate([np.zeros(1, dtype=np.int64), ends]),
            "atomic_numbers": rows.atomic_numbers,
            "positions": rows.positions,
            keys.energy: rows.energy,
            keys.forces: rows.forces,
            "molecule_idx": np.array([place_of[each] for each in rows.molecule_id], dtype=np.int32),
            "trajectory": rows.trajectory.astype("U9"),
            "frame": rows.frame.astype(np.int32),
            "charge": np.full(len(rows), CHARGE, dtype=np.int8),
            "spin_multiplicity": np.full(len(rows), SPIN_MULTIPLICITY, dtype=np.int8),
        }
        for name, array in arrays.items():
            growing.setdefault(name, _Growing(scratch / name)).append(array)
        n_atoms_before = int(ends[-1])
    for name, texts in (("molecule_id", list(molecules)), ("smiles", list(molecules.values()))):
        growing.setdefault(name, _Growing(scratch / name)).append(np.array(texts))
    with zipfile.ZipFile(place, "w") as archive:
        for name, each in growing.items():
            each.store(archive, name)
    shutil.rmtree(scratch)


class _Growing:
    """An array on disk that grows along its first axis.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._length = 0
        self._like: npt.NDArray[Any] | None = None

    def append(self, array: npt.NDArray[Any]) -> None:
        """Appends an array with the same type and the same shape beyond the first axis."""
        with self._path.open("ab") as stream:
            stream.write(np.ascontiguousarray(array).tobytes())
        self._length += len(array)
        self._like = array[:0]

    def store(self, archive: zipfile.ZipFile, name: str) -> None:
        """Adds the array to an archive, in the format of `numpy.savez`."""
        like = np.empty(0) if self._like is None else self._like
        header = {
            "descr": np.lib.format.dtype_to_descr(like.dtype),
            "fortran_order": False,
            "shape": (self._length, *like.shape[1:]),
        }
        # An entry opened by name has no date, so that exports of one data set are identical bytes.
        with archive.open(f"{name}.npy", "w", force_zip64=True) as stream, self._path.open("rb") as source:
            np.lib.format.write_array_header_2_0(stream, header)
            shutil.copyfileobj(source, stream, 2**20)
