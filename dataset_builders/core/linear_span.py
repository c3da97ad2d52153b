"""Which counts follow from others: whether a vector is a linear combination of those that are known."""

from typing import Final

import numpy as np
import numpy.typing as npt

_SAME_COUNT: Final = 1e-6
"""Counts are whole numbers, so that rounding stays far below."""


def outside_span(known: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which columns are no linear combination of the known ones.

    Args:
        known: Counts, one column each, shape (n_kinds, n_known).
        wanted: Counts of the same kinds, shape (n_kinds, n_wanted).

    Returns:
        Shape (n_wanted,).
    """
    weights, *_ = np.linalg.lstsq(known, wanted)
    outside: npt.NDArray[np.bool_] = np.abs(known @ weights - wanted).max(axis=0, initial=0.0) > _SAME_COUNT
    return outside
