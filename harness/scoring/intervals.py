"""Confidence intervals by bootstrap over molecules.

Frames of one molecule are correlated, so molecules are drawn with replacement and all frames of a
molecule go together (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and
13). A draw is only a count of copies for each molecule: a ratio then needs the sums of each
molecule, and a rank correlation weights, so nothing is ever copied. With few molecules a percentile
interval is somewhat too narrow, as any bootstrap is.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import DataError, ShapeError, UsageError
from harness.scoring.metric_terms import (
    CentredEnergies,
    Float64Array,
    Ratio,
    rank_moments,
    spearman_of_moments,
    weighted_spearman,
)

_CELLS_AT_ONCE: Final = 2**19
"""Resamples times frames that the rank correlation holds in memory: about 4 MB an array."""

_MOMENTS_OF_MOLECULES: Final = 128
"""Most molecules whose rank correlation is resampled by its moments (3 x 16 MB); beyond, frame by frame."""


@dataclass(frozen=True, slots=True)
class BootstrapSettings:
    """How intervals are made.

    Attributes:
        n_resamples: Resamples; 2,000 put the ends of a 95 % interval within about 6 % of a standard
            error of where endless resampling would, which more digits would not show.
        confidence: Share of the resamples inside an interval.
        seed: Seed of the draws.
    """

    n_resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_resamples < 1:
            raise UsageError(f"{self.n_resamples} bootstrap resamples; expected 1 or more")
        if not 0.0 < self.confidence < 1.0:
            raise UsageError(f"confidence {self.confidence}; expected a number between 0 and 1, such as 0.95")
        if self.seed < 0:
            raise UsageError(f"bootstrap seed {self.seed}; expected 0 or more")


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with its confidence interval.

    Attributes:
        value: The number over all molecules; `None` where it is undefined.
        low: Lower end; `None` where there is no interval.
        high: Upper end; `None` where there is no interval.
        reason: Why the number or its interval is missing; `None` where both are there.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


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


@dataclass(frozen=True, slots=True)
class Draws:
    """Molecules drawn with replacement, as the number of copies of each.

    Attributes:
        counts: Shape (n_resamples, n_molecules); each row sums to n_molecules.
        confidence: Share of the resamples inside an interval.
    """

    counts: Float64Array
    confidence: float

    @property
    def n_molecules(self) -> int:
        """How many molecules are drawn from."""
        return int(self.counts.shape[1])


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same molecules.

    Attributes:
        difference: Error of the first less that of the second, in the metric's unit.
        ratio: Error of the first divided by that of the second.
    """

    difference: Interval
    ratio: Interval


def draw_molecules(n_molecules: int, settings: BootstrapSettings, stream: int = 0) -> Draws:
    """Draws molecules with replacement, as many as there are, `settings.n_resamples` times.

    Args:
        n_molecules: How many molecules there are.
        settings: Number of resamples, confidence and seed.
        stream: Sets that must be drawn independently of each other, such as ID and OOD molecules,
            take different numbers; equal arguments always give equal draws.
    """
    if n_molecules == 0:
        return Draws(np.zeros((settings.n_resamples, 0)), settings.confidence)
    rng = np.random.default_rng([settings.seed, stream])
    counts = rng.multinomial(n_molecules, np.full(n_molecules, 1.0 / n_molecules), size=settings.n_resamples)
    return Draws(counts.astype(np.float64), settings.confidence)


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


def ratio_samples(sums: MoleculeSums, draws: Draws) -> Float64Array:
    """The metric in each resample, shape (n_resamples,); NaN where its weights sum to zero."""
    weight = draws.counts @ sums.weight
    samples = np.full(len(weight), np.nan)
    np.divide(draws.counts @ sums.numerator, weight, out=samples, where=weight > 0.0)
    return np.sqrt(samples) if sums.is_root else samples


def spearman_samples(centred: CentredEnergies, molecule_idx: IntArray, draws: Draws) -> Float64Array:
    """The rank correlation of relative energies in each resample; NaN where it is undefined.

    A molecule drawn twice contributes its frames twice, and they share their ranks.

    Args:
        centred: Energies relative to their molecule's mean, n_frames of them, some of which informative.
        molecule_idx: Number of the molecule of each frame, shape (n_frames,).
        draws: The draws.

    Returns:
        Correlations, shape (n_resamples,).
    """
    return _spearman(centred, molecule_idx, draws.counts)


def _spearman(centred: CentredEnergies, molecule_idx: IntArray, counts: Float64Array) -> Float64Array:
    """The rank correlation with so many copies of each molecule, for each row of counts."""
    kept = centred.informative
    columns, n_molecules = molecule_idx[kept], counts.shape[1]
    if n_molecules <= _MOMENTS_OF_MOLECULES:
        whole = bool(kept.all())  # without copies then
        predicted, reference = (each if whole else each[kept] for each in (centred.predicted, centred.reference))
        moments = rank_moments(predicted, reference, columns, n_molecules)
        return spearman_of_moments(moments, counts)
    rankings = centred.rankings()
    rows = max(1, _CELLS_AT_ONCE // len(columns))
    starts = range(0, len(counts), rows)
    return np.concatenate([weighted_spearman(*rankings, counts[start : start + rows, columns]) for start in starts])


def percentile_interval(value: float, samples: Float64Array, draws: Draws) -> Interval:
    """The interval between the outer percentiles of the resamples.

    Args:
        value: The number over all molecules.
        samples: The number in each resample, shape (n_resamples,); NaN where undefined.
        draws: The draws that the samples come from.

    Returns:
        The value with its interval; without one, and with the reason, where there is a single
        molecule or where the number is undefined in some of the resamples.
    """
    if draws.n_molecules < 2:
        return Interval(value, reason="no interval: there is one molecule, and resampling needs two or more")
    n_undefined = int(np.isnan(samples).sum())
    if n_undefined:
        return Interval(value, reason=f"no interval: undefined in {n_undefined} of {len(samples)} resamples")
    outside = (1.0 - draws.confidence) / 2.0
    low, high = np.quantile(samples, [outside, 1.0 - outside])
    return Interval(value, float(low), float(high))


def ratio_interval(sums: MoleculeSums, draws: Draws) -> Interval:
    """A metric that is a ratio, with its interval."""
    value = sums.value
    if value is None:
        return Interval(None, reason=sums.undefined)
    return percentile_interval(value, ratio_samples(sums, draws), draws)


def spearman_interval(centred: CentredEnergies, molecule_idx: IntArray, draws: Draws) -> Interval:
    """The rank correlation of relative energies, with its interval; arguments as for `spearman_samples`."""
    if centred.no_order is not None:
        return Interval(None, reason=centred.no_order)
    everything = np.ones((1, draws.n_molecules))
    value, *samples = _spearman(centred, molecule_idx, np.concatenate([everything, draws.counts]))
    return percentile_interval(float(value), np.array(samples), draws)


def quotient_interval(
    above: tuple[MoleculeSums, Draws],
    below: tuple[MoleculeSums, Draws],
) -> Interval:
    """One metric divided by another, each with its own draws, such as the generalisation gap.

    Independent draws make the two sets of molecules independent; the same draws make them paired.

    Args:
        above: Sums and draws of the metric that is divided.
        below: Sums and draws of the metric that it is divided by.
    """
    (above_sums, above_draws), (below_sums, below_draws) = above, below
    above_value, below_value = above_sums.value, below_sums.value
    if above_value is None:
        return Interval(None, reason=above_sums.undefined)
    if below_value is None:
        return Interval(None, reason=below_sums.undefined)
    if below_value == 0.0:
        return Interval(None, reason="the error to divide by is zero")
    denominator = ratio_samples(below_sums, below_draws)
    samples = np.full(len(denominator), np.nan)
    np.divide(ratio_samples(above_sums, above_draws), denominator, out=samples, where=denominator > 0.0)
    fewer = min(above_draws, below_draws, key=lambda draws: draws.n_molecules)
    return percentile_interval(above_value / below_value, samples, fewer)


def compare_models(first: MoleculeSums, second: MoleculeSums, draws: Draws) -> Comparison:
    """Compares two models by the same metric on the same frames, paired by molecule.

    Every resample holds the same molecules for both, so what is hard for both cancels.

    Args:
        first: Sums of the first model.
        second: Sums of the second, molecules in the same order.
        draws: The draws.

    Raises:
        DataError: If the weights differ, which they do where the frames are not the same ones.
    """
    if first.weight.shape != second.weight.shape or not np.array_equal(first.weight, second.weight):
        raise DataError(
            "the two models were not measured on the same frames; a paired comparison needs the same data set, "
            "edition and split, and no failed frames"
        )
    first_value, second_value = first.value, second.value
    if first_value is None or second_value is None:
        undefined = Interval(None, reason=first.undefined)
        return Comparison(undefined, undefined)
    samples = ratio_samples(first, draws) - ratio_samples(second, draws)
    difference = percentile_interval(first_value - second_value, samples, draws)
    return Comparison(difference, quotient_interval((first, draws), (second, draws)))
