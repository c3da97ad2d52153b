"""Checks that energies and forces match each other and their geometries."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from dataset_builders.certify.labels.diagnosis import RELATED, likely_cause, wrong_in_part
from dataset_builders.certify.labels.evidence import LabelEvidence, MoleculeEvidence
from dataset_builders.certify.labels.fits import ERRORS, SLOPE_TOLERANCE, FieldFit, WorkFit, fit_field, fit_work
from dataset_builders.certify.row_checks import Problem

MOLECULE_SLOPE_TOLERANCE: Final = 0.1
"""The same for one molecule. None of 248 in the mini edition deviates by more than this plus 2.4 standard errors."""

PLAIN_SLOPE_TOLERANCE: Final = 0.25
"""The same for both without MMFF94 parameters, for the trapezoid alone: its slope is 0.94 to 0.96 in the
mini edition, and 0.81 to 0.87 over 80 fs."""

SCATTER_LIMIT: Final = 1.5
"""Largest root mean square deviation from the work of a configuration, in expected deviations; 0.67 to 0.77 in mini."""

MOLECULE_SCATTER_LIMIT: Final = 4.0
"""The same for one molecule; 2.3 at most in mini."""

LARGEST_ERROR: Final = 0.09
"""Standard error of the slope, relative if the slope is above 1, above which pairs are too few or too far apart."""

FORCE_SLOPES: Final = (0.65, 1.4)
"""Accepted slopes of forces on those of MMFF94 if the work cannot be tested: 0.85 to 1.03 in mini."""

FORCE_CORRELATION: Final = 0.8
"""Smallest accepted correlation in that case; 0.93 to 0.96 in mini."""

ENERGY_SLOPES: Final = (0.35, 1.6)
"""Accepted slopes of energies, centred per molecule, on those of MMFF94 in that case; 0.74 to 0.87 in mini."""

ENERGY_CORRELATION: Final = 0.5
"""Smallest accepted correlation in that case; 0.89 to 0.92 in mini."""

TESTED_FORCE_SLOPES: Final = (0.4, 2.5)
"""Accepted slopes of forces on those of MMFF94 if the work is tested too: a unit error of both remains."""

TESTED_FORCE_CORRELATION: Final = 0.6
MOLECULE_FORCE_CORRELATION: Final = 0.3
"""Smallest accepted correlation of the forces of one molecule; 0.5 in mini."""

LEAST_DIFFERENCES: Final = 10
"""Fewest frames or energy differences for a comparison with MMFF94."""

COLD: Final = 100.0
"""Temperature, K, below which forces are too small for a comparison with another potential, whose minima differ."""


@dataclass(frozen=True, slots=True)
class LabelCheck:
    """Results of the label checks of a configuration.

    Attributes:
        config: Name of the configuration.
        work: Fit of energy differences of neighbouring frames on the work between them.
        field: Fit of the labels on those of MMFF94.
        work_untested: Reason why the work could not be tested; empty if it was tested.
        field_untested: Reason why the labels could not be compared with MMFF94; empty if they were.
    """

    config: str
    work: WorkFit
    field: FieldFit
    work_untested: str
    field_untested: str


def check_labels(config: str, evidence: LabelEvidence, temperature: float) -> LabelCheck:
    """Evaluates the evidence of a configuration.

    Args:
        config: Name of the configuration.
        evidence: Evidence from all its rows.
        temperature: Sampling temperature of the frames, K.
    """
    molecules = list(evidence.molecules.values())
    work, field = fit_work(molecules), fit_field(molecules)
    work_untested = field_untested = ""
    if not work.n_pairs:
        work_untested = "no burst has two frames"
    elif math.isfinite(work.error) and work.error > LARGEST_ERROR * max(1.0, abs(work.slope)):
        work_untested = f"the {work.n_pairs} pairs of neighbouring frames are too few, or too far apart"
    if temperature < COLD:
        field_untested = f"frames at {temperature:g} K are too close to minima, which differ from those of MMFF94"
    elif field.n_frames < LEAST_DIFFERENCES:
        field_untested = f"MMFF94 has parameters for the molecules of only {field.n_frames} frames"
    return LabelCheck(config, work, field, work_untested, field_untested)


def label_problems(check: LabelCheck, evidence: LabelEvidence, energy_factor: float | None = None) -> Iterator[Problem]:
    """Labels that do not match each other or their geometries: of all molecules, of some, or of single frames.

    Args:
        check: Results for the configuration.
        evidence: Evidence from all its rows.
        energy_factor: Factor by which the total energies are too large, if their level of theory determines it.
    """
    molecules = evidence.molecules
    dead = [name for name, each in molecules.items() if _is_dead(each)]
    yield from _dead_problems(check.config, dead, molecules)
    if len(dead) > len(molecules) // 2:
        return
    fault = _config_fault(check)
    if fault:
        cause = likely_cause(check.work, check.field, energy_factor)
        yield Problem(check.config, None, "", "", f"{fault[0]}: {cause}", fault[1])
        if not _is_wrong_in_part(check):
            return
    for name, molecule in molecules.items():
        fault = None if name in dead else _molecule_fault(molecule, check)
        if fault:
            cause = likely_cause(fit_work([molecule]), fit_field([molecule]))
            yield Problem(check.config, None, name, "", f"{fault[0]}: {cause}", fault[1])
    yield from _row_problems(check, evidence)


def _is_wrong_in_part(check: LabelCheck) -> bool:
    """Whether to report molecules and rows one by one: not if all of them are wrong."""
    if check.work_untested:
        return check.field.force_correlation >= RELATED
    return wrong_in_part(check.work, check.field)


def _is_dead(molecule: MoleculeEvidence) -> bool:
    """Whether forces do not depend on the geometry: zero, or identical in several frames."""
    return not molecule.products[0] or (molecule.same_forces and len(molecule.energies) > 1)


def _dead_problems(config: str, dead: Sequence[str], molecules: dict[str, MoleculeEvidence]) -> Iterator[Problem]:
    kinds = {
        "forces that are zero": [name for name in dead if not molecules[name].products[0]],
        "the same forces in all of its frames": [name for name in dead if molecules[name].products[0]],
    }
    for seen, names in kinds.items():
        if len(names) > len(molecules) // 2:
            every = f"{seen.replace('its', 'the')} of each of {len(names)} molecules"
            yield Problem(config, None, "", "", f"{every}: likely they were never computed", "the forces of each frame")
            continue
        for name in names:
            yield Problem(config, None, name, "", f"{seen}: likely never computed", "the forces of each frame")


def _config_fault(check: LabelCheck) -> tuple[str, str] | None:
    """The failed check of a configuration and its limits; `None` if all checks pass."""
    field = check.field
    if not check.work_untested:
        tolerance = SLOPE_TOLERANCE if field.n_frames else PLAIN_SLOPE_TOLERANCE
        fault = _work_fault(check.work, tolerance, SCATTER_LIMIT)
        if fault:
            return fault
    if check.field_untested:
        return None
    slopes, least = (
        (FORCE_SLOPES, FORCE_CORRELATION) if check.work_untested else (TESTED_FORCE_SLOPES, TESTED_FORCE_CORRELATION)
    )
    fault = _field_fault("forces", field.force_slope, field.force_correlation, slopes, least)
    if fault or not check.work_untested or field.n_differences < LEAST_DIFFERENCES:
        return fault
    slope, correlation = field.energy_slope, field.energy_correlation
    return _field_fault("energies, centred per molecule,", slope, correlation, ENERGY_SLOPES, ENERGY_CORRELATION)


def _molecule_fault(molecule: MoleculeEvidence, check: LabelCheck) -> tuple[str, str] | None:
    if not check.work_untested:
        tolerance = MOLECULE_SLOPE_TOLERANCE if molecule.has_field else PLAIN_SLOPE_TOLERANCE
        fault = _work_fault(fit_work([molecule]), tolerance, MOLECULE_SCATTER_LIMIT)
        if fault:
            return fault
    if check.field_untested or not molecule.has_field:
        return None
    field = fit_field([molecule])
    if field.force_correlation >= MOLECULE_FORCE_CORRELATION:
        return None
    seen = f"forces whose correlation with those of MMFF94 is {field.force_correlation:.2f}"
    return seen, f"at least {MOLECULE_FORCE_CORRELATION:g}"


def _work_fault(work: WorkFit, tolerance: float, scatter: float) -> tuple[str, str] | None:
    if not work.n_pairs or math.isnan(work.slope):
        return None
    allowed = tolerance + ERRORS * work.error
    if abs(work.slope - 1.0) <= allowed and work.scatter <= scatter:
        return None
    seen = (
        f"the energies of {work.n_pairs:,} pairs of neighbouring frames change by {work.slope:.3f} times the work of "
        f"the forces between them, with a scatter of {work.scatter:.1f} expected deviations"
    )
    return seen, f"1 within {allowed:.2f}, with a scatter of at most {scatter:g}"


def _field_fault(
    what: str, slope: float, correlation: float, slopes: tuple[float, float], least: float
) -> tuple[str, str] | None:
    if slopes[0] <= slope <= slopes[1] and correlation >= least:
        return None
    seen = f"{what} that are {slope:.3g} times those of MMFF94, with a correlation of {correlation:.2f}"
    return seen, f"{slopes[0]:g} to {slopes[1]:g} times, with a correlation of at least {least:g}"


def _row_problems(check: LabelCheck, evidence: LabelEvidence) -> Iterator[Problem]:
    if not check.work_untested:
        for pair in evidence.far_pairs:
            first, second = pair.first, pair.second
            seen = (
                f"an energy {pair.change:+.3f} eV from that of {first.frame} ({first.file} row {first.row}), while the "
                f"work of the forces between the two is {pair.work:+.3f} eV"
            )
            expected = "energies and forces of one potential-energy surface; one of the two frames is wrong"
            yield Problem(second.file, second.row, second.molecule_id, second.frame, seen, expected)
    if not check.field_untested:
        for place in evidence.opposed:
            seen = "forces that are zero, or opposed to those of MMFF94"
            yield Problem(place.file, place.row, place.molecule_id, place.frame, seen, "forces of this geometry")
