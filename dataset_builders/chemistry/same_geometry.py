"""Recognises geometries of a molecule that are the same but for motion, reflection, swapped atoms, or rounding.

A signature consists of interatomic distances at fixed ranks of their sorted list. If no distance of two geometries
differs by more than a tolerance, no entry of their signatures does.
"""

from typing import Final

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray

TOLERANCE: Final = 2e-3
"""Largest difference between distances of one geometry that was written twice, Å: coordinates with three decimals have
1.7e-3 at most. The two closest of 40 frames of a molecule of the mini edition differ by 0.035."""
_LENGTH: Final = 16
_AT_ONCE: Final = 4_000_000
"""Distances that are computed at once, to bound the memory."""


def signatures(positions: FloatArray) -> FloatArray:
    """Signatures of geometries.

    Args:
        positions: Shape (n_frames, n_atoms, 3), Å, finite.

    Returns:
        Shape (n_frames, at most 16), Å, float32.
    """
    n_frames, n_atoms = positions.shape[:2]
    first, second = np.triu_indices(n_atoms, 1)
    ranks = np.unique(np.linspace(0, max(len(first) - 1, 0), _LENGTH).round().astype(np.int64)) if len(first) else first
    found = np.empty((n_frames, len(ranks)), dtype=np.float32)
    step = max(1, _AT_ONCE // max(len(first), 1))
    for start in range(0, n_frames, step):
        part = positions[start : start + step].astype(np.float64)
        distances = np.linalg.norm(part[:, first] - part[:, second], axis=2)
        found[start : start + step] = np.minimum(np.sort(distances, axis=1)[:, ranks], np.finfo(np.float32).max)
    return found


def earlier_equals(signature: FloatArray) -> IntArray:
    """For each geometry of a molecule the index of an earlier one that is the same; -1 where there is none.

    Args:
        signature: Signatures, shape (n_frames, n).

    Returns:
        Indices, shape (n_frames,).
    """
    if not signature.shape[1]:
        return np.full(len(signature), -1, dtype=np.int64)
    # Equal points would all lie in one leaf of the tree of neighbours, which then compares each with all others.
    first = _first_equals(signature)
    is_first = first == np.arange(len(signature))
    earlier = np.where(is_first, -1, first)
    left = np.flatnonzero(is_first)
    # Each pass finds one neighbour of a geometry, so that a thousand copies of one take ten passes.
    while len(left) > 1:
        low, high = _close_pairs(signature[left])
        if not len(low):
            break
        earlier[left[high]] = left[low]
        left = np.delete(left, high)
    return earlier


def _first_equals(signature: FloatArray) -> IntArray:
    """For each signature the index of the first that is equal to the bit, which may be its own; shape (n_frames,)."""
    weights = np.random.default_rng(0).integers(2**64, size=signature.shape[1], dtype=np.uint64)
    keys = np.ascontiguousarray(signature, dtype=np.float32).view(np.uint32).astype(np.uint64) @ weights
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    found = first[group]
    # Two signatures may have one key by chance.
    return np.where((signature[found] == signature).all(axis=1), found, np.arange(len(signature)))


def _close_pairs(signature: FloatArray) -> tuple[IntArray, IntArray]:
    """Pairs of geometries that are the same, at least one for each that has such a neighbour."""
    from scipy.spatial import cKDTree

    distance, near = cKDTree(signature).query(signature, k=2, p=np.inf, distance_upper_bound=TOLERANCE)
    one, column = np.nonzero(np.isfinite(distance))
    other = near[one, column]
    apart = one != other
    return np.minimum(one, other)[apart], np.maximum(one, other)[apart]
