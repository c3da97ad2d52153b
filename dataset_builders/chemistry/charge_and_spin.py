"""What a frame says of charge and spin, in the spellings of many programs.

A molecule of the benchmark is neutral and closed-shell. A frame that says so in no way is taken for such; one that says
anything about charge or spin has to say that, in all that it says. Keys are compared without case and punctuation.

`spin` is the multiplicity to some (fairchem, where 0 stands for unset) and 2S or S to others (PySCF, psi4's tables), so
1 means a closed shell or none: it is not guessed at.
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
"""Of a charge that was summed over atoms, e."""
_SUM_OF_ATOMS: Final = 0.1
"""Partial charges and moments of atoms add up to whole numbers, but for the grids of some schemes and for printing."""

_Kind = Literal["charge", "multiplicity", "unpaired", "spin"]


def state_problem(
    said: Iterable[tuple[str, Any]],
    atomic_numbers: npt.NDArray[np.integer[Any]],
    ignored: Iterable[str] = (),
    spin: SpinMeaning | None = None,
) -> str | None:
    """What a frame says that is not a neutral closed shell, or not clear; `None` where it says nothing such.

    Args:
        said: All keys and values of the frame: of the frame as a whole, and of its atoms.
        atomic_numbers: Shape (n_atoms,).
        ignored: Keys that speak of something else.
        spin: What `spin` means in these files.
    """
    skipped = set(ignored)
    found = [
        (key, kind, value)
        for key, value in said
        if key not in skipped and value is not None and (kind := _kind(str(key))) is not None
    ]
    # A multiplicity of 1 beside it says what a spin of 1 is.
    if spin is None and any(kind == "multiplicity" and _number(value) == 1.0 for _, kind, value in found):
        spin = "multiplicity"
    problems = [problem for key, kind, value in found for problem in _problems(key, kind, value, atomic_numbers, spin)]
    return "; ".join(problems) or None


def _kind(key: str) -> _Kind | None:
    """What a key is about; `None` for anything but charge and spin."""
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
        yield f"{key} {str(value)[:40]!r}, which may speak of charge or spin; {_remedy(key)}"


def _problems_of_number(key: str, kind: _Kind, number: float, spin: SpinMeaning | None) -> Iterator[str]:
    shown = f"{key} {number:g}"
    limit = {"charge": _ROUNDING, "unpaired": _SUM_OF_ATOMS}.get(kind, 0.0)
    if kind == "multiplicity":
        if number != 1.0:
            yield f"{shown}, where a closed shell has a multiplicity of 1"
    elif kind == "spin" and number == 1.0 and _is_the_spin(key):
        if spin is None:
            yield (
                f"{shown}, which is a closed shell as a multiplicity and an open one as 2S or S; say in the map which, "
                "such as labels.spin = 'multiplicity'"
            )
        elif spin != "multiplicity":
            yield f"{shown}, where a closed shell has 0"
    elif not abs(number) <= limit:
        if _is_the_spin(key):
            yield f"{shown}, which is no closed shell"
        elif kind == "charge":
            yield f"{shown}, where a neutral molecule has 0"
        else:
            yield f"{shown}, where a closed shell has 0; {_remedy(key)}"


def _problems_of_atoms(
    key: str, kind: _Kind, array: npt.NDArray[Any], atomic_numbers: npt.NDArray[np.integer[Any]]
) -> Iterator[str]:
    is_scalar = array.size == len(atomic_numbers)
    flat = array.astype(np.float64).ravel()
    if kind == "charge":
        is_nuclear = is_scalar and np.array_equal(flat, atomic_numbers)
        if is_scalar and not is_nuclear and not abs(total := float(flat.sum())) <= _SUM_OF_ATOMS:
            yield f"{key} of the atoms that add up to {total:.4g}, where those of a neutral molecule add up to 0"
        return
    largest, total = float(np.abs(flat).max()), float(flat.sum())
    if not (largest <= _SUM_OF_ATOMS and abs(total) <= _SUM_OF_ATOMS):
        yield f"{key} of the atoms up to {largest:.4g} that add up to {total:.4g}, where a closed shell has none"


def _is_the_spin(key: str) -> bool:
    return re.sub(r"[^a-z0-9]", "", key.lower()) in _SPIN_KEYS


def _remedy(key: str) -> str:
    return f"if it does not, add it to labels.ignored_keys in the map: [{key!r}]"


def _number(value: Any) -> float | None:
    """A value as a number; `None` for what is none, a bare key (which ASE reads as true) among it."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _array(value: Any) -> npt.NDArray[Any]:
    """A value as an array; one of objects where it is no regular array of numbers."""
    try:
        return np.asarray(value)
    except ValueError:  # lists of different lengths
        return np.array(None)
