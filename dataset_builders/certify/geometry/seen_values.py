"""Values that training shows, by kind, in bounded memory: torsion angles by type, distances by pair of elements."""

from collections.abc import Hashable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from dataset_builders.core.arrays import FloatArray

Kind = TypeVar("Kind", bound=Hashable)


class SeenValues(Generic[Kind]):
    """Values of each kind, and the distance of other values to them.

    Of all values that fall into a bin, only the smallest and the largest are kept. So memory does not grow with the
    number of values, and distances of a bin width or more are still exact.

    Args:
        width: Width of a bin.
        end: Largest value that can be added; the smallest is 0.
    """

    def __init__(self, width: float, end: float) -> None:
        self._width = width
        self._n_bins = int(np.ceil(end / width))
        self._bins: dict[Kind, npt.NDArray[np.float64]] = {}
        self._kept: dict[Kind, npt.NDArray[np.float64]] = {}

    def __contains__(self, kind: Kind) -> bool:
        return kind in self._bins

    def add(self, kind: Kind, values: FloatArray) -> None:
        """Adds values, of any shape, of one kind; NaN, as the angles of coinciding atoms are, is left out."""
        flat = np.asarray(values, dtype=np.float64).ravel()
        flat = flat[~np.isnan(flat)]
        if not len(flat):
            return
        if kind not in self._bins:
            self._bins[kind] = np.full((2, self._n_bins), [[np.inf], [-np.inf]])
        places = np.minimum((flat / self._width).astype(np.int64), self._n_bins - 1)
        np.minimum.at(self._bins[kind][0], places, flat)
        np.maximum.at(self._bins[kind][1], places, flat)
        self._kept.pop(kind, None)

    def distances(self, kind: Kind, values: FloatArray) -> FloatArray:
        """Distance of each value to the nearest one of its kind, in the shape of the values.

        Distances below the bin width may come out too large, but not as large as the bin width; those above it are
        exact. Infinite if there is no value of the kind.
        """
        asked = np.asarray(values, dtype=np.float64)
        if kind not in self._bins:
            return np.full(asked.shape, np.inf)
        if kind not in self._kept:
            found = self._bins[kind]
            self._kept[kind] = np.unique(found[np.isfinite(found)])
        kept = self._kept[kind]
        above = np.searchsorted(kept, asked)
        to_above = np.abs(kept[np.minimum(above, len(kept) - 1)] - asked)
        to_below = np.abs(asked - kept[np.maximum(above - 1, 0)])
        nearest: FloatArray = np.minimum(to_above, to_below)
        return nearest
