"""The power law OOD = a ID^b of a training, with intervals for other fragments."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import DataError
from harness.scoring.influences import Effect, combined, logarithm
from harness.scoring.intervals import Interval, interval_of

ERROR_RANGE: Final = 4.0
"""Only checkpoints whose ID error is at most this many times the smallest are fitted: a network that has learned little
errs on all molecules alike, which says nothing about the end of the training."""

LATE_RANGE: Final = 2.0
"""The same for a second fit, of the end of a training, which differs where the curve is no straight line."""

MIN_POINTS: Final = 4


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """OOD = a ID^b, fitted by least squares to the logarithms.

    Attributes:
        exponent: b; below 1, the gap widens as the ID error falls.
        gap: The gap that follows at the ID error asked for.
        factor: a, in the unit of the errors to the power of 1 - b.
        n_points: Number of checkpoints.
        deviation: Root mean square of the deviations of ln OOD from the line.
    """

    exponent: Interval
    gap: Interval
    factor: float
    n_points: int
    deviation: float


def power_law(points: Sequence[tuple[Effect, Effect]], at: float, error_range: float = ERROR_RANGE) -> PowerLaw:
    """Fits the checkpoints of a training, and extrapolates to an ID error.

    The checkpoints are measured on the same molecules. The influence of a fragment on the exponent is the sum of its
    influences on all errors, each times the derivative of the exponent (delta method), so the errors of a fragment that
    is hard at all checkpoints shift the line and not its slope.

    Args:
        points: ID and OOD error of each checkpoint, positive.
        at: ID error for which the gap is extrapolated, in the unit of the errors.
        error_range: Largest ID error of a checkpoint that is fitted, as a multiple of the smallest.

    Raises:
        DataError: If fewer than `MIN_POINTS` checkpoints are in this range.
    """
    line = fitted_line(points, error_range)
    gap = math.exp(line.at(math.log(at)).value - math.log(at))
    return PowerLaw(
        exponent=interval_of(line.slope, "linear"),
        gap=interval_of(combined(gap, (line.at(math.log(at)), gap)), "log"),
        factor=math.exp(line.at(0.0).value),
        n_points=len(line.points),
        deviation=line.deviation,
    )


@dataclass(frozen=True, slots=True)
class Line:
    """The least-squares line through the logarithms of ID and OOD errors.

    Attributes:
        points: The logarithms that were fitted.
        slope: Its slope, with influences.
        deviation: Root mean square of the deviations of ln OOD from the line.
    """

    points: tuple[tuple[Effect, Effect], ...]
    slope: Effect
    deviation: float

    def at(self, log_known: float) -> Effect:
        """ln OOD at a logarithm of the ID error, which counts as known exactly."""
        x, y = _values(self.points)
        beyond, share = log_known - float(x.mean()), 1.0 / len(self.points)
        return combined(
            float(y.mean()) + self.slope.value * beyond,
            (self.slope, beyond),
            *((known, -share * self.slope.value) for known, _ in self.points),
            *((ood, share) for _, ood in self.points),
        )


def fitted_line(points: Sequence[tuple[Effect, Effect]], error_range: float = ERROR_RANGE) -> Line:
    """Fits the line; arguments and errors are those of `power_law`."""
    smallest = min(known.value for known, _ in points)
    chosen = tuple((logarithm(known), logarithm(ood)) for known, ood in points if known.value <= error_range * smallest)
    if len(chosen) < MIN_POINTS:
        raise DataError(
            f"{len(chosen)} checkpoints with an ID error of at most {error_range:g} times the smallest; expected "
            f"{MIN_POINTS} or more. Train with more --validations"
        )
    x, y = _values(chosen)
    from_mean = x - x.mean()
    spread = float(from_mean @ from_mean)
    slope = float(from_mean @ y) / spread
    residuals = y - y.mean() - slope * from_mean
    by_ood = from_mean / spread
    by_known = (residuals - slope * from_mean) / spread
    exponent = combined(slope, *_terms(chosen, by_known, by_ood))
    return Line(chosen, exponent, math.sqrt(float(np.mean(residuals**2))))


def _values(points: Sequence[tuple[Effect, Effect]]) -> tuple[FloatArray, FloatArray]:
    x, y = np.array([[known.value, ood.value] for known, ood in points]).T
    return x, y


def _terms(
    points: Sequence[tuple[Effect, Effect]], by_known: np.ndarray, by_ood: np.ndarray
) -> list[tuple[Effect, float]]:
    return [
        (effect, float(derivative))
        for pair, derivatives in zip(points, zip(by_known, by_ood, strict=True), strict=True)
        for effect, derivative in zip(pair, derivatives, strict=True)
    ]
