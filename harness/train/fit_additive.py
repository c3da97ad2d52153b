"""Fits the additive force field: ridge regression on energies and forces of `train`, tuned on `validation`."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from dataset_builders.core.arrays import FloatArray
from harness.baselines.force_field.coordinates import internal_coordinates
from harness.baselines.force_field.energy_terms import atom_types_of, levels_of, origin_names
from harness.baselines.force_field.model import Design, ForceField, design_of, functions_by_type
from harness.baselines.force_field.topology import topology_of
from harness.data.rows import SplitRows

RIDGES: Final = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""Ridge strengths to choose from on `validation`. Coefficients are energies, in eV, of displacements by one spread, so
that one strength suits all; squared errors of energies (eV) and of force components (eV/Å) have equal weight."""

FINER: Final = 10.0
"""Factor of the ridge strength per level of finer types, so that they only describe what coarser types cannot.
On `validation` of all four tasks of the mini edition, this is slightly better than one strength for all."""

SMALLEST_SPREAD: Final = 0.01
"""Minimum spread of a bond (Å) or of the cosine of an angle, for small samples such as a single frame."""

_FRAMES_PER_DESIGN: Final = 32


@dataclass(frozen=True, slots=True)
class MoleculeFrames:
    """Labelled geometries of one molecule.

    Attributes:
        smiles: SMILES of the molecule.
        positions: Shape (n_frames, n_atoms, 3), Å.
        energy: Energies minus reference energies, shape (n_frames,), eV.
        forces: Shape (n_frames, n_atoms, 3), eV/Å.
    """

    smiles: str
    positions: FloatArray
    energy: FloatArray
    forces: FloatArray


@dataclass(frozen=True, slots=True)
class AdditiveFit:
    """A fitted additive force field.

    Attributes:
        coefficients: Coefficients by type, eV.
        origins: Mean and spread of bonds (Å) and angles (cosine), by name.
        ridge: Strength chosen on `validation`.
        validation_force_mae: Force MAE for each candidate strength, eV/Å.
    """

    coefficients: Mapping[str, FloatArray]
    origins: Mapping[str, FloatArray]
    ridge: float
    validation_force_mae: Mapping[float, float]


def frames_by_molecule(rows: SplitRows, reference: FloatArray) -> list[MoleculeFrames]:
    """Groups the rows of a split by molecule, in float64.

    Args:
        rows: Rows of a split.
        reference: Reference energy of each row, shape (n_rows,), eV.
    """
    frames = []
    for smiles in dict.fromkeys(rows.smiles):
        chosen = np.flatnonzero(rows.smiles == smiles)
        atoms = rows.offsets[chosen][:, None] + np.arange(rows.n_atoms[chosen[0]])
        positions, forces = (each[atoms].astype(np.float64) for each in (rows.positions, rows.forces))
        frames.append(MoleculeFrames(smiles, positions, (rows.energy - reference)[chosen], forces))
    return frames


def fit_additive(
    train: Sequence[MoleculeFrames], validation: Sequence[MoleculeFrames], ridges: Sequence[float] = RIDGES
) -> AdditiveFit:
    """Fits all coefficients jointly, coarse and fine, and keeps the ridge strength with the smallest force error.

    Args:
        train: Frames to fit.
        validation: Frames of the molecules of `train`, to choose the strength.
        ridges: Candidate strengths.

    Raises:
        ModelError: If `validation` contains a molecule that the terms of `train` do not describe.
    """
    origins = origins_of(train)
    equations = _normal_equations(train, origins)
    matrix = equations.matrix
    diagonal = np.diag_indices(len(matrix))
    plain = matrix[diagonal]
    errors: dict[float, float] = {}
    fields: dict[float, Mapping[str, FloatArray]] = {}
    for ridge in ridges:
        matrix[diagonal] = plain + ridge * equations.penalties
        solution = cho_solve(cho_factor(matrix, check_finite=False), equations.right_side)
        fields[ridge] = {name: solution[place] for name, place in equations.places.items()}
        errors[ridge] = _force_mae(ForceField(fields[ridge], origins), validation)
    best = min(errors, key=errors.__getitem__)
    return AdditiveFit(fields[best], origins, best, errors)


def origins_of(train: Sequence[MoleculeFrames]) -> dict[str, FloatArray]:
    """Mean and spread of each type of bond (Å) and angle (cosine) over the training frames, shape (2,) each."""
    seen: dict[str, list[FloatArray]] = defaultdict(list)
    for frames in train:
        values, _ = internal_coordinates(topology_of(frames.smiles), frames.positions)
        for number, name in enumerate(origin_names(frames.smiles)):
            seen[name].append(values[:, number])
    return {
        name: np.array([np.mean(values), max(float(np.std(values)), SMALLEST_SPREAD)])
        for name, values in ((name, np.concatenate(parts)) for name, parts in seen.items())
    }


@dataclass(frozen=True, slots=True)
class _Equations:
    """Indices of the coefficients of each type, their penalties, and the sums for least squares."""

    places: Mapping[str, slice]
    penalties: FloatArray
    matrix: FloatArray
    right_side: FloatArray


def _normal_equations(train: Sequence[MoleculeFrames], origins: Mapping[str, FloatArray]) -> _Equations:
    places: dict[str, slice] = {}
    size = 0
    for frames in train:
        for name, count in functions_by_type(frames.smiles).items():
            if name not in places:
                places[name] = slice(size, size + count)
                size += count
    penalties = np.empty(size)
    for frames in train:
        for name, level in levels_of(frames.smiles).items():
            penalties[places[name]] = FINER**level
    equations = _Equations(places, penalties, np.zeros((size, size)), np.zeros(size))
    for frames in train:
        for part in _in_parts(frames):
            _add(part, design_of(part.smiles, part.positions, origins), equations)
    return equations


def _in_parts(frames: MoleculeFrames) -> Iterator[MoleculeFrames]:
    """Yields a few frames at a time: a design matrix takes some megabytes a frame."""
    for start in range(0, len(frames.energy), _FRAMES_PER_DESIGN):
        part = slice(start, start + _FRAMES_PER_DESIGN)
        yield MoleculeFrames(frames.smiles, frames.positions[part], frames.energy[part], frames.forces[part])


def _add(frames: MoleculeFrames, design: Design, equations: _Equations) -> None:
    """Adds a few frames of a molecule to the sums, in place."""
    atom_types = atom_types_of(frames.smiles)
    first = {name: place.start for name, place in equations.places.items()}
    columns = zip(design.types, design.function, strict=True)
    wanted = [[first[name] + function for name in types] for types, function in columns]
    wanted += [[first[name]] for name in atom_types]
    used = np.unique(np.concatenate(wanted))
    shares = np.zeros((len(wanted), len(used)))  # the coefficients that multiply each column of the design
    for row, coefficients in zip(shares, wanted, strict=True):
        np.add.at(row, np.searchsorted(used, coefficients), 1.0)
    constants = np.tile(np.array(list(atom_types.values()), dtype=np.float64), (len(frames.energy), 1))
    energies = np.concatenate([design.energies, constants], axis=1)
    forces = design.forces.reshape(-1, design.forces.shape[2])
    n_columns = forces.shape[1]
    squares = energies.T @ energies
    squares[:n_columns, :n_columns] += forces.T @ forces
    products = energies.T @ frames.energy
    products[:n_columns] += forces.T @ frames.forces.ravel()
    equations.matrix[np.ix_(used, used)] += shares.T @ squares @ shares
    equations.right_side[used] += shares.T @ products


def _force_mae(field: ForceField, frames: Sequence[MoleculeFrames]) -> float:
    """Mean absolute error of force components, eV/Å."""
    error, count = 0.0, 0
    for each in frames:
        _, forces = field.energies_and_forces(each.smiles, each.positions)
        error += float(np.abs(forces - each.forces).sum())
        count += forces.size
    return error / count
