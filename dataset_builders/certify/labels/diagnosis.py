"""Diagnoses the likely error of labels: a wrong unit, sign or factor, or labels of other frames."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dataset_builders.certify.labels.fits import FieldFit, WorkFit
from dataset_builders.certify.unit_names import (
    ENERGY_UNITS,
    EXACT,
    ROUGH,
    TYPICAL_FORCE_SLOPE,
    distance,
    energy_unit,
    force_unit,
)

TYPICAL_ENERGY_SLOPE: Final = 0.8
"""Slope of energies, centred per molecule, on those of MMFF94: 0.74 to 0.80 for GFN2-xTB, 0.74 for PBE, 0.83
and 0.87 for wB97X."""

RELATED: Final = 0.5
"""Correlation with MMFF94 below which labels do not belong to the geometries."""

FEW_PAIRS: Final = 8
"""Number of pairs below which no factor is inferred."""

OPPOSITE_FORCES: Final = "the forces have the opposite sign, as gradients have"
PART_WRONG: Final = "likely the energies or the forces of some of the frames are wrong"

_ALIKE: Final = math.log(1.8)
"""Uncertainty of a factor measured against MMFF94, as a logarithm."""


@dataclass(frozen=True, slots=True)
class _Scales:
    """Factors by which labels are too large.

    Attributes:
        energy: Factor of the energies.
        force: Factor of the forces.
        tolerance: Relative uncertainty of the factors.
    """

    energy: float
    force: float
    tolerance: float


def likely_cause(work: WorkFit, field: FieldFit, energy_factor: float | None = None) -> str:
    """The likely error of labels that fail the checks.

    Args:
        work: Fit of the energies on the work of the forces.
        field: Fit of the labels on those of MMFF94.
        energy_factor: Factor by which the total energies are too large, if their level of theory determines it.
    """
    if field.n_frames and abs(field.force_correlation) < RELATED:
        return (
            "the forces do not match these geometries; likely they belong to other frames, or have their "
            "atoms in another order"
        )
    linked = work.n_pairs > 0 and work.correlation >= 0.8
    if not linked and field.n_differences and abs(field.energy_correlation) < RELATED:
        return "the energies do not match these geometries; likely they belong to other frames of the molecule"
    if work.n_pairs and (not linked or wrong_in_part(work, field) or work.n_pairs < FEW_PAIRS):
        return OPPOSITE_FORCES if field.force_correlation < -RELATED else PART_WRONG
    texts = list(_scale_texts(_scales(work if linked else None, field, energy_factor)))
    return " and ".join(texts) if texts else "no single cause identified"


def wrong_in_part(work: WorkFit, field: FieldFit) -> bool:
    """Whether most labels are right although some are wrong."""
    scale = field.force_slope / TYPICAL_FORCE_SLOPE if field.n_frames else 1.0
    return work.agrees_in_part and scale != 0.0 and distance(scale, 1.0) <= _ALIKE


def _scales(work: WorkFit | None, field: FieldFit, energy_factor: float | None) -> _Scales:
    force = field.force_slope / TYPICAL_FORCE_SLOPE if field.n_frames else math.nan
    if work is None:
        energy = field.energy_slope / TYPICAL_ENERGY_SLOPE if field.n_differences else 1.0
        energy = energy if energy_factor is None else energy_factor
        return _Scales(_one_if_near(energy), _one_if_near(force), ROUGH)
    ratio, energy = work.scales if field.n_frames else (work.slope, 1.0)
    if energy_factor is not None:
        return _Scales(energy_factor, energy_factor / ratio, EXACT)
    if math.isnan(force):
        return _Scales(1.0, 1.0 / ratio, EXACT)
    # Either the forces alone are off by 1 / ratio, or the energies alone by ratio, or both.
    forces_alone = distance(force, 1.0 / ratio) + distance(energy, 1.0)
    energies_alone = distance(force, 1.0) + distance(energy, ratio)
    if min(forces_alone, energies_alone) > _ALIKE:
        energy = _nearest_unit_factor(energy)
        return _Scales(energy, energy / ratio, ROUGH)
    is_force = force < 0 if ratio < 0 else forces_alone <= energies_alone
    return _Scales(1.0, 1.0 / ratio, EXACT) if is_force else _Scales(ratio, 1.0, EXACT)


def _one_if_near(factor: float) -> float:
    """Ignores factors below 1.3, which MMFF94 cannot resolve, unlike signs and units."""
    return 1.0 if factor > 0 and abs(math.log(factor)) < math.log(1.3) else factor


def _nearest_unit_factor(factor: float) -> float:
    known = [factor for value in ENERGY_UNITS.values() for factor in (value, 1.0 / value)]
    nearest = min(known, key=lambda each: distance(factor, each))
    is_near = distance(factor, nearest) < _ALIKE
    return math.copysign(nearest if is_near else abs(factor), factor)


def _scale_texts(scales: _Scales) -> Iterator[str]:
    for what, factor, name in (("energies", scales.energy, energy_unit), ("forces", scales.force, force_unit)):
        if factor == 0.0 or math.isnan(factor):
            continue
        if factor < 0:
            yield OPPOSITE_FORCES if what == "forces" else "the energies have the opposite sign"
        if abs(abs(factor) - 1.0) > EXACT:
            yield (
                name(factor, scales.tolerance) or f"the {what} look {abs(factor):.3g} times as large as they should be"
            )
