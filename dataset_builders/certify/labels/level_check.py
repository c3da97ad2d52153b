"""Checks the declared level of theory and unit of total energies."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset_builders.certify.labels.evidence import LabelEvidence
from dataset_builders.certify.row_checks import Problem
from dataset_builders.certify.unit_names import ENERGY_UNITS, EXACT, energy_unit
from dataset_builders.chemistry.bond_energies import bond_energy, median_ratio
from dataset_builders.chemistry.levels import LEVELS, Level, LevelName

_TOLERANCE: Final = 0.05
_TOLERANCES: Final[Mapping[LevelName, float]] = {"gfn2-xtb": 0.12}
"""Largest deviation from 1 of the median of atomisation energy over sum of bond energies: two functionals differ by
0.07, GFN2-xTB by far more, and groups that a sum of bonds describes badly (CF3, CCl3, ureas, small rings) deviate by
several hundredths. docs/labels.md lists values for the mini edition and for other data."""

BONDS_TOLERANCE: Final = 0.15
"""The same for atomisation energies, which are similar at all levels of theory."""


@dataclass(frozen=True, slots=True)
class LevelCheck:
    """Results of the level check of a configuration.

    Attributes:
        ratio: Median over its molecules of atomisation energy divided by the sum of bond energies at the declared
            level; `None` if it could not be computed.
        resembles: Likely identity of the energies if it differs from the declared one; empty otherwise.
        energy_factor: Factor by which the energies are too large; `None` if the level does not determine it.
        untested: Reason why the energies could not be tested; empty if they were.
    """

    ratio: float | None
    resembles: str
    energy_factor: float | None
    untested: str


def check_level(level: Level, evidence: LabelEvidence, temperature: float) -> LevelCheck:
    """Compares the energies of a configuration with those of isolated atoms and bonds.

    Args:
        level: Declared level of theory.
        evidence: Evidence from all rows of the configuration.
        temperature: Sampling temperature of the frames, K.
    """
    energies = {
        each.smiles: float(np.median(np.array(each.energies))) for each in evidence.molecules.values() if each.energies
    }
    if level.name not in LEVELS:
        found = _same_unit(_OTHERS[level.name], energies, temperature)
        note = "" if found is None else f"the energies are those of {LEVELS[found].method}"
        return LevelCheck(None, note, None, f"energies of isolated atoms at {level.method} are not available")
    ratio = median_ratio(level.name, energies, temperature)
    if ratio is None:
        return LevelCheck(None, "", None, "energies of its atoms or bonds are not available")
    if abs(ratio - 1.0) <= tolerance_of(level.name):
        return LevelCheck(ratio, "", 1.0, "")
    resembles, factor = _likeness(level, energies, temperature)
    return LevelCheck(ratio, resembles, factor, "")


def tolerance_of(level: LevelName) -> float:
    """Tolerance of the ratio of a configuration, whose ideal is 1."""
    return _TOLERANCES.get(level, _TOLERANCE)


def level_problems(config: str, level: Level, check: LevelCheck) -> Iterator[Problem]:
    """Total energies that are not those of the declared level in eV."""
    tolerance = tolerance_of(level.name)
    if check.ratio is None or abs(check.ratio - 1.0) <= tolerance:
        return
    seen = f"atomisation energies that are {check.ratio:.3g} times the sum of the bond energies of {level.method}"
    cause = check.resembles or "likely another level of theory, unit or zero of energy"
    yield Problem(config, None, "", "", f"{seen}: {cause}", f"1 within {tolerance:g}")


_OTHERS: Final[Mapping[LevelName, tuple[LevelName, ...]]] = {
    name: tuple(other for other in LEVELS if other != name) for name in (*LEVELS, "other")
}


def _same_unit(
    levels: tuple[LevelName, ...], energies: Mapping[str, float], temperature: float, factor: float = 1.0
) -> LevelName | None:
    """The level that matches energies divided by a factor; `None` if none does."""
    found: dict[LevelName, float] = {}
    for name in levels:
        ratio = median_ratio(name, {smiles: energy / factor for smiles, energy in energies.items()}, temperature)
        if ratio is not None and abs(ratio - 1.0) <= tolerance_of(name):
            found[name] = abs(ratio - 1.0)
    return min(found.items(), key=lambda item: item[1])[0] if found else None


def _likeness(level: Level, energies: Mapping[str, float], temperature: float) -> tuple[str, float | None]:
    """Likely identity of energies that are not those of a level in eV, and the factor by which they are too large."""
    others = _OTHERS[level.name]
    if other := _same_unit(others, energies, temperature):
        return f"the energies look like {LEVELS[other].method}, not {level.method}: declare that level", 1.0
    factors = [factor for value in ENERGY_UNITS.values() if value != 1.0 for factor in (1.0 / value, value)]
    for levels in ((level.name,), others):
        for factor in factors:
            if name := _same_unit(levels, energies, temperature, factor):
                about = "" if name == level.name else f", of {LEVELS[name].method} and not {level.method}"
                return f"{energy_unit(factor, EXACT)}{about}", factor
    if _is_opposite(level, energies, temperature):
        return "the energies have the opposite sign", -1.0
    if _are_of_atomisation(level, energies):
        return (
            "the energies look like atomisation energies, not total energies: add the energies of the isolated atoms",
            1.0,
        )
    return "", None


def _is_opposite(level: Level, energies: Mapping[str, float], temperature: float) -> bool:
    return _same_unit((level.name,), energies, temperature, -1.0) is not None


def _are_of_atomisation(level: Level, energies: Mapping[str, float]) -> bool:
    bonds = {smiles: bond_energy(level.name, smiles) for smiles in energies}
    ratios = [-energies[smiles] / value for smiles, value in bonds.items() if value]
    return bool(ratios) and abs(float(np.median(ratios)) - 1.0) <= BONDS_TOLERANCE
