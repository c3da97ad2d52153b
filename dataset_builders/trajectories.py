"""Frames of a trajectory file, read with ASE and brought into the units of this project."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dataset_builders.errors import DataError
from dataset_builders.import_map import ImportMap
from dataset_builders.structures import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A frame as its file has it, in the order of its atoms there.

    Attributes:
        atomic_numbers: Shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.
        energy: eV.
        forces: Shape (n_atoms, 3), eV/Å.
    """

    atomic_numbers: IntArray
    positions: FloatArray
    energy: float
    forces: FloatArray


def read_frames(path: Path, how: ImportMap) -> Iterator[RawFrame | str]:
    """Reads a trajectory frame by frame; in place of one that cannot be used stands what is wrong with it.

    Args:
        path: A file that ASE reads.
        how: Which frames are taken, where the labels stand, and in which units.

    Raises:
        DataError: If ASE cannot read the file, or a frame of it.
    """
    n_read = 0
    for atoms in _read(path, how.stride):
        n_read += 1
        yield _frame(atoms, how)
    if not n_read:
        raise DataError(f"{path} holds no frame; expected a trajectory that ASE reads")


def _read(path: Path, stride: int) -> "Iterator[Atoms]":
    from ase.io import iread

    frame = 0
    try:
        for atoms in iread(path, index=slice(None, None, stride)):
            yield atoms
            frame += stride
    # What readers of ASE raise on files that are truncated or of no format that it knows.
    except (OSError, ValueError, KeyError, IndexError, TypeError, AssertionError, RuntimeError) as cause:
        raise DataError(
            f"{path}, frame {frame} or after: ASE cannot read it ({type(cause).__name__}: {cause}); expected a whole "
            "file in a format of ASE, such as extxyz"
        ) from cause


def _frame(atoms: "Atoms", how: ImportMap) -> RawFrame | str:
    results = {} if atoms.calc is None else atoms.calc.results
    energy = _value(atoms.info, results, how.energy_key, "energy")
    forces = _value(atoms.arrays, results, how.forces_key, "forces")
    for name, value in (("energy", energy), ("forces", forces)):
        if value is None:
            return f"no {name}"
    problem = _state(atoms.info)
    if problem:
        return problem
    force_array = np.asarray(forces, dtype=np.float64)
    if np.shape(energy) != () or force_array.shape != atoms.positions.shape:
        return f"an energy of shape {np.shape(energy)} and forces of shape {force_array.shape}"
    frame = RawFrame(
        atomic_numbers=atoms.numbers,
        positions=how.length_factor * atoms.positions,
        energy=how.energy_factor * float(energy),
        forces=how.force_factor * force_array,
    )
    is_finite = np.isfinite(frame.positions).all() and np.isfinite(frame.forces).all() and np.isfinite(frame.energy)
    return frame if is_finite else "positions, energy or forces that are not finite"


def _value(stored: Mapping[str, Any], results: Mapping[str, Any], key: str | None, name: str) -> Any:
    """A label under the key that the user named, or under ASE's own; ASE takes some keys out of what it stores."""
    if key is None:
        return results.get(name)
    return stored[key] if key in stored else results.get(key)


def _state(info: Mapping[str, Any]) -> str | None:
    """What a frame says of charge and spin that is not neutral and closed-shell; `None` where it says nothing such."""
    for key, expected in (("charge", 0), ("total_charge", 0), ("spin_multiplicity", 1), ("multiplicity", 1)):
        if key in info and info[key] != expected:
            return f"{key} {info[key]}"
    return None
