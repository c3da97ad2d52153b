"""Confidence intervals for other fragments and molecules, drawn like those measured.

Molecules that share a fragment have similar errors, so the number of fragments matters and not the number of
molecules. For G fragments, an interval uses Student's t with G - 1 degrees of freedom and a cluster-robust standard
error, on the log scale for errors and their ratios. `python -m tests.benchmarks.coverage` measures the coverage
of the intervals; docs/intervals.md has its table.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import DataError, UsageError
from harness.scoring.cluster_variance import cluster_variance, clusters_needed
from harness.scoring.clusters import Clusters
from harness.scoring.influences import Effect, MoleculeSums, difference, quotient, ratio_effect, weighted_effect
from harness.scoring.metric_terms import (
    CentredEnergies,
    Float64Array,
    rank_moments,
    spearman_of_moments,
    weighted_spearman,
)

FEW_CLUSTERS: Final = 6
"""With fewer clusters, their values are shown beside the interval, which is wide and relies on normality."""

Scale = Literal["log", "complement", "logit", "fisher", "linear"]
"""Scale on which an interval is symmetric: that of ln v, ln(1 - v), ln(v / (1 - v)), artanh v, or v itself."""

DIVIDED_BY_ZERO: Final = "the error to divide by is zero"

_NO_SPREAD: Final = 1e-12
"""Standard error, on its scale, below which only rounding remains."""

_CELLS_AT_ONCE: Final = 2**19
"""Maximum number of weight sets times frames for the rank correlation in memory: about 4 MB per array."""

_MOMENTS_OF_MOLECULES: Final = 128
"""Maximum number of molecules for rank correlations from moments (3 x 16 MB); above it, they use every frame."""


@dataclass(frozen=True, slots=True)
class IntervalSettings:
    """Settings of confidence intervals.

    Attributes:
        confidence: Nominal coverage.
    """

    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not 0.0 < self.confidence < 1.0:
            raise UsageError(f"confidence {self.confidence}; expected a number between 0 and 1, such as 0.95")


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with its confidence interval.

    Attributes:
        value: The number over all molecules; `None` where it is undefined.
        low: Lower end; `None` if there is no interval.
        high: Upper end; `None` if there is no interval.
        reason: Why the number or its interval is missing; `None` if neither is missing.
        n_clusters: Number of clusters behind the interval; `None` if the number is undefined.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    n_clusters: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of two models on the same molecules.

    Attributes:
        difference: Error of the first minus that of the second, in the metric's unit.
        ratio: Error of the first divided by that of the second.
    """

    difference: Interval
    ratio: Interval


def interval_of(effect: Effect, scale: Scale = "log", settings: IntervalSettings | None = None) -> Interval:
    """Computes the interval of a number.

    Args:
        effect: The number and its influences.
        scale: Scale on which the interval is symmetric.
        settings: Settings of the interval; the default if `None`.

    Returns:
        The value with its interval. The interval is replaced by a reason if there are fewer than `MIN_CLUSTERS`
        clusters, if the value lies at the end of its scale, or if all clusters agree.

    Raises:
        DataError: If a number is not finite.
    """
    value = effect.value
    variance, n_clusters = cluster_variance(effect)
    if not math.isfinite(value) or not math.isfinite(variance):
        raise DataError(
            f"a number of {' and '.join(effect.influences)} is {value} with variance {variance}; expected "
            "finite errors of every molecule"
        )
    kind = next(clusters.kind for _, clusters in effect.influences.values())
    if not n_clusters:
        return Interval(value, reason="no interval: its molecules are fixed by the task, not sampled", n_clusters=0)
    needed = clusters_needed(effect)
    if n_clusters < needed:
        seen = f"{n_clusters} {kind}" if n_clusters == 1 else f"{n_clusters} {kind}s"
        reason = f"no interval: based on {seen}; an interval needs at least {needed}"
        return Interval(value, reason=reason, n_clusters=n_clusters)
    on_scale = _SCALES[scale]
    if not on_scale.holds(value):
        return Interval(
            value, reason=f"no interval: the value, {value:g}, is at the end of its range", n_clusters=n_clusters
        )
    error = math.sqrt(variance) * on_scale.derivative(value)
    if error < _NO_SPREAD:
        return Interval(value, reason=f"no interval: all {kind}s give the same value", n_clusters=n_clusters)
    reach = _student(settings or IntervalSettings(), n_clusters) * error
    ends = sorted((on_scale.back(on_scale.to(value) - reach), on_scale.back(on_scale.to(value) + reach)))
    return Interval(value, ends[0], ends[1], n_clusters=n_clusters)


def ratio_interval(
    sums: MoleculeSums, clusters: Clusters, scale: Scale = "log", settings: IntervalSettings | None = None
) -> Interval:
    """A metric in the form of a ratio, with its interval."""
    effect = ratio_effect(sums, clusters)
    return Interval(None, reason=sums.undefined) if effect is None else interval_of(effect, scale, settings)


def quotient_interval(
    above: tuple[MoleculeSums, Clusters], below: tuple[MoleculeSums, Clusters], settings: IntervalSettings | None = None
) -> Interval:
    """One metric divided by another, such as the generalisation gap, with its interval.

    Fragments in both metrics are drawn together: one whose molecules are hard in both hardly changes the quotient.

    Args:
        above: Sums and clusters of the numerator.
        below: Sums and clusters of the denominator.
        settings: Settings of the interval; the default if `None`.
    """
    effects = []
    for sums, clusters in (above, below):
        effect = ratio_effect(sums, clusters)
        if effect is None:
            return Interval(None, reason=sums.undefined)
        effects.append(effect)
    found = quotient(*effects)
    return Interval(None, reason=DIVIDED_BY_ZERO) if found is None else interval_of(found, "log", settings)


def spearman_interval(
    centred: CentredEnergies, molecule_idx: IntArray, clusters: Clusters, settings: IntervalSettings | None = None
) -> Interval:
    """The rank correlation of relative energies, with its interval.

    Args:
        centred: Energies relative to their molecule's mean, length n_frames.
        molecule_idx: Index of the molecule of each frame, shape (n_frames,).
        clusters: Clusters of the molecules.
        settings: Settings of the interval; the default if `None`.
    """
    if centred.no_order is not None:
        return Interval(None, reason=centred.no_order)
    effect = weighted_effect(lambda weights: _spearman(centred, molecule_idx, weights), clusters)
    return interval_of(effect, "fisher", settings)


def compare_models(
    first: MoleculeSums, second: MoleculeSums, clusters: Clusters, settings: IntervalSettings | None = None
) -> Comparison:
    """Compares two models by the same metric on the same frames, paired within clusters.

    Difficulty that both share cancels: the interval describes how the comparison would vary for other fragments.

    Args:
        first: Sums for the first model.
        second: Sums for the second model, molecules in the same order.
        clusters: Clusters of the molecules.
        settings: Settings of the interval; the default if `None`.

    Raises:
        DataError: If the weights differ, as they do for different frames.
    """
    if first.weight.shape != second.weight.shape or not np.array_equal(first.weight, second.weight):
        raise DataError(
            "the two models were not evaluated on the same frames; a paired comparison requires the same data set, "
            "edition and split, and no failed frames"
        )
    one, other = ratio_effect(first, clusters), ratio_effect(second, clusters)
    if one is None or other is None:
        undefined = Interval(None, reason=first.undefined)
        return Comparison(undefined, undefined)
    ratio = quotient_interval((first, clusters), (second, clusters), settings)
    return Comparison(interval_of(difference(one, other), "linear", settings), ratio)


@dataclass(frozen=True, slots=True)
class _ScaleFunctions:
    """Transformation to a scale, its inverse, its absolute derivative, and a test for values inside the scale."""

    to: Callable[[float], float]
    back: Callable[[float], float]
    derivative: Callable[[float], float]
    holds: Callable[[float], bool]


def _exp(x: float) -> float:
    """The exponential, limited to the largest finite number."""
    return math.exp(min(x, 700.0))


_SCALES: Final[Mapping[Scale, _ScaleFunctions]] = MappingProxyType(
    {
        "log": _ScaleFunctions(math.log, _exp, lambda v: 1.0 / v, lambda v: v > 0.0),
        "complement": _ScaleFunctions(
            lambda v: math.log(1.0 - v),
            lambda x: max(-1.0, 1.0 - _exp(x)),
            lambda v: 1.0 / (1.0 - v),
            lambda v: v < 1.0,
        ),
        "logit": _ScaleFunctions(
            lambda v: math.log(v / (1.0 - v)),
            lambda x: (1.0 + math.tanh(x / 2.0)) / 2.0,
            lambda v: 1.0 / (v * (1.0 - v)),
            lambda v: 0.0 < v < 1.0,
        ),
        "fisher": _ScaleFunctions(math.atanh, math.tanh, lambda v: 1.0 / (1.0 - v * v), lambda v: abs(v) < 1.0),
        "linear": _ScaleFunctions(lambda v: v, lambda x: x, lambda v: 1.0, lambda v: True),
    }
)


def _student(settings: IntervalSettings, n_clusters: int) -> float:
    # The quantile that `scipy.stats.t.ppf` returns, to the bit; that package takes three times as long to import.
    from scipy.special import stdtrit

    return float(stdtrit(n_clusters - 1, (1.0 + settings.confidence) / 2.0))


def _spearman(centred: CentredEnergies, molecule_idx: IntArray, weights: Float64Array) -> Float64Array:
    """The rank correlation under sets of weights of the molecules, shape (n_sets, n_molecules)."""
    kept = centred.informative
    columns, n_molecules = molecule_idx[kept], weights.shape[1]
    if n_molecules <= _MOMENTS_OF_MOLECULES:
        whole = bool(kept.all())  # then no copies are needed
        predicted, reference = (each if whole else each[kept] for each in (centred.predicted, centred.reference))
        return spearman_of_moments(rank_moments(predicted, reference, columns, n_molecules), weights)
    rankings = centred.rankings()
    rows = max(1, _CELLS_AT_ONCE // len(columns))
    starts = range(0, len(weights), rows)
    return np.concatenate([weighted_spearman(*rankings, weights[start : start + rows, columns]) for start in starts])
