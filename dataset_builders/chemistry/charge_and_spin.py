"""Charge and spin in the metadata of a frame, under the keys of many programs.

Every molecule of the benchmark is neutral and closed-shell. A frame without charge and spin is assumed to be so; every
statement that a frame makes about them must agree. Keys are compared without case and punctuation.

`spin` is the multiplicity in some programs (fairchem, where 0 means unset) and 2S or S in others (PySCF, psi4's
tables), so 1 may or may not mean a closed shell: the meaning is not guessed.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

SpinMeaning = Literal["multiplicity", "unpaired electrons", "S"]

_CHARGE_KEYS: Final = frozenset({"q", "qtot", "totq", "qtotal", "totalq", "netq", "chg", "totchg"})
_SPIN_KEYS: Final = frozenset(
    {"spin", "totspin", "totalspin", "spintot", "spintotal", "molspin", "molecularspin", "netspin"}
)
_UNPAIRED_KEYS: Final = frozenset({"2s", "twos", "s2", "s**2", "ssquared", "uhf", "nopen", "nupdown", "nunpaired"})

_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "charge": ("neutral",),
    "multiplicity": ("singlet", "closedshell"),
    "spin": ("singlet", "closedshell", "restricted"),
    "unpaired": ("none", "closedshell"),
}

_ROUNDING: Final = 1e-3
"""Rounding error of a charge summed over atoms, e."""
_SUM_OF_ATOMS: Final = 0.1
"""Deviation of summed atomic charges and moments from integers, due to the grids of some schemes and to printing."""

_Kind = Literal["charge", "multiplicity", "unpaired", "spin"]


def state_problem(
    said: Iterable[tuple[str, Any]],
    atomic_numbers: npt.NDArray[np.integer[Any]],
    ignored: Iterable[str] = (),
    spin: SpinMeaning | None = None,
) -> str | None:
    """Statements of a frame that contradict a neutral closed shell or are ambiguous; `None` if there are none.

    Args:
        said: All keys and values of the frame, for the whole frame and for its atoms.
        atomic_numbers: Shape (n_atoms,).
        ignored: Keys with an unrelated meaning.
        spin: Meaning of `spin` in these files.
    """
    skipped = set(ignored)
    found = [
        (key, kind, value)
        for key, value in said
        if key not in skipped and value is not None and (kind := _kind(str(key))) is not None
    ]
    # A multiplicity of 1 in the same frame settles the meaning of a spin of 1.
    if spin is None and any(kind == "multiplicity" and _number(value) == 1.0 for _, kind, value in found):
        spin = "multiplicity"
    problems = [problem for key, kind, value in found for problem in _problems(key, kind, value, atomic_numbers, spin)]
    return "; ".join(problems) or None


def _kind(key: str) -> _Kind | None:
    """The quantity of a key; `None` unless it is charge or spin."""
    name = re.sub(r"[^a-z0-9*]", "", key.lower())
    if "multiplicity" in name or name.endswith(("mult", "multip")):
        return "multiplicity"
    if name in _UNPAIRED_KEYS or any(part in name for part in ("unpaired", "magmom", "magneticmoment", "openshell")):
        return "unpaired"
    if "spin" in name:
        return "spin"
    if name in _CHARGE_KEYS or "charge" in name or "chrg" in name:
        return "charge"
    return None


def _problems(
    key: str, kind: _Kind, value: Any, atomic_numbers: npt.NDArray[np.integer[Any]], spin: SpinMeaning | None
) -> Iterator[str]:
    if isinstance(value, str) and re.sub(r"[^a-z]", "", value.lower()) in _WORDS[kind]:
        return
    number = _number(value)
    if number is not None:
        yield from _problems_of_number(key, kind, number, spin)
        return
    array = _array(value)
    if array.dtype.kind in "iuf" and array.shape[:1] == atomic_numbers.shape and array.size:
        yield from _problems_of_atoms(key, kind, array, atomic_numbers)
    elif not (isinstance(value, (bool, np.bool_)) and not value):
        yield f"{key} {str(value)[:40]!r}, which may refer to charge or spin; {_remedy(key)}"


def _problems_of_number(key: str, kind: _Kind, number: float, spin: SpinMeaning | None) -> Iterator[str]:
    shown = f"{key} {number:g}"
    limit = {"charge": _ROUNDING, "unpaired": _SUM_OF_ATOMS}.get(kind, 0.0)
    if kind == "multiplicity":
        if number != 1.0:
            yield f"{shown}; expected a closed shell, with a multiplicity of 1"
    elif kind == "spin" and number == 1.0 and _is_the_spin(key):
        if spin is None:
            yield (
                f"{shown}, a closed shell if this is the multiplicity, but not if it is 2S or S; state which in the "
                "map, such as labels.spin = 'multiplicity'"
            )
        elif spin != "multiplicity":
            yield f"{shown}; expected a closed shell, with 0"
    elif not abs(number) <= limit:
        if _is_the_spin(key):
            yield f"{shown}, which is not a closed shell"
        elif kind == "charge":
            yield f"{shown}; expected a neutral molecule, with 0"
        else:
            yield f"{shown}; expected a closed shell, with 0; {_remedy(key)}"


def _problems_of_atoms(
    key: str, kind: _Kind, array: npt.NDArray[Any], atomic_numbers: npt.NDArray[np.integer[Any]]
) -> Iterator[str]:
    is_scalar = array.size == len(atomic_numbers)
    flat = array.astype(np.float64).ravel()
    if kind == "charge":
        is_nuclear = is_scalar and np.array_equal(flat, atomic_numbers)
        if is_scalar and not is_nuclear and not abs(total := float(flat.sum())) <= _SUM_OF_ATOMS:
            yield f"{key} of the atoms with sum {total:.4g}; expected a neutral molecule, with sum 0"
        return
    largest, total = float(np.abs(flat).max()), float(flat.sum())
    if not (largest <= _SUM_OF_ATOMS and abs(total) <= _SUM_OF_ATOMS):
        yield f"{key} of the atoms up to {largest:.4g} with sum {total:.4g}; expected a closed shell, without moments"


def _is_the_spin(key: str) -> bool:
    return re.sub(r"[^a-z0-9]", "", key.lower()) in _SPIN_KEYS


def _remedy(key: str) -> str:
    return f"if it does not, add it to labels.ignored_keys in the map: [{key!r}]"


def _number(value: Any) -> float | None:
    """A value as a number; `None` if it is not one, such as a bare key, which ASE reads as true."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _array(value: Any) -> npt.NDArray[Any]:
    """A value as an array; of objects if it is not a regular array of numbers."""
    try:
        return np.asarray(value)
    except ValueError:  # lists of different lengths
        return np.array(None)
