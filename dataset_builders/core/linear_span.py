"""Tests whether vectors of counts are linear combinations of known ones."""

from typing import Final

import numpy as np
import numpy.typing as npt

_SAME_COUNT: Final = 1e-6
"""Counts are integers, so rounding errors stay far below."""


def outside_span(known: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Finds the columns that are not linear combinations of the known ones.

    Args:
        known: Counts, one column each, shape (n_kinds, n_known).
        wanted: Counts of the same kinds, shape (n_kinds, n_wanted).

    Returns:
        Shape (n_wanted,).
    """
    weights, *_ = np.linalg.lstsq(known, wanted, rcond=None)
    outside: npt.NDArray[np.bool_] = np.abs(known @ weights - wanted).max(axis=0, initial=0.0) > _SAME_COUNT
    return outside
