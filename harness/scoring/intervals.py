"""Confidence intervals for other fragments and molecules drawn like those measured.

Errors of molecules with a fragment in common are alike, so what counts is how many fragments there are and not how many
molecules: with G of them an interval is that of Student's t with G - 1 degrees of freedom, for errors and their ratios
on the log scale, about a cluster-robust standard error. `python -m tests.benchmarks.coverage` measures how often the
intervals cover the truth; docs/intervals.md has its table.
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
"""With fewer, the values of the clusters are shown beside the interval, which is wide and leans on their normality."""

Scale = Literal["log", "complement", "logit", "fisher", "linear"]
"""On which scale an interval is symmetric: that of ln v, ln(1 - v), ln(v / (1 - v)), artanh v, or v itself."""

DIVIDED_BY_ZERO: Final = "the error to divide by is zero"

_NO_SPREAD: Final = 1e-12
"""Standard error on its scale below which there is none but rounding."""

_CELLS_AT_ONCE: Final = 2**19
"""Sets of weights times frames that the rank correlation holds in memory: about 4 MB an array."""

_MOMENTS_OF_MOLECULES: Final = 128
"""Most molecules whose rank correlation is weighted by its moments (3 x 16 MB); beyond, frame by frame."""


@dataclass(frozen=True, slots=True)
class IntervalSettings:
    """How intervals are made.

    Attributes:
        confidence: How often an interval is to cover the number of the population.
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
        low: Lower end; `None` where there is no interval.
        high: Upper end; `None` where there is no interval.
        reason: Why the number or its interval is missing; `None` where both are there.
        n_clusters: How many clusters the interval stands on; `None` where the number is undefined.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    n_clusters: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same molecules.

    Attributes:
        difference: Error of the first less that of the second, in the metric's unit.
        ratio: Error of the first divided by that of the second.
    """

    difference: Interval
    ratio: Interval


def interval_of(effect: Effect, scale: Scale = "log", settings: IntervalSettings | None = None) -> Interval:
    """The number with its interval.

    Args:
        effect: The number and its influences.
        scale: On which scale the interval is symmetric.
        settings: The confidence; the default where `None`.

    Returns:
        The value with its interval; without one, and with the reason, where there are fewer than `MIN_CLUSTERS`
        clusters, where the value lies at the end of its scale, or where no two clusters differ.

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
        return Interval(
            value, reason="no interval: its molecules are part of the design, and none is drawn", n_clusters=0
        )
    needed = clusters_needed(effect)
    if n_clusters < needed:
        seen = f"{n_clusters} {kind}" if n_clusters == 1 else f"{n_clusters} {kind}s"
        reason = f"no interval: it stands on {seen}, and an interval needs {needed} or more"
        return Interval(value, reason=reason, n_clusters=n_clusters)
    on_scale = _SCALES[scale]
    if not on_scale.holds(value):
        return Interval(
            value, reason=f"no interval: the value is {value:g}, where its scale ends", n_clusters=n_clusters
        )
    error = math.sqrt(variance) * on_scale.derivative(value)
    if error < _NO_SPREAD:
        return Interval(value, reason=f"no interval: the {n_clusters} {kind}s do not differ", n_clusters=n_clusters)
    reach = _student(settings or IntervalSettings(), n_clusters) * error
    ends = sorted((on_scale.back(on_scale.to(value) - reach), on_scale.back(on_scale.to(value) + reach)))
    return Interval(value, ends[0], ends[1], n_clusters=n_clusters)


def ratio_interval(
    sums: MoleculeSums, clusters: Clusters, scale: Scale = "log", settings: IntervalSettings | None = None
) -> Interval:
    """A metric that is a ratio, with its interval."""
    effect = ratio_effect(sums, clusters)
    return Interval(None, reason=sums.undefined) if effect is None else interval_of(effect, scale, settings)


def quotient_interval(
    above: tuple[MoleculeSums, Clusters], below: tuple[MoleculeSums, Clusters], settings: IntervalSettings | None = None
) -> Interval:
    """One metric divided by another, such as the generalisation gap.

    Fragments that both have are drawn together: one whose molecules are hard in both hardly moves the quotient.

    Args:
        above: Sums and clusters of the metric that is divided.
        below: Sums and clusters of the metric that it is divided by.
        settings: The confidence; the default where `None`.
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
        centred: Energies relative to their molecule's mean, n_frames of them.
        molecule_idx: Number of the molecule of each frame, shape (n_frames,).
        clusters: Of the molecules.
        settings: The confidence; the default where `None`.
    """
    if centred.no_order is not None:
        return Interval(None, reason=centred.no_order)
    effect = weighted_effect(lambda weights: _spearman(centred, molecule_idx, weights), clusters)
    return interval_of(effect, "fisher", settings)


def compare_models(
    first: MoleculeSums, second: MoleculeSums, clusters: Clusters, settings: IntervalSettings | None = None
) -> Comparison:
    """Compares two models by the same metric on the same frames, paired within clusters.

    What is hard for both cancels: the interval is about what other fragments would say of the two.

    Args:
        first: Sums of the first model.
        second: Sums of the second, molecules in the same order.
        clusters: Of the molecules.
        settings: The confidence; the default where `None`.

    Raises:
        DataError: If the weights differ, which they do where the frames are not the same ones.
    """
    if first.weight.shape != second.weight.shape or not np.array_equal(first.weight, second.weight):
        raise DataError(
            "the two models were not measured on the same frames; a paired comparison needs the same data set, "
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
    """To a scale and back, the absolute derivative of it, and which values lie inside it."""

    to: Callable[[float], float]
    back: Callable[[float], float]
    derivative: Callable[[float], float]
    holds: Callable[[float], bool]


def _exp(x: float) -> float:
    """The exponential, as large as a number can be where it would be larger."""
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
    from scipy.stats import t  # takes a second to import

    return float(t.ppf((1.0 + settings.confidence) / 2.0, n_clusters - 1))


def _spearman(centred: CentredEnergies, molecule_idx: IntArray, weights: Float64Array) -> Float64Array:
    """The rank correlation under sets of weights of the molecules, shape (n_sets, n_molecules)."""
    kept = centred.informative
    columns, n_molecules = molecule_idx[kept], weights.shape[1]
    if n_molecules <= _MOMENTS_OF_MOLECULES:
        whole = bool(kept.all())  # without copies then
        predicted, reference = (each if whole else each[kept] for each in (centred.predicted, centred.reference))
        return spearman_of_moments(rank_moments(predicted, reference, columns, n_molecules), weights)
    rankings = centred.rankings()
    rows = max(1, _CELLS_AT_ONCE // len(columns))
    starts = range(0, len(weights), rows)
    return np.concatenate([weighted_spearman(*rankings, weights[start : start + rows, columns]) for start in starts])
