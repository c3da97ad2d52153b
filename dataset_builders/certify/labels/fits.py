"""Fits to the evidence: slope of energies on work, and of labels on those of MMFF94."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset_builders.certify.labels.evidence import MoleculeEvidence
from dataset_builders.core.arrays import FloatArray

ERRORS: Final = 5.0
"""Number of standard errors of a slope that are added to its tolerance."""

SLOPE_TOLERANCE: Final = 0.05
"""Tolerance of the slope of the energies on the work of a configuration, whose ideal is 1. In the mini edition it
deviates by at most 0.002 for frames 20 fs apart, and by 0.025, with an error of 0.011, for frames 80 fs apart."""

MOST: Final = 0.5
NEAR: Final = 4.0
"""Expected deviations within which a pair of frames agrees; at most 2 of 1,000 pairs of the mini edition do not."""


@dataclass(frozen=True, slots=True)
class WorkFit:
    """Energy differences of neighbouring frames, fitted on the work done against the forces between them.

    Attributes:
        n_pairs: Number of pairs.
        slope: Slope of the energy on the work, weighted by the expected deviations; 1 for consistent labels.
        error: Expected standard error of the slope; infinite if no pair is informative.
        scatter: Root mean square residual at a slope of 1, in expected deviations.
        kept: Fraction of the pairs within `NEAR` expected deviations.
        kept_slope: Slope of these pairs; 1 if only some of the labels are wrong.
        scales: Coefficients of a joint fit of the energy differences on the work and on MMFF94's correction: the factor
            of the energies relative to the forces, and the factor of the energies themselves.
        correlation: Correlation of the energy differences with that fit.
    """

    n_pairs: int
    slope: float
    error: float
    scatter: float
    kept: float
    kept_slope: float
    scales: tuple[float, float]
    correlation: float

    @property
    def agrees_in_part(self) -> bool:
        """Whether most pairs agree, so that only some of the labels can be wrong."""
        return self.kept >= MOST and abs(self.kept_slope - 1.0) <= SLOPE_TOLERANCE + ERRORS * self.error


def fit_work(molecules: Sequence[MoleculeEvidence]) -> WorkFit:
    """Fits the pairs of several molecules together."""
    changes, works, corrections, sigmas = (
        _joined(molecules, name) for name in ("changes", "works", "corrections", "sigmas")
    )
    weights = 1.0 / sigmas**2
    information = float((weights * works**2).sum())
    if information == 0.0:
        return WorkFit(len(works), math.nan, math.inf, math.nan, math.nan, math.nan, (math.nan, math.nan), 0.0)
    left = (changes - corrections - works) / sigmas
    near = np.abs(left) <= NEAR
    design = np.stack([works, corrections], axis=1)
    scales, *_ = np.linalg.lstsq(design, changes, rcond=None)
    return WorkFit(
        n_pairs=len(works),
        slope=_slope(works, changes - corrections, weights),
        error=1.0 / math.sqrt(information),
        scatter=float(np.sqrt((left**2).mean())),
        kept=float(near.mean()),
        kept_slope=_slope(works[near], (changes - corrections)[near], weights[near]),
        scales=(float(scales[0]), float(scales[1])),
        correlation=_correlation(design @ scales, changes),
    )


def _slope(x: FloatArray, y: FloatArray, weights: FloatArray) -> float:
    norm = float((weights * x**2).sum())
    return float((weights * x * y).sum()) / norm if norm else math.nan


@dataclass(frozen=True, slots=True)
class FieldFit:
    """Fit of labels on those of MMFF94 for the same geometries.

    Attributes:
        n_frames: Number of frames.
        force_slope: Slope of the force components; NaN if there are none.
        force_correlation: Correlation of the force components.
        n_differences: Number of independent energy differences: number of frames minus number of molecules.
        energy_slope: Slope of the energies, centred per molecule; NaN if there are none.
        energy_correlation: Correlation of the centred energies.
    """

    n_frames: int
    force_slope: float
    force_correlation: float
    n_differences: int
    energy_slope: float
    energy_correlation: float


def fit_field(molecules: Sequence[MoleculeEvidence]) -> FieldFit:
    """Compares the labels of molecules with MMFF94; molecules without parameters are left out."""
    known = [each for each in molecules if each.has_field and len(each.energies)]
    n_frames = sum(len(each.energies) for each in known)
    ours, both, theirs = sum((each.products for each in known), np.zeros(3)).tolist()
    energies = _joined_about_means([each.energies for each in known])
    field_energies = _joined_about_means([each.field_energies for each in known])
    spread = float(field_energies @ field_energies)
    return FieldFit(
        n_frames=n_frames,
        force_slope=both / theirs if theirs else math.nan,
        force_correlation=both / math.sqrt(ours * theirs) if ours * theirs else 0.0,
        n_differences=n_frames - len(known),
        energy_slope=float(energies @ field_energies) / spread if spread else math.nan,
        energy_correlation=_correlation(energies, field_energies),
    )


def _joined(molecules: Sequence[MoleculeEvidence], name: str) -> FloatArray:
    return np.concatenate([np.zeros(0), *(np.array(getattr(each, name)) for each in molecules)])


def _joined_about_means(parts: Sequence[Sequence[float]]) -> FloatArray:
    arrays = [np.array(part) for part in parts]
    return np.concatenate([np.zeros(0), *(each - each.mean() for each in arrays)])


def _correlation(first: FloatArray, second: FloatArray) -> float:
    """Correlation about zero, the mean of differences; 0 if one of the arrays is all zero."""
    norm = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / norm if norm else 0.0
