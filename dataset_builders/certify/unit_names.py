"""Identifies the likely unit of labels that are wrong by a factor."""

import math
from collections.abc import Mapping
from typing import Final

from dataset_builders.core.units import BOHR, HARTREE, KCAL_PER_MOL, KJ_PER_MOL, MILLI

ENERGY_UNITS: Final[Mapping[str, float]] = {
    "eV": 1.0,
    "hartree": HARTREE,
    "kcal/mol": KCAL_PER_MOL,
    "kJ/mol": KJ_PER_MOL,
    "meV": MILLI,
}
_FORCE_UNITS: Final[Mapping[str, float]] = {
    **{f"{name}/angstrom": value for name, value in ENERGY_UNITS.items()},
    "hartree/bohr": HARTREE / BOHR,
    "eV/bohr": 1.0 / BOHR,
    "kcal/mol/bohr": KCAL_PER_MOL / BOHR,
    "kJ/mol/nm": KJ_PER_MOL / 10.0,
    "eV/nm": 0.1,
}
"""Force units that programs write."""

EXACT: Final = 0.04
"""Relative tolerance of a factor measured from the work: small enough to separate a factor of two from Å per Bohr."""

ROUGH: Final = 0.15
"""The same for a factor measured against MMFF94, whose slopes vary that much."""

TYPICAL_FORCE_SLOPE: Final = 0.95
"""Slope of forces on those of MMFF94: 0.85 to 0.91 for GFN2-xTB, 0.97 for PBE, 1.01 and 1.03 for wB97X in mini."""


def energy_unit(factor: float, tolerance: float) -> str | None:
    """Likely unit of energies that are too large by a factor; `None` if no unit matches."""
    return _named(factor, tolerance, ENERGY_UNITS, "eV", "energies", "energy_unit")


def force_unit(factor: float, tolerance: float) -> str | None:
    """Likely unit of forces that are too large by a factor; `None` if no unit matches."""
    return _named(factor, tolerance, _FORCE_UNITS, "eV/angstrom", "forces", "force_unit")


def _named(factor: float, tolerance: float, units: Mapping[str, float], own: str, what: str, key: str) -> str | None:
    others = {name: value for name, value in units.items() if name != own}
    nearest = min(others, key=lambda name: distance(factor, 1.0 / others[name]))
    if distance(factor, 1.0 / others[nearest]) <= math.log1p(tolerance):
        remedy = f"multiply them by {others[nearest]:.6g}, or declare {key} = '{nearest}'"
        return f"the {what} look like {nearest} read as {own}: {remedy}"
    nearest = min(others, key=lambda name: distance(factor, others[name]))
    if distance(factor, others[nearest]) <= math.log1p(tolerance):
        remedy = f"divide them by {others[nearest]:.6g}, or declare {key} = '{own}'"
        return f"the {what} look like {own} converted as if from {nearest}: {remedy}"
    return None


def distance(factor: float, other: float) -> float:
    """Distance of the magnitudes of two factors, as a logarithm."""
    return abs(math.log(abs(factor / other)))
