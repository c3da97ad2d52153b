"""Validates the arguments of a network from options, a file or a checkpoint: known names, values of the right type."""

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any, Final

_KINDS: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a string",
}

LARGEST: Final[Mapping[str, int]] = {"layers": 1_000, "channels": 100_000, "radial_features": 100_000}
"""More than any network has, so that a damaged file cannot ask for endless ones."""
_TRUTHS: Final[Mapping[str, bool]] = {"true": True, "false": False}


class ArgumentsError(ValueError):
    """Invalid arguments of a network; the caller adds where they come from."""


def plain(arguments: Any) -> dict[str, Any]:
    """Arguments as a mapping, for writing to files."""
    return dict(arguments) if isinstance(arguments, Mapping) else asdict(arguments)


def names_of(defaults: Any) -> tuple[str, ...]:
    """The names of the arguments."""
    return tuple(field.name for field in fields(defaults))


def require_arguments(defaults: Any) -> None:
    """Checks that the default arguments of an architecture are of a supported kind.

    Raises:
        ArgumentsError: If they are not a frozen dataclass of plain values with a cutoff above 0.
    """
    if not is_dataclass(defaults) or isinstance(defaults, type) or not type(defaults).__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise ArgumentsError(f"arguments are {defaults!r:.60}; expected an instance of a frozen dataclass")
    for name in names_of(defaults):
        if type(getattr(defaults, name)) not in _KINDS:
            raise ArgumentsError(
                f"the argument {name} has the default {getattr(defaults, name)!r:.60}; expected a number, a string or "
                "a boolean, which a checkpoint can store"
            )
    if "cutoff" not in names_of(defaults):
        raise ArgumentsError(f"the arguments are {' '.join(names_of(defaults))}; expected a cutoff, Å, among them")
    _require_lengths(defaults)


def with_values(defaults: Any, given: Mapping[str, Any], *, whole: bool = False) -> Any:
    """Replaces some default arguments.

    Args:
        defaults: Of the architecture.
        given: Values by name.
        whole: Whether every argument must be given, as in a checkpoint.

    Raises:
        ArgumentsError: If a name is unknown or missing, or a value has another type than the default or is outside the
            range that the architecture allows.
    """
    names = names_of(defaults)
    unknown = [name for name in given if name not in names]
    missing = [name for name in names if whole and name not in given]
    if unknown or missing:
        what = f"unknown: {' '.join(map(str, unknown))}" if unknown else f"missing: {' '.join(missing)}"
        raise ArgumentsError(f"arguments {what}; expected {'exactly ' if whole else ''}{' '.join(names)}")
    values = {name: _of_kind(name, value, type(getattr(defaults, name))) for name, value in given.items()}
    try:
        changed = replace(defaults, **values)
    except Exception as cause:  # a plug-in's own checks may raise anything
        raise ArgumentsError(f"{cause}, with {_shown(values)}") from cause
    _require_lengths(changed)
    return changed


def parsed(defaults: Any, name: str, text: str) -> Any:
    """Converts a command-line argument to its value; text that is not a number remains text."""
    kind: Any = type(getattr(defaults, name, ""))
    if kind is bool:
        return _TRUTHS.get(text.lower(), text)
    try:
        return kind(text)
    except ValueError:
        return text


def _of_kind(name: str, value: Any, kind: type) -> Any:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    # Python's whole numbers may exceed every floating-point number.
    if kind is float and (is_whole or isinstance(value, float)) and abs(value) <= sys.float_info.max:
        return float(value)
    if (kind is int and is_whole) or (kind in (bool, str) and isinstance(value, kind)):
        return value
    raise ArgumentsError(f"{name} is {value!r:.60}; expected {_KINDS[kind]}")


def _require_lengths(arguments: Any) -> None:
    cutoff = arguments.cutoff
    if isinstance(cutoff, bool) or not isinstance(cutoff, int | float) or not 0.0 < cutoff < math.inf:
        raise ArgumentsError(f"cutoff is {cutoff!r:.60}; expected a length in Å above 0")
    layers = getattr(arguments, "layers", 1)
    if isinstance(layers, bool) or not isinstance(layers, int) or layers < 1:
        raise ArgumentsError(f"layers is {layers!r:.60}; expected a whole number of 1 or more")
    for name, largest in LARGEST.items():
        value = getattr(arguments, name, 0)
        if isinstance(value, int) and value > largest:
            raise ArgumentsError(f"{name} is {value!r:.60}; expected a whole number of at most {largest:,}")


def _shown(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value!r:.40}" for name, value in values.items())
