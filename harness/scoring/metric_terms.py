"""The terms of the metrics, so that they can be summed and weighted by molecule.

Most metrics are a sum over atoms or frames divided by a sum of weights, a `Ratio`. The rank
correlation needs a `Ranking` of each variable. `metrics` turns both into numbers and `intervals` into
confidence intervals, by the same arithmetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from dataset_builders.core.arrays import FloatArray, IntArray, require_finite, require_shape
from dataset_builders.core.errors import DataError

Float64Array: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

MIN_FORCE_LENGTH: Final = 1.0e-3
"""eV/Å; shorter forces have no meaningful direction (labels are accurate to about 3e-5 eV/Å)."""

_VALUES_AT_ONCE: Final = 4096
"""Maximum number of values whose ranks are in memory at once: at most 4 MB."""

_NO_ATOMS: Final = "there are no atoms"
_NO_FRAMES: Final = "there are no frames"
_NO_PAIRS: Final = "no molecule has two frames, so there are no relative energies"


@dataclass(frozen=True, slots=True)
class Ratio:
    """A metric of the form sum(numerator) / sum(weight), or the square root of it.

    Attributes:
        numerator: One term per atom or frame, shape (n_terms,).
        weight: Weight of each term, same shape, not negative.
        undefined: Why there is no value if the weights sum to zero.
        is_root: Whether the metric is the square root of the ratio.
    """

    numerator: Float64Array
    weight: Float64Array
    undefined: str
    is_root: bool = False

    @property
    def value(self) -> float | None:
        """The metric over all terms; `None` if the weights sum to zero."""
        total = float(self.weight.sum())
        if total == 0.0:
            return None
        ratio = float(self.numerator.sum()) / total
        return ratio**0.5 if self.is_root else ratio


@dataclass(frozen=True, slots=True)
class CentredEnergies:
    """Predicted and reference energies, each relative to the mean of its molecule.

    Attributes:
        predicted: Shape (n_frames,), eV.
        reference: Same shape and unit.
        informative: False for the single frame of a molecule, whose relative energy is zero by
            construction; shape (n_frames,).
    """

    predicted: Float64Array
    reference: Float64Array
    informative: BoolArray

    def slice(self, frames: slice) -> "CentredEnergies":
        """A range of the frames."""
        return CentredEnergies(self.predicted[frames], self.reference[frames], self.informative[frames])

    @property
    def no_order(self) -> str | None:
        """Why a rank correlation is undefined; `None` if it is defined."""
        if not self.informative.any():
            return _NO_PAIRS
        for name, energy in (("predicted", self.predicted), ("reference", self.reference)):
            if np.ptp(energy[self.informative]) == 0.0:
                return f"the {name} energies are constant within every molecule"
        return None

    def rankings(self) -> tuple["Ranking", "Ranking"]:
        """Rankings of the informative frames by predicted and by reference energy."""
        return rank(self.predicted[self.informative]), rank(self.reference[self.informative])


@dataclass(frozen=True, slots=True)
class Ranking:
    """An order of values with ties, prepared for ranking under many sets of weights.

    Attributes:
        order: Indices of the values in ascending order, shape (n,).
        bounds: Start of each group of equal values in that order, and the end, shape (n_groups + 1,).
        group: Group of each value, in input order, shape (n,).
    """

    order: IntArray
    bounds: IntArray
    group: IntArray


def force_mae_terms(predicted: FloatArray, reference: FloatArray) -> Ratio:
    """Terms of the force MAE, one per atom: the sum of its three absolute errors, weight 3."""
    error = _force_difference(predicted, reference)
    return Ratio(np.abs(error).sum(axis=1), np.full(len(error), 3.0), _NO_ATOMS)


def force_rmse_terms(predicted: FloatArray, reference: FloatArray) -> Ratio:
    """Terms of the force RMSE, one per atom: the sum of its three squared errors, weight 3."""
    error = _force_difference(predicted, reference)
    return Ratio((error**2).sum(axis=1), np.full(len(error), 3.0), _NO_ATOMS, is_root=True)


def force_cosine_terms(predicted: FloatArray, reference: FloatArray) -> Ratio:
    """Terms of the cosine similarity, one per atom; weight 0 if a force is too short to have a direction."""
    _force_difference(predicted, reference)
    predicted, reference = _float64(predicted), _float64(reference)
    lengths = np.linalg.norm(predicted, axis=1) * np.linalg.norm(reference, axis=1)
    kept = ~_too_short(predicted, reference)
    dots = np.einsum("ij,ij->i", predicted, reference)
    cosine = np.divide(dots, lengths, out=np.zeros(len(dots)), where=kept)
    reason = f"no atom has a predicted and a reference force of {MIN_FORCE_LENGTH} eV/Å or more"
    # Rounding may carry the cosine of parallel forces past 1 by one unit in the last place.
    return Ratio(np.clip(cosine, -1.0, 1.0), kept.astype(np.float64), reason)


def force_cosine_left_out_terms(predicted: FloatArray, reference: FloatArray) -> Ratio:
    """Terms of the fraction of atoms that the cosine similarity leaves out, one per atom, weight 1."""
    _force_difference(predicted, reference)
    left_out = _too_short(_float64(predicted), _float64(reference))
    return Ratio(left_out.astype(np.float64), np.ones(len(left_out)), _NO_ATOMS)


def force_magnitude_terms(predicted: FloatArray, reference: FloatArray) -> Ratio:
    """Terms of the magnitude MAE, one per atom: the absolute error of the force's length, weight 1."""
    _force_difference(predicted, reference)
    error = np.linalg.norm(_float64(predicted), axis=1) - np.linalg.norm(_float64(reference), axis=1)
    return Ratio(np.abs(error), np.ones(len(error)), _NO_ATOMS)


def zero_force_terms(reference: FloatArray) -> Ratio:
    """Terms of the MAE of the zero-force baseline."""
    return force_mae_terms(np.zeros(np.shape(reference)), reference)


def force_fraction_terms(predicted: FloatArray, reference: FloatArray) -> Ratio:
    """Terms of force MAE divided by zero-force MAE: the weights are equal, so the numerators remain."""
    error, scale = force_mae_terms(predicted, reference), zero_force_terms(reference)
    return Ratio(error.numerator, scale.numerator, "every reference force is zero")


def force_terms(predicted: FloatArray, reference: FloatArray) -> dict[str, Ratio]:
    """Terms of every force metric and of the zero-force baseline, by name; one term per atom."""
    return {
        "force_mae": force_mae_terms(predicted, reference),
        "force_rmse": force_rmse_terms(predicted, reference),
        "force_cosine": force_cosine_terms(predicted, reference),
        "force_cosine_left_out": force_cosine_left_out_terms(predicted, reference),
        "force_magnitude_mae": force_magnitude_terms(predicted, reference),
        "force_error_fraction": force_fraction_terms(predicted, reference),
        "zero_force_mae": zero_force_terms(reference),
    }


def raw_energy_terms(predicted: FloatArray, reference: FloatArray) -> Ratio:
    """Terms of the raw energy MAE, one per frame, weight 1."""
    error = np.abs(_energy_difference(predicted, reference))
    return Ratio(error, np.ones(len(error)), _NO_FRAMES)


def energy_per_atom_terms(shifted: FloatArray, reference: FloatArray, n_atoms: IntArray) -> Ratio:
    """Terms of the energy MAE per atom, one per frame, weight 1; `shifted` includes the reference shift."""
    error = np.abs(_energy_difference(shifted, reference))
    require_shape("n_atoms", n_atoms, (len(error),))
    if np.any(n_atoms < 1):
        raise DataError(f"n_atoms is {int(n_atoms.min())}; expected at least one atom in every frame")
    return Ratio(error / n_atoms, np.ones(len(error)), _NO_FRAMES)


def centred_energy_terms(centred: CentredEnergies) -> Ratio:
    """Terms of the centred energy MAE, one per frame; weight 0 for the single frame of a molecule."""
    error = np.abs(centred.predicted - centred.reference)
    return Ratio(error * centred.informative, centred.informative.astype(np.float64), _NO_PAIRS)


def centre_energies(predicted: FloatArray, reference: FloatArray, molecule_idx: IntArray) -> CentredEnergies:
    """Centres predictions and labels by their own means over the frames of each molecule.

    Args:
        predicted: Total energies, shape (n_frames,), eV.
        reference: Same shape and unit.
        molecule_idx: Index of the molecule of each frame, same shape, integers from 0.

    Raises:
        ShapeError: If the shapes differ.
        DataError: If an energy is not finite, or an index is negative or not an integer.
    """
    _require_energies(predicted, reference)
    require_shape("molecule_idx", molecule_idx, (len(predicted),))
    if not np.issubdtype(molecule_idx.dtype, np.integer) or molecule_idx.min(initial=0) < 0:
        raise DataError(
            f"molecule_idx is of type {molecule_idx.dtype} with minimum {molecule_idx.min(initial=0)}; expected "
            "non-negative integers"
        )
    n_frames = np.bincount(molecule_idx)
    return CentredEnergies(
        _centre(_float64(predicted), molecule_idx, n_frames),
        _centre(_float64(reference), molecule_idx, n_frames),
        n_frames[molecule_idx] >= 2,
    )


def rank(values: Float64Array) -> Ranking:
    """Prepares the ranking of values, shape (n,), n >= 1; equal values form one group."""
    order = np.argsort(values, kind="stable")
    begins = np.concatenate([[True], np.diff(values[order]) > 0.0])
    group = np.empty(len(values), dtype=np.int64)
    group[order] = np.cumsum(begins) - 1
    return Ranking(order, np.append(np.flatnonzero(begins), len(values)), group)


def weighted_spearman(first: Ranking, second: Ranking, weights: Float64Array) -> Float64Array:
    """Spearman correlation under many sets of weights.

    An integer weight is a number of copies: the result equals that of the sample in which each value is
    repeated as often as its weight, and ties share their mean rank. It is smooth between integers.

    Args:
        first: Ranking of one variable, n values.
        second: Ranking of the other, n values in the same order.
        weights: Not negative, shape (n_sets, n).

    Returns:
        Correlations, shape (n_sets,); NaN if one variable is constant among the values of weight > 0.
    """
    mean_rank = (weights.sum(axis=1, keepdims=True) + 1.0) / 2.0
    first_rank = _weighted_ranks(first, weights) - mean_rank
    second_rank = _weighted_ranks(second, weights) - mean_rank
    covariance = np.einsum("sn,sn,sn->s", weights, first_rank, second_rank)
    # Ranks are multiples of one half, so the variance of a constant variable is exactly zero.
    variances = np.einsum("sn,sn,sn->s", weights, first_rank, first_rank) * np.einsum(
        "sn,sn,sn->s", weights, second_rank, second_rank
    )
    correlation = np.full(len(weights), np.nan)
    np.divide(covariance, np.sqrt(variances), out=correlation, where=variances > 0.0)
    bounded: Float64Array = np.clip(correlation, -1.0, 1.0)
    return bounded


def _weighted_ranks(ranking: Ranking, weights: Float64Array) -> Float64Array:
    below = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights[:, ranking.order], axis=1, out=below[:, 1:])
    mean_rank = (below[:, ranking.bounds[:-1]] + below[:, ranking.bounds[1:]] + 1.0) / 2.0
    ranks: Float64Array = mean_rank[:, ranking.group]
    return ranks


@dataclass(frozen=True, slots=True)
class RankMoments:
    """Products of the ranks of two variables, summed by molecule; they determine every weighted rank correlation.

    If molecule p has weight w_p, the rank of a value minus the mean rank is sum_p w_p a_p, where a_p is the number
    of values of p below it, plus half of those equal to it, minus half of all values of p. The covariance is then
    sum_mpq w_m w_p w_q M_mpq, with M_mpq the sum of a_p b_q over the values of m, for any number of values.

    Attributes:
        covariance: M, shape (n_molecules, n_molecules, n_molecules).
        first: The same, with both ranks from the first variable.
        second: The same, with both ranks from the second variable.
    """

    covariance: Float64Array
    first: Float64Array
    second: Float64Array


def rank_moments(first: Float64Array, second: Float64Array, molecule_idx: IntArray, n_molecules: int) -> RankMoments:
    """Sums the moments of two variables, shape (n_values,); memory grows with the cube of `n_molecules`."""
    own = [np.flatnonzero(molecule_idx == molecule).astype(np.int32) for molecule in range(n_molecules)]
    in_order = [[np.sort(values[rows]) for rows in own] for values in (first, second)]
    moments = np.zeros((3, n_molecules, n_molecules, n_molecules))
    for molecule, rows in enumerate(own):
        for start in range(0, len(rows), _VALUES_AT_ONCE):
            some = rows[start : start + _VALUES_AT_ONCE]
            a, b = _centred_ranks(first[some], in_order[0]), _centred_ranks(second[some], in_order[1])
            moments[:, molecule] += a.T @ b, a.T @ a, b.T @ b
    return RankMoments(*moments)


def spearman_of_moments(moments: RankMoments, weights: Float64Array) -> Float64Array:
    """Spearman correlation under many sets of weights of molecules, as in `weighted_spearman`.

    Args:
        moments: Moments of the two variables.
        weights: Not negative, shape (n_sets, n_molecules).

    Returns:
        Correlations, shape (n_sets,); NaN if one variable is constant among the values of weight > 0.
    """
    covariance, first, second = (
        _cubic_form(moment, weights) for moment in (moments.covariance, moments.first, moments.second)
    )
    # Multiples of 1/4, so a constant variable gives exactly zero, or a rounding error beyond some 10^5 values.
    negligible = 1e-13 * np.maximum(first, second)
    correlation = np.full(len(weights), np.nan)
    varied = np.minimum(first, second) > negligible
    np.divide(covariance, np.sqrt(first * second, where=varied, out=np.ones_like(first)), out=correlation, where=varied)
    bounded: Float64Array = np.clip(correlation, -1.0, 1.0)
    return bounded


def _centred_ranks(values: Float64Array, sorted_by_molecule: Sequence[Float64Array]) -> Float64Array:
    """Values of each molecule below each value, plus half of ties, minus half of all; shape (n_values, n_molecules)."""
    columns = [
        (np.searchsorted(part, values, "left") + np.searchsorted(part, values, "right") - len(part)) / 2.0
        for part in sorted_by_molecule
    ]
    return np.stack(columns, axis=1)


def _cubic_form(moment: Float64Array, weights: Float64Array) -> Float64Array:
    """sum_mpq w_m w_p w_q M_mpq for each set of weights, in blocks of sets."""
    n = weights.shape[1]
    flat = moment.reshape(n, n * n)
    rows = max(1, 2**20 // (n * n))
    parts = []
    for start in range(0, len(weights), rows):
        some = weights[start : start + rows]
        inner = (some @ flat).reshape(len(some), n, n)
        parts.append(np.einsum("sp,sp->s", np.einsum("spq,sq->sp", inner, some), some))
    return np.concatenate(parts)


def _centre(energy: Float64Array, molecule_idx: IntArray, n_frames: IntArray) -> Float64Array:
    # First relative to the lowest energy, then to the mean: equal energies give exact zeros, so that a constant
    # prediction is recognised as constant instead of being ranked by its rounding errors.
    lowest = np.full(len(n_frames), np.inf)
    np.minimum.at(lowest, molecule_idx, energy)
    centred: Float64Array = energy - lowest[molecule_idx]
    mean = np.bincount(molecule_idx, centred, len(n_frames)) / np.maximum(n_frames, 1)
    centred -= mean[molecule_idx]
    return centred


def _too_short(predicted: Float64Array, reference: Float64Array) -> BoolArray:
    shorter = np.minimum(np.linalg.norm(predicted, axis=1), np.linalg.norm(reference, axis=1))
    too_short: BoolArray = shorter < MIN_FORCE_LENGTH
    return too_short


def _force_difference(predicted: FloatArray, reference: FloatArray) -> Float64Array:
    require_shape("reference forces", reference, (None, 3))
    require_shape("predicted forces", predicted, (len(reference), 3))
    require_finite("reference forces", reference)
    require_finite("predicted forces", predicted)
    return _float64(predicted) - _float64(reference)


def _energy_difference(predicted: FloatArray, reference: FloatArray) -> Float64Array:
    _require_energies(predicted, reference)
    return _float64(predicted) - _float64(reference)


def _require_energies(predicted: FloatArray, reference: FloatArray) -> None:
    require_shape("reference energies", reference, (None,))
    require_shape("predicted energies", predicted, (len(reference),))
    require_finite("reference energies", reference)
    require_finite("predicted energies", predicted)


def _float64(array: FloatArray) -> Float64Array:
    return np.asarray(array, dtype=np.float64)
