"""The metrics, as pure functions of arrays, computed in float64; units are eV and Å."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import DataError
from harness.scoring.metric_terms import (
    Float64Array,
    Ratio,
    centre_energies,
    centred_energy_terms,
    energy_per_atom_terms,
    force_cosine_left_out_terms,
    force_cosine_terms,
    force_fraction_terms,
    force_mae_terms,
    force_magnitude_terms,
    force_rmse_terms,
    raw_energy_terms,
    weighted_spearman,
    zero_force_terms,
)

SCORE_FLOOR: Final = 1.0e-3
"""eV/Å; the OOD force MAE for which the score of a task reaches 100."""

UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "force_mae": "eV/Å",
        "force_rmse": "eV/Å",
        "force_cosine": "1",
        "force_cosine_left_out": "1",
        "force_magnitude_mae": "eV/Å",
        "force_error_fraction": "1",
        "centred_energy_mae": "eV",
        "centred_energy_spearman": "1",
        "energy_mae_per_atom": "eV/atom",
        "raw_energy_mae": "eV",
    }
)
"""Every metric of a split and its unit; `1` for dimensionless metrics."""


def force_mae(predicted: FloatArray, reference: FloatArray) -> float:
    """Mean absolute error over force components.

    Args:
        predicted: Forces, shape (n_atoms, 3), eV/Å.
        reference: Same shape and unit.

    Returns:
        Error in eV/Å, pooled over all components.

    Raises:
        ShapeError: If a shape differs.
        DataError: If a number is not finite or there are no atoms.
    """
    return _required(force_mae_terms(predicted, reference))


def force_rmse(predicted: FloatArray, reference: FloatArray) -> float:
    """Root of the mean squared error over force components.

    Args:
        predicted: Forces, shape (n_atoms, 3), eV/Å.
        reference: Same shape and unit.

    Returns:
        Error in eV/Å, pooled over all components.

    Raises:
        ShapeError: If a shape differs.
        DataError: If a number is not finite or there are no atoms.
    """
    return _required(force_rmse_terms(predicted, reference))


def force_cosine(predicted: FloatArray, reference: FloatArray) -> float | None:
    """Mean cosine similarity of the force on each atom.

    An atom with a predicted or reference force shorter than `MIN_FORCE_LENGTH` has no direction to compare and is
    left out; `force_cosine_left_out` gives the fraction of such atoms.

    Args:
        predicted: Forces, shape (n_atoms, 3), eV/Å.
        reference: Same shape and unit.

    Returns:
        Between -1 and 1; `None` if every atom is left out, as for a model that predicts zero forces.

    Raises:
        ShapeError: If a shape differs.
        DataError: If a number is not finite.
    """
    return force_cosine_terms(predicted, reference).value


def force_cosine_left_out(predicted: FloatArray, reference: FloatArray) -> float:
    """Fraction of atoms that `force_cosine` leaves out.

    Args:
        predicted: Forces, shape (n_atoms, 3), eV/Å.
        reference: Same shape and unit.

    Returns:
        Between 0 and 1.

    Raises:
        ShapeError: If a shape differs.
        DataError: If a number is not finite or there are no atoms.
    """
    return _required(force_cosine_left_out_terms(predicted, reference))


def force_magnitude_mae(predicted: FloatArray, reference: FloatArray) -> float:
    """Mean absolute error of the length of the force on each atom.

    Args:
        predicted: Forces, shape (n_atoms, 3), eV/Å.
        reference: Same shape and unit.

    Returns:
        Error in eV/Å.

    Raises:
        ShapeError: If a shape differs.
        DataError: If a number is not finite or there are no atoms.
    """
    return _required(force_magnitude_terms(predicted, reference))


def zero_force_mae(reference: FloatArray) -> float:
    """Force MAE of a model that predicts zero forces: the mean absolute force component.

    Args:
        reference: Forces, shape (n_atoms, 3), eV/Å.

    Returns:
        The scale F0 in eV/Å.

    Raises:
        ShapeError: If the shape differs.
        DataError: If a number is not finite or there are no atoms.
    """
    return _required(zero_force_terms(reference))


def force_error_fraction(predicted: FloatArray, reference: FloatArray) -> float | None:
    """Force MAE divided by that of the zero-force baseline.

    Args:
        predicted: Forces, shape (n_atoms, 3), eV/Å.
        reference: Same shape and unit.

    Returns:
        0 for a perfect model, 1 for the baseline; `None` if every reference force is zero.

    Raises:
        ShapeError: If a shape differs.
        DataError: If a number is not finite.
    """
    return force_fraction_terms(predicted, reference).value


def raw_energy_mae(predicted: FloatArray, reference: FloatArray) -> float:
    """Mean absolute error of the total energy, without any shift.

    It mainly measures the zero of energy, not the model: report it, but never rank by it.

    Args:
        predicted: Total energies, shape (n_frames,), eV.
        reference: Same shape and unit.

    Returns:
        Error in eV.

    Raises:
        ShapeError: If a shape differs.
        DataError: If a number is not finite or there are no frames.
    """
    return _required(raw_energy_terms(predicted, reference))


def energy_mae_per_atom(shifted: FloatArray, reference: FloatArray, n_atoms: IntArray) -> float:
    """Mean over frames of the absolute error of the total energy per atom.

    Args:
        shifted: Predicted total energies including the reference shift, shape (n_frames,), eV.
        reference: Reference total energies, same shape and unit.
        n_atoms: Atoms of each frame, same shape.

    Returns:
        Error in eV/atom.

    Raises:
        ShapeError: If a shape differs.
        DataError: If a number is not finite, a frame has no atoms, or there are no frames.
    """
    return _required(energy_per_atom_terms(shifted, reference, n_atoms))


def centred_energy_mae(predicted: FloatArray, reference: FloatArray, molecule_idx: IntArray) -> float | None:
    """Mean absolute error of the energies relative to the mean of their molecule.

    Predictions and labels are centred by their own means over the frames of each molecule, so that no shift that
    depends only on the molecule matters. A molecule with a single frame would have an error of zero
    for any prediction; it is left out.

    Args:
        predicted: Total energies, shape (n_frames,), eV.
        reference: Same shape and unit.
        molecule_idx: Index of the molecule of each frame, same shape, from 0.

    Returns:
        Error in eV (per molecule, not per atom); `None` if no molecule has two frames.

    Raises:
        ShapeError: If a shape differs.
        DataError: If a number is not finite or an index is negative.
    """
    return centred_energy_terms(centre_energies(predicted, reference, molecule_idx)).value


def centred_energy_spearman(predicted: FloatArray, reference: FloatArray, molecule_idx: IntArray) -> float | None:
    """Spearman correlation of the energies relative to their molecule's mean, pooled over all frames.

    Centred as in `centred_energy_mae`; equal energies share their mean rank.

    Args:
        predicted: Total energies, shape (n_frames,), eV.
        reference: Same shape and unit.
        molecule_idx: Index of the molecule of each frame, same shape, from 0.

    Returns:
        Between -1 and 1; `None` if there is no order to compare: no molecule has two frames, or
        one variable is constant within every molecule (as for a model that sums energies of elements).

    Raises:
        ShapeError: If a shape differs.
        DataError: If a number is not finite or an index is negative.
    """
    centred = centre_energies(predicted, reference, molecule_idx)
    if centred.no_order is not None:
        return None
    ones = np.ones((1, int(centred.informative.sum())))
    predicted_ranking, reference_ranking = centred.rankings()
    return float(weighted_spearman(predicted_ranking, reference_ranking, ones)[0])


def task_score(ood_force_mae: float, ood_zero_force_mae: float) -> float:
    """Share of the decades between the zero-force baseline and 1 meV/Å that a model covers, from 0 to 100.

    `100 * clip(ln(F0/F) / ln(F0/0.001), 0, 1)`: 100 at or below `SCORE_FLOOR`, including F = 0; 0 at
    or above the zero-force baseline.

    Args:
        ood_force_mae: F, force MAE on OOD frames, eV/Å.
        ood_zero_force_mae: F0, force MAE of the zero-force baseline on the same frames, eV/Å.

    Returns:
        The score; higher is better.

    Raises:
        DataError: If F is negative or not finite, or F0 is not above `SCORE_FLOOR`.
    """
    if not np.isfinite(ood_force_mae) or ood_force_mae < 0.0:
        raise DataError(f"force MAE is {ood_force_mae} eV/Å; expected a finite, non-negative number")
    if not np.isfinite(ood_zero_force_mae) or ood_zero_force_mae <= SCORE_FLOOR:
        raise DataError(
            f"zero-force MAE is {ood_zero_force_mae} eV/Å; a score needs reference forces above {SCORE_FLOOR} eV/Å"
        )
    return float(task_scores(np.array([ood_force_mae]), np.array([ood_zero_force_mae]))[0])


def task_scores(ood_force_mae: Float64Array, ood_zero_force_mae: Float64Array) -> Float64Array:
    """`task_score` for many pairs at once; NaN if F0 is not above `SCORE_FLOOR`.

    Args:
        ood_force_mae: F, not negative, shape (n,), eV/Å.
        ood_zero_force_mae: F0, same shape and unit.

    Returns:
        Scores, shape (n,).
    """
    usable = ood_zero_force_mae > SCORE_FLOOR
    scale = np.where(usable, ood_zero_force_mae, np.nan)
    # An error below the floor scores 100 in any case; raising it to the floor avoids log(0).
    error = np.maximum(ood_force_mae, SCORE_FLOOR)
    scores: Float64Array = 100.0 * np.clip(np.log(scale / error) / np.log(scale / SCORE_FLOOR), 0.0, 1.0)
    return scores


def _required(ratio: Ratio) -> float:
    value = ratio.value
    if value is None:
        raise DataError(f"metric over no data ({ratio.undefined}); expected at least one frame")
    return value
