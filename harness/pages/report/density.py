"""Counts of predicted against reference values on a square grid, filled piece by piece."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import DataError
from harness.scoring.metric_terms import Float64Array

N_BINS: Final = 72

_STEPS: Final = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


@dataclass(frozen=True, slots=True)
class Density:
    """Pairs of values counted in bins.

    Attributes:
        limit: Both axes reach from -limit to limit, in the unit of the values.
        counts: Pairs by bin of the reference (rows) and of the prediction (columns), shape (N_BINS, N_BINS).
        n_beyond: Pairs whose prediction lies outside the axes; they are in no bin.
    """

    limit: float
    counts: IntArray
    n_beyond: int

    @classmethod
    def empty(cls, limit: float) -> "Density":
        """A grid without pairs."""
        return cls(limit, np.zeros((N_BINS, N_BINS), dtype=np.int64), 0)

    @property
    def bin_width(self) -> float:
        """Width of a bin."""
        return 2.0 * self.limit / N_BINS

    def added(self, reference: Float64Array, predicted: Float64Array) -> "Density":
        """The grid with more pairs, each of shape (n,).

        Raises:
            DataError: If a reference lies outside the axes.
        """
        row, column = (self._bins(values) for values in (reference, predicted))
        if not ((row >= 0) & (row < N_BINS)).all():
            seen = float(np.abs(reference).max())
            raise DataError(f"a reference value of {seen:g} lies outside the axes, which end at {self.limit:g}")
        inside = (column >= 0) & (column < N_BINS)
        flat = np.bincount(row[inside] * N_BINS + column[inside], minlength=N_BINS * N_BINS)
        return Density(self.limit, self.counts + flat.reshape(N_BINS, N_BINS), self.n_beyond + int((~inside).sum()))

    @property
    def n_pairs(self) -> int:
        """All pairs, those beyond the axes included."""
        return int(self.counts.sum()) + self.n_beyond

    def rows(self) -> list[dict[str, Any]]:
        """The bins that hold pairs: lower corner and count."""
        found = np.argwhere(self.counts > 0)
        lower = [round(-self.limit + place * self.bin_width, 6) for place in range(N_BINS)]
        return [{"x": lower[x], "y": lower[y], "n": int(self.counts[x, y])} for x, y in found.tolist()]

    def _bins(self, values: Float64Array) -> IntArray:
        # Values at the upper end belong to the last bin; wildly wrong ones must not overflow an integer.
        scaled = np.clip((values + self.limit) / self.bin_width, -1.0, N_BINS + 1.0)
        return np.where(values == self.limit, N_BINS - 1, np.floor(scaled).astype(np.int64))


def axis_limit(largest: float) -> float:
    """A round number at or above the largest magnitude, for the ends of an axis; 1 if everything is zero."""
    if largest <= 0.0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(step * power for step in _STEPS if step * power >= largest * (1.0 - 1e-12))
