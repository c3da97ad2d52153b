"""Whether total energies are of the level of theory, and in the unit, that they are declared to be."""

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
"""How far the median over molecules of energy of atomisation over sum of bond energies may lie from 1: two functionals
lie 0.07 apart, GFN2-xTB is far from all of them, and groups that a sum of bonds describes badly (CF3, CCl3, ureas,
small rings) are off by several hundredths. docs/labels.md has what it is in the mini edition, and what others give."""

BONDS_TOLERANCE: Final = 0.15
"""The same where energies are of atomisation already, and so of about the same size at any level."""


@dataclass(frozen=True, slots=True)
class LevelCheck:
    """What the total energies of a configuration say of their level of theory.

    Attributes:
        ratio: Median over its molecules of energy of atomisation over sum of bond energies at the declared level;
            `None` where that could not be computed.
        resembles: What the energies look like, where that is not what was declared; empty otherwise.
        energy_factor: By how much the energies are too large; `None` where their level does not tell.
        untested: Why they could not be tested; empty where they were.
    """

    ratio: float | None
    resembles: str
    energy_factor: float | None
    untested: str


def check_level(level: Level, evidence: LabelEvidence, temperature: float) -> LevelCheck:
    """Compares the energies of a configuration with those of isolated atoms and bonds.

    Args:
        level: Level of theory that they are declared to be of.
        evidence: Of all rows of the configuration.
        temperature: At which the frames were sampled, K.
    """
    energies = {
        each.smiles: float(np.median(np.array(each.energies))) for each in evidence.molecules.values() if each.energies
    }
    if level.name not in LEVELS:
        found = _same_unit(_OTHERS[level.name], energies, temperature)
        note = "" if found is None else f"the energies are those of {LEVELS[found].method}"
        return LevelCheck(None, note, None, f"the isolated atoms of {level.method} are not known here")
    ratio = median_ratio(level.name, energies, temperature)
    if ratio is None:
        return LevelCheck(None, "", None, "its atoms or bonds are none of those whose energies are known here")
    if abs(ratio - 1.0) <= tolerance_of(level.name):
        return LevelCheck(ratio, "", 1.0, "")
    resembles, factor = _likeness(level, energies, temperature)
    return LevelCheck(ratio, resembles, factor, "")


def tolerance_of(level: LevelName) -> float:
    """How far the ratio of a configuration may lie from 1."""
    return _TOLERANCES.get(level, _TOLERANCE)


def level_problems(config: str, level: Level, check: LevelCheck) -> Iterator[Problem]:
    """Total energies that are not those of the declared level in eV."""
    tolerance = tolerance_of(level.name)
    if check.ratio is None or abs(check.ratio - 1.0) <= tolerance:
        return
    seen = f"energies of atomisation that are {check.ratio:.3g} times the sum of the bond energies of {level.method}"
    cause = check.resembles or "likely another level of theory, unit or zero of energy"
    yield Problem(config, None, "", "", f"{seen}: {cause}", f"1 within {tolerance:g}")


_OTHERS: Final[Mapping[LevelName, tuple[LevelName, ...]]] = {
    name: tuple(other for other in LEVELS if other != name) for name in (*LEVELS, "other")
}


def _same_unit(
    levels: tuple[LevelName, ...], energies: Mapping[str, float], temperature: float, factor: float = 1.0
) -> LevelName | None:
    """The level that energies are of, if they are too large by a factor; `None` where none fits."""
    found: dict[LevelName, float] = {}
    for name in levels:
        ratio = median_ratio(name, {smiles: energy / factor for smiles, energy in energies.items()}, temperature)
        if ratio is not None and abs(ratio - 1.0) <= tolerance_of(name):
            found[name] = abs(ratio - 1.0)
    return min(found.items(), key=lambda item: item[1])[0] if found else None


def _likeness(level: Level, energies: Mapping[str, float], temperature: float) -> tuple[str, float | None]:
    """What energies look like that are not those of a level in eV, and by what factor they are too large."""
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
            "the energies look like energies of atomisation, not total energies: add those of the isolated atoms",
            1.0,
        )
    return "", None


def _is_opposite(level: Level, energies: Mapping[str, float], temperature: float) -> bool:
    return _same_unit((level.name,), energies, temperature, -1.0) is not None


def _are_of_atomisation(level: Level, energies: Mapping[str, float]) -> bool:
    bonds = {smiles: bond_energy(level.name, smiles) for smiles in energies}
    ratios = [-energies[smiles] / value for smiles, value in bonds.items() if value]
    return bool(ratios) and abs(float(np.median(ratios)) - 1.0) <= BONDS_TOLERANCE
