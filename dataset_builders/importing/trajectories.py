"""Reads frames of a trajectory file, with labels converted to the units of this project."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dataset_builders.chemistry.charge_and_spin import state_problem
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.importing.import_map import ImportMap
from dataset_builders.importing.trajectory_files import atoms_of_file

if TYPE_CHECKING:
    from ase import Atoms

_SAME: Final = 1e-9
"""Relative difference up to which two values are the same, printed twice."""

_CONVERGED_KEYS: Final = frozenset({"converged", "isconverged", "scfconverged", "scfisconverged"})
_FALSE: Final = frozenset({"f", "false", "no", "0", ".false."})

_NOT_FINITE: Final = "positions, energy or forces that are not finite"


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A frame of a file, with the atom order of the file.

    Attributes:
        atomic_numbers: Shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.
        energy: Total energy, eV.
        forces: Shape (n_atoms, 3), eV/Å.
    """

    atomic_numbers: IntArray
    positions: FloatArray
    energy: float
    forces: FloatArray


@dataclass(frozen=True, slots=True)
class UnusableFrame:
    """An unusable frame.

    Attributes:
        problem: Description of the problem.
        geometry: Atomic numbers, shape (n_atoms,), and positions, shape (n_atoms, 3), Å; `None` if unreadable.
    """

    problem: str
    geometry: tuple[IntArray, FloatArray] | None = None


class _LabelError(Exception):
    """A problem with the labels of a frame."""


def read_frames(path: Path, how: ImportMap) -> Iterator[RawFrame | UnusableFrame]:
    """Reads a trajectory frame by frame.

    Args:
        path: Path of the trajectory.
        how: Stride, keys and units of the labels.

    Raises:
        DataError: If the file cannot be read to its end, has an unsupported format, or has no frame.
    """
    for atoms in atoms_of_file(path, how.stride):
        yield UnusableFrame(atoms) if isinstance(atoms, str) else _frame(atoms, how)


def _frame(atoms: "Atoms", how: ImportMap) -> RawFrame | UnusableFrame:
    numbers, positions = atoms.numbers, how.length_factor * atoms.positions
    if not np.isfinite(positions).all():
        return UnusableFrame(_NOT_FINITE)
    results = {} if atoms.calc is None else atoms.calc.results
    said = [*atoms.info.items(), *atoms.arrays.items(), *results.items()]
    problem = _convergence_problem(said, how) or state_problem(said, numbers, how.ignored_keys, how.spin)
    if problem:
        return UnusableFrame(problem, (numbers, positions))
    try:
        energy = _energy(atoms.info, results, how)
        forces = _forces(atoms.arrays, results, how)
    except _LabelError as wrong:
        return UnusableFrame(str(wrong), (numbers, positions))
    return RawFrame(atomic_numbers=numbers, positions=positions, energy=energy, forces=forces)


def _convergence_problem(said: Iterable[tuple[str, Any]], how: ImportMap) -> str | None:
    """A statement of a frame that its calculation did not converge; `None` if there is none."""
    for key, value in said:
        is_stated = re.sub("[^a-z]", "", str(key).lower()) in _CONVERGED_KEYS and key not in how.ignored_keys
        if is_stated and _is_false(value):
            return (
                f"{key} {str(value)[:40]}: the calculation did not converge; compute it again, leave it out, or add "
                "the key to labels.ignored_keys if it means something else"
            )
    return None


def _is_false(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _FALSE
    array = np.asarray(value)
    return array.dtype.kind in "biuf" and not array.all()


def _energy(info: Mapping[str, Any], results: Mapping[str, Any], how: ImportMap) -> float:
    """The energy, eV."""
    rivals = [(name, value) for name, value in _spelled(info, results, ("energy",)) if _is_number(value)]
    key, value = _label("energy", how.energy_key, info, results, [name for name, _ in rivals])
    if _shape(value) != ():
        raise _LabelError(f"an energy of shape {_shape(value)} under {key}; expected one number")
    if not _is_number(value):
        is_fortran = isinstance(value, str) and re.fullmatch(r"\s*[-+]?[0-9.]+[dD][-+]?[0-9]+\s*", value)
        hint = "; write the exponent with an E" if is_fortran else ""
        raise _LabelError(f"{key} {str(value)[:40]!r}, which is not a number{hint}")
    for name, other in rivals if how.energy_key is None else ():
        if not np.isclose(float(other), float(value), rtol=_SAME, atol=0.0, equal_nan=True):
            raise _LabelError(
                f"{key} {value} and {name} {other}; name the label in the map, such as labels.energy_key = {key!r}"
            )
    if not np.isfinite(float(value)):
        raise _LabelError(_NOT_FINITE)
    return how.energy_factor * float(value)


def _forces(arrays: Mapping[str, Any], results: Mapping[str, Any], how: ImportMap) -> FloatArray:
    """The forces, shape (n_atoms, 3), eV/Å; the negative of a gradient."""
    shape = arrays["positions"].shape
    spelled = _spelled(arrays, results, ("force", "grad"))
    rivals = [(name, value) for name, value in spelled if _is_vectors(value, shape)]
    named = how.forces_key or how.gradients_key
    key, value = _label("forces", named, arrays, results, [name for name, _ in rivals])
    if not _is_vectors(value, shape):
        raise _LabelError(f"forces of shape {_shape(value)} under {key}; expected numbers, of shape {shape}")
    for name, other in rivals if named is None else ():
        sign = -1.0 if "grad" in name.lower() else 1.0
        if not np.allclose(sign * other, value, rtol=_SAME, atol=_SAME, equal_nan=True):
            raise _LabelError(
                f"{key} {value[0]} and {name} {other[0]} on the first atom; name the label in the map, such as "
                f"labels.forces_key = {key!r}"
            )
    forces: FloatArray = how.force_factor * np.asarray(value, dtype=np.float64)
    if not np.isfinite(forces).all():
        raise _LabelError(_NOT_FINITE)
    return forces


def _label(
    name: str, key: str | None, stored: Mapping[str, Any], results: Mapping[str, Any], others: Sequence[str]
) -> tuple[str, Any]:
    """A label and its key, from the map or ASE's default; ASE moves some keys to its results."""
    wanted = name if key is None else key
    found = [source[wanted] for source in ((results,) if key is None else (stored, results)) if wanted in source]
    if not found:
        under = "" if key is None else f" under {key}"
        kinds = "labels.energy_key" if name == "energy" else "labels.forces_key or labels.gradients_key"
        hint = f"; found {', '.join(others)}, which {kinds} in the map can select" if others else ""
        raise _LabelError(f"no {name}{under}{hint}")
    if len(found) == 2 and not (_shape(found[0]) == _shape(found[1]) and np.array_equal(found[0], found[1])):
        raise _LabelError(f"two different values of {wanted}; expected one {name} under that key")
    return wanted, found[0]


def _spelled(stored: Mapping[str, Any], results: Mapping[str, Any], parts: Iterable[str]) -> list[tuple[str, Any]]:
    """Entries whose names suggest a label."""
    both = [*stored.items(), *results.items()]
    return [(key, value) for key, value in both if any(part in str(key).lower() for part in parts)]


def _shape(value: Any) -> tuple[int, ...]:
    try:
        return np.shape(value)
    except ValueError:  # lists of different lengths
        return (len(value),)


def _is_number(value: Any) -> bool:
    kind = np.asarray(value).dtype.kind if isinstance(value, (int, float, np.generic, np.ndarray)) else "O"
    return kind in "iuf" and np.shape(value) == ()


def _is_vectors(value: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.shape == shape
