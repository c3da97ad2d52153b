"""Confidence intervals for other fragments and molecules drawn like those measured, by linearisation.

Errors of molecules with a fragment in common are alike, so what counts is how many fragments there are and not how many
molecules. Each number is written with the influence of each molecule on it, its derivative by the molecule's weight
(Hampel et al., Robust Statistics, 1986; the infinitesimal jackknife). The influences of the molecules of a fragment,
of ID and OOD alike, are added up, and the spread of these sums between G fragments gives the standard error: a
cluster-robust one (Cameron and Miller, J. Hum. Resour. 50, 317, 2015). A molecule with two drawn fragments counts in
both, which is the jackknife of a U-statistic (Arvesen, Ann. Math. Stat. 40, 2076, 1969) and robust for dyads (Aronow,
Samii and Assenova, Polit. Anal. 23, 564, 2015). The interval is that of Student's t with G - 1 degrees of freedom, for
errors and their ratios on the log scale. `python -m tests.benchmarks.coverage` measures how often it covers the truth.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from dataset_builders.core.arrays import IntArray, require_shape
from dataset_builders.core.errors import DataError, ShapeError, UsageError
from harness.scoring.clusters import Clusters
from harness.scoring.metric_terms import (
    CentredEnergies,
    Float64Array,
    Ratio,
    rank_moments,
    spearman_of_moments,
    weighted_spearman,
)

MIN_CLUSTERS: Final = 3
"""Fewest clusters that an interval is given for."""

MIN_CLUSTERS_OF_PAIRS: Final = 5
"""The same where molecules are pairs of drawn fragments: with fewer, the interval of a gap covers more than it says."""

FEW_CLUSTERS: Final = 6
"""With fewer, the values of the clusters are shown beside the interval, which is wide and leans on their normality."""

Scale = Literal["log", "complement", "logit", "fisher", "linear"]
"""On which scale an interval is symmetric: that of ln v, ln(1 - v), ln(v / (1 - v)), artanh v, or v itself."""

DIVIDED_BY_ZERO: Final = "the error to divide by is zero"

_STEP: Final = 1e-4
"""By how much the weight of a molecule is changed to see its influence; the error is of the order of its square."""

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
class MoleculeSums:
    """A `Ratio` summed up by molecule.

    Attributes:
        numerator: Shape (n_molecules,).
        weight: Same shape.
        undefined: Why there is no value when the weights sum to zero.
        is_root: Whether the metric is the square root of the ratio.
    """

    numerator: Float64Array
    weight: Float64Array
    undefined: str
    is_root: bool = False

    @property
    def value(self) -> float | None:
        """The metric over all molecules; `None` where the weights sum to zero."""
        return Ratio(self.numerator, self.weight, self.undefined, self.is_root).value

    def added(self, others: "MoleculeSums") -> "MoleculeSums":
        """The sums of these terms and of others of the same metric and molecules."""
        return replace(self, numerator=self.numerator + others.numerator, weight=self.weight + others.weight)

    def select(self, positions: IntArray) -> "MoleculeSums":
        """The sums of some of the molecules, by position."""
        return MoleculeSums(self.numerator[positions], self.weight[positions], self.undefined, self.is_root)


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """A number, and the influence of each molecule on it.

    Attributes:
        value: The number.
        influences: By part (split or subset): the derivative of the number by the weight of each molecule, shape
            (n_molecules,), in the unit of the number, and the clusters of these molecules.
    """

    value: float
    influences: Mapping[str, tuple[Float64Array, Clusters]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same molecules.

    Attributes:
        difference: Error of the first less that of the second, in the metric's unit.
        ratio: Error of the first divided by that of the second.
    """

    difference: Interval
    ratio: Interval


def sum_by_molecule(ratio: Ratio, molecule_idx: IntArray, n_molecules: int) -> MoleculeSums:
    """Sums the terms of a metric by molecule.

    Args:
        ratio: The terms, one an atom or a frame.
        molecule_idx: Number of the molecule of each term, shape (n_terms,), below `n_molecules`.
        n_molecules: How many molecules there are.

    Raises:
        ShapeError: If there is not one number for each term.
    """
    if molecule_idx.shape != ratio.numerator.shape:
        raise ShapeError(f"molecule_idx has shape {molecule_idx.shape}; expected {ratio.numerator.shape}, one a term")
    return MoleculeSums(
        np.bincount(molecule_idx, ratio.numerator, n_molecules).astype(np.float64),
        np.bincount(molecule_idx, ratio.weight, n_molecules).astype(np.float64),
        ratio.undefined,
        ratio.is_root,
    )


def ratio_effect(sums: MoleculeSums, clusters: Clusters) -> Effect | None:
    """A metric and the influence of each molecule on it; `None` where it is undefined.

    Pure in the sums: those of several seeds, averaged, give the interval of their mean.

    Raises:
        ShapeError: If the clusters are of another number of molecules.
    """
    require_shape("sums of molecules", sums.numerator, (clusters.n_molecules,))
    value = sums.value
    if value is None:
        return None
    ratio = value**2 if sums.is_root else value
    expected = ratio * sums.weight
    # What is part of the design has a level of its own, which is not drawn: its molecules vary about that one.
    fixed = clusters.is_fixed
    if sums.weight[fixed].sum() > 0.0:
        expected[fixed] = sums.numerator[fixed].sum() / sums.weight[fixed].sum() * sums.weight[fixed]
    influence = (sums.numerator - expected) / float(sums.weight.sum())
    if sums.is_root:
        influence = influence / (2.0 * value) if value > 0.0 else np.zeros_like(influence)
    return Effect(value, {clusters.part: (influence, clusters)})


def combined(value: float, *terms: tuple[Effect, float]) -> Effect:
    """A function of other numbers, by the delta method.

    Args:
        value: The function's.
        *terms: Each of the numbers, and the derivative of the function by it. What two of them say of one part is of
            the same molecules, so that it is paired.

    Raises:
        ShapeError: If it is not of as many molecules.
    """
    influences: dict[str, tuple[Float64Array, Clusters]] = {}
    for effect, derivative in terms:
        for part, (influence, clusters) in effect.influences.items():
            before = influences.get(part)
            if before is not None:
                require_shape(f"influences of {part}", influence, before[0].shape)
            scaled = derivative * influence
            influences[part] = (scaled if before is None else before[0] + scaled, clusters)
    return Effect(value, influences)


def quotient(above: Effect, below: Effect) -> Effect | None:
    """One number divided by another; `None` where that is zero."""
    if below.value == 0.0:
        return None
    value = above.value / below.value
    return combined(value, (above, 1.0 / below.value), (below, -value / below.value))


def difference(first: Effect, second: Effect) -> Effect:
    """One number less another."""
    return combined(first.value - second.value, (first, 1.0), (second, -1.0))


def mean_effect(effects: Sequence[Effect]) -> Effect:
    """The mean of some numbers, such as those of several seeds."""
    share = 1.0 / len(effects)
    return combined(sum(effect.value for effect in effects) * share, *((effect, share) for effect in effects))


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
    variance, n_clusters = _variance(effect)
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
    needed = _needed(effect)
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


def weighted_effect(statistic: Callable[[Float64Array], Float64Array], *parts: Clusters) -> Effect:
    """A number that is a smooth function of the weights of the molecules, by central differences.

    Args:
        statistic: The number under many sets of weights, shape (n_sets, n_molecules) to (n_sets,); molecules of all
            parts, one part after the other.
        *parts: Clusters of the molecules of each part.
    """
    n_molecules = sum(part.n_molecules for part in parts)
    ones, steps = np.ones((1, n_molecules)), _STEP * np.eye(n_molecules)
    value, *changed = statistic(np.concatenate([ones, ones + steps, ones - steps]))
    influence = np.subtract(*np.reshape(changed, (2, n_molecules))) / (2.0 * _STEP)
    pieces = np.split(influence, np.cumsum([part.n_molecules for part in parts])[:-1])
    return Effect(float(value), {part.part: (piece, part) for part, piece in zip(parts, pieces, strict=True)})


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
    effects = ratio_effect(first, clusters), ratio_effect(second, clusters)
    if effects[0] is None or effects[1] is None:
        undefined = Interval(None, reason=first.undefined)
        return Comparison(undefined, undefined)
    return Comparison(
        interval_of(difference(*effects), "linear", settings), quotient_interval((first, clusters), (second, clusters))
    )


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
            lambda v: math.log(1.0 - v), lambda x: 1.0 - _exp(x), lambda v: 1.0 / (1.0 - v), lambda v: v < 1.0
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


def _variance(effect: Effect) -> tuple[float, int]:
    """Variance of a number between draws, and how many clusters it stands on: those of the part with the fewest."""
    names = {name for _, clusters in effect.influences.values() for name in clusters.distinct}
    place = {name: position for position, name in enumerate(sorted(names))}
    totals, fixed, of_pairs, least, counts = np.zeros(len(place)), 0.0, 0.0, 0.0, []
    for influence, clusters in effect.influences.values():
        pairs = _pairs_of(influence, clusters)
        for own, of_molecule in zip(influence, clusters.names, strict=True):
            for name in of_molecule:
                totals[place[name]] += own if len(of_molecule) == 1 else pairs.share * own
        # Nothing of the design is drawn, but its molecules have conformers of their own.
        fixed += _spread_of_sum(influence[clusters.is_fixed])
        of_pairs, least = of_pairs + pairs.counted_twice, least + pairs.own
        counts.append(len(clusters.distinct))
    drawn = max(_spread_of_sum(totals) - of_pairs, least)
    return fixed + drawn, min((count for count in counts if count), default=0)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """What the molecules of a part with two drawn fragments, G in all, need beyond those with one.

    Attributes:
        share: Factor to their influences. Each of the other fragments stands in one of the pairs of a fragment, so that
            the sums over pairs are alike: of an effect u of a fragment they show u (G - 2) / (G - 1). The jackknife
            divides likewise.
        own: Variance of the number from what pairs have of their own, beyond both fragments.
        counted_twice: What is taken off since each pair stands in the sums of two fragments: half of what these overrate
            `own` by. All of it would be right on average, but its estimate varies: intervals covered 92 % then, 97 to
            98 % with nothing taken off, and 94 to 97 % with half.
    """

    share: float = 1.0
    own: float = 0.0
    counted_twice: float = 0.0


def _needed(effect: Effect) -> int:
    has_pairs = any(len(names) > 1 for _, clusters in effect.influences.values() for names in clusters.names)
    return MIN_CLUSTERS_OF_PAIRS if has_pairs else MIN_CLUSTERS


def _pairs_of(influence: Float64Array, clusters: Clusters) -> _Pairs:
    totals: dict[tuple[str, ...], float] = {}
    for own, names in zip(influence, clusters.names, strict=True):
        if len(names) > 1:
            totals[names] = totals.get(names, 0.0) + float(own)
    fragments = sorted({name for names in totals for name in names})
    n, n_pairs = len(fragments), len(totals)
    if n < MIN_CLUSTERS:
        return _Pairs()
    share = (n - 1.0) / (n - 2.0)
    stands_in = np.array([[name in names for name in fragments] for names in totals], dtype=np.float64)
    values = np.array(list(totals.values()))
    fitted, _, rank, _ = np.linalg.lstsq(stands_in, values)
    free = n_pairs - int(rank)
    if not free:
        return _Pairs(share)
    own = n_pairs * float(np.sum((values - stands_in @ fitted) ** 2)) / free
    return _Pairs(
        share, own, 0.5 * own * n / (n - 2.0)
    )  # own n / (n - 2) is what is overrated in a design of all pairs


def _spread_of_sum(terms: Float64Array) -> float:
    """Variance of the sum of n terms that are drawn independently; none is known of a single one."""
    n = len(terms)
    return 0.0 if n < 2 else float(n / (n - 1) * np.sum((terms - terms.mean()) ** 2))


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
