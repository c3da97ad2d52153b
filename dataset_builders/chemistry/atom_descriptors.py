"""Atomic environment vectors (AEV) in NumPy, with the parameters of ANI-2x.

An AEV describes the neighbours of an atom by sums of radial and angular terms for each element and pair of elements. It
does not change when the molecule is moved, rotated or reflected.

Sources: Smith, Isayev and Roitberg, Chem. Sci. 8, 3192 (2017), equations 3 and 4; Devereux et al., J. Chem. Theory
Comput. 16, 4192 (2020), for the parameters.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from dataset_builders.core.arrays import FloatArray, IntArray, require_shape
from dataset_builders.core.errors import DataError

ELEMENTS: Final = (1, 6, 7, 8, 16, 9, 17)
"""Atomic numbers in the order of the features, which is that of ANI-2x."""

RADIAL_CUTOFF: Final = 5.1
ANGULAR_CUTOFF: Final = 3.5

_RADIAL_ETA: Final = 19.7
_RADIAL_SHIFTS: Final = np.linspace(0.8, RADIAL_CUTOFF, 17)[:-1]
_ANGULAR_ETA: Final = 12.5
_ZETA: Final = 14.1
_ANGULAR_SHIFTS: Final = np.linspace(0.8, ANGULAR_CUTOFF, 9)[:-1]
_ANGLES: Final = (np.arange(4) + 0.5) * math.pi / 4.0
_N_RADIAL: Final = len(_RADIAL_SHIFTS)
_N_ANGULAR: Final = len(_ANGULAR_SHIFTS) * len(_ANGLES)

N_FEATURES: Final = _N_RADIAL * len(ELEMENTS) + _N_ANGULAR * len(ELEMENTS) * (len(ELEMENTS) + 1) // 2
"""1008: 16 radial terms for each element, and 32 angular terms for each pair of elements."""

_ROWS: Final = 512
_SCORES_PER_BLOCK: Final = 1 << 23
_CANDIDATES: Final = 4
"""Candidates whose distance is computed exactly, since the search before it rounds."""


def atom_descriptors(atomic_numbers: IntArray, positions: FloatArray, atoms: IntArray) -> npt.NDArray[np.float32]:
    """The AEV of one atom of each of several frames of a molecule.

    Args:
        atomic_numbers: Shape (n_atoms,), each one of `ELEMENTS`.
        positions: Frames, shape (n_frames, n_atoms, 3), Å.
        atoms: Index of the atom in each frame, shape (n_frames,).

    Returns:
        Shape (n_frames, N_FEATURES), dimensionless.

    Raises:
        DataError: If an element is not one of `ELEMENTS`.
        ShapeError: If the shapes differ.
    """
    require_shape("positions", positions, (len(atoms), len(atomic_numbers), 3))
    unknown = sorted(set(np.asarray(atomic_numbers).tolist()) - set(ELEMENTS))
    if unknown:
        raise DataError(f"atomic number {unknown[0]}; expected one of {', '.join(map(str, sorted(ELEMENTS)))}")
    features = np.zeros((len(atoms), N_FEATURES), dtype=np.float32)
    for start in range(0, len(atoms), _ROWS):
        rows = slice(start, start + _ROWS)
        chosen = np.arange(len(atoms[rows]))
        arms = positions[rows].astype(np.float64)
        arms -= arms[chosen, atoms[rows]][:, None]
        distances = np.linalg.norm(arms, axis=2)
        distances[chosen, atoms[rows]] = np.inf  # the atom itself
        _add_radial(features[rows], atomic_numbers, distances)
        _add_angular(features[rows], atomic_numbers, arms, distances)
    return features


def _add_radial(features: npt.NDArray[np.float32], atomic_numbers: IntArray, distances: FloatArray) -> None:
    for place, element in enumerate(ELEMENTS):
        near = distances[:, atomic_numbers == element, None]
        terms = 0.25 * np.exp(-_RADIAL_ETA * (near - _RADIAL_SHIFTS) ** 2) * _cutoff(near, RADIAL_CUTOFF)
        features[:, place * _N_RADIAL : (place + 1) * _N_RADIAL] = terms.sum(axis=1)


def _add_angular(
    features: npt.NDArray[np.float32], atomic_numbers: IntArray, arms: FloatArray, distances: FloatArray
) -> None:
    close = distances < ANGULAR_CUTOFF
    for place, first, second in _pairs_by_elements(atomic_numbers):
        rows, columns = np.nonzero(close[:, first] & close[:, second])
        if len(rows):
            atoms = first[columns], second[columns]
            terms = _angular_terms(*(each[rows, atom] for each in (arms, distances) for atom in atoms))
            starts = np.flatnonzero(np.diff(rows, prepend=-1))  # rows are sorted
            offset = len(ELEMENTS) * _N_RADIAL + place * _N_ANGULAR
            features[rows[starts], offset : offset + _N_ANGULAR] = np.add.reduceat(terms, starts, axis=0)


def _pairs_by_elements(atomic_numbers: IntArray) -> Iterator[tuple[int, IntArray, IntArray]]:
    """The place of a pair of elements among the features, and all pairs of atoms of these elements."""
    order = np.array([ELEMENTS.index(number) for number in np.asarray(atomic_numbers).tolist()])
    first, second = np.triu_indices(len(order), 1)
    low, high = np.minimum(order[first], order[second]), np.maximum(order[first], order[second])
    places = low * len(ELEMENTS) - low * (low - 1) // 2 + high - low
    for place in np.unique(places):
        yield int(place), first[places == place], second[places == place]


def _angular_terms(
    arm: FloatArray, other_arm: FloatArray, distance: FloatArray, other_distance: FloatArray
) -> FloatArray:
    """Terms of pairs of neighbours, shape (n_pairs, 32); one at the place of the atom counts as perpendicular."""
    norm = distance * other_distance
    cosine = np.divide((arm * other_arm).sum(axis=1), norm, out=np.zeros_like(norm), where=norm > 0.0)
    angle = np.arccos(0.95 * cosine)  # 0.95 as in TorchANI, which so avoids the singularity of the gradient
    by_angle = ((1.0 + np.cos(angle[:, None] - _ANGLES)) / 2.0) ** _ZETA
    by_distance = np.exp(-_ANGULAR_ETA * (((distance + other_distance) / 2.0)[:, None] - _ANGULAR_SHIFTS) ** 2)
    weight = 2.0 * _cutoff(distance, ANGULAR_CUTOFF) * _cutoff(other_distance, ANGULAR_CUTOFF)
    terms: FloatArray = weight[:, None, None] * by_distance[:, :, None] * by_angle[:, None, :]
    return terms.reshape(len(distance), _N_ANGULAR)


def _cutoff(distances: FloatArray, cutoff: float) -> FloatArray:
    smooth: FloatArray = np.where(
        distances < cutoff, 0.5 * np.cos(math.pi * np.minimum(distances, cutoff) / cutoff) + 0.5, 0.0
    )
    return smooth


def nearest_distances(queries: npt.NDArray[np.float32], references: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Distance of each descriptor to the nearest reference, in bounded memory.

    Args:
        queries: Shape (n_queries, n_features).
        references: Shape (n_references, n_features).

    Returns:
        Euclidean distances, shape (n_queries,); infinite without references.

    Raises:
        ShapeError: If the numbers of features differ.
    """
    require_shape("queries", queries, (None, references.shape[1]))
    nearest = np.full(len(queries), np.inf)
    if not len(references):
        return nearest
    used = references.any(axis=0)  # other features add the same to the squared distances to all references
    centre = references[:, used].mean(axis=0)  # centred values lose less to rounding
    rows = references[:, used] - centre
    half_squares = (rows**2).sum(axis=1) / 2.0
    n_candidates = min(len(references), _CANDIDATES)
    step = max(1, _SCORES_PER_BLOCK // len(references))
    for start in range(0, len(queries), step):
        block = queries[start : start + step, used] - centre
        scores = half_squares - block @ rows.T
        candidates = np.argpartition(scores, n_candidates - 1, axis=1)[:, :n_candidates]
        squares = [((block.astype(np.float64) - rows[column]) ** 2).sum(axis=1) for column in candidates.T]
        others = (queries[start : start + step, ~used].astype(np.float64) ** 2).sum(axis=1)
        nearest[start : start + step] = np.sqrt(np.min(squares, axis=0) + others)
    return nearest
