"""A force field with coefficients by type: energies and forces, and the linear equations for fitting."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import ModelError
from harness.baselines.force_field.energy_terms import BASES, atom_types_of, terms_of
from harness.baselines.force_field.expansion import expand, functions


class ForceField:
    """Computes energies and forces of molecules from coefficients.

    Args:
        coefficients: Coefficients of each type, shape (n_functions of its kind,), eV.
        origins: Mean and spread of bonds (Å) and angles (cosine) by name, shape (2,).
    """

    def __init__(self, coefficients: Mapping[str, FloatArray], origins: Mapping[str, FloatArray]) -> None:
        self._coefficients = coefficients
        self._origins = origins
        self._of_terms = functools.lru_cache(maxsize=4096)(self._summed)

    def energies_and_forces(self, smiles: str, positions: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Energies and forces of geometries of one molecule.

        Args:
            smiles: SMILES of the molecule.
            positions: Shape (n_frames, n_atoms, 3), Å, in the atom order of the SMILES.

        Returns:
            Energies, shape (n_frames,), eV, and forces, shape (n_frames, n_atoms, 3), eV/Å.

        Raises:
            ModelError: If even the coarsest type of a term is absent from training.
            ShapeError: If the number of atoms differs from that of the molecule.
        """
        expansion = expand(smiles, positions, self._origins)
        atoms = sum(
            (count * self._coefficients[name][0] for name, count in atom_types_of(smiles).items() if name in self),
            start=0.0,
        )
        energies = np.full(len(positions), float(atoms))
        by_coordinate = np.zeros(expansion.powers.shape[1::-1])
        for terms, coefficients in zip(terms_of(smiles), self._of_terms(smiles), strict=True):
            for function, coefficient in zip(functions(terms, expansion), coefficients.T, strict=True):
                energies += function.values @ coefficient
                for numbers, slopes in function.slopes:
                    np.add.at(by_coordinate, numbers, (slopes * coefficient).T)
        return energies, -np.einsum("cf,fcad->fad", by_coordinate, expansion.by_position)

    def __contains__(self, name: str) -> bool:
        """Whether the force field has coefficients of a type."""
        return name in self._coefficients

    def _summed(self, smiles: str) -> list[FloatArray]:
        """Coefficients of each term of a molecule, summed over its types; shape (n_terms, n_functions), by kind."""
        summed: list[FloatArray] = []
        for terms in terms_of(smiles):
            coefficients = np.zeros((len(terms.types), len(BASES[terms.kind])))
            for row, types in enumerate(terms.types):
                if types[0] not in self:
                    raise ModelError(
                        f"{smiles} has a term of type {types[0]}, which no training molecule has; expected a molecule "
                        "whose atoms and their neighbours occur in training"
                    )
                for name in types:
                    if name in self:
                        coefficients[row] += self._coefficients[name]
            summed.append(coefficients)
        return summed


@dataclass(frozen=True, slots=True)
class Design:
    """Energies and forces as linear functions of coefficients, for geometries of one molecule.

    A column represents one function of all terms with the same types.

    Attributes:
        types: Types of each column; its coefficient is the sum of their coefficients.
        function: Index of each column's function within its kind.
        energies: Shape (n_frames, n_columns).
        forces: Shape (n_frames, 3 n_atoms, n_columns), 1/Å.
    """

    types: tuple[tuple[str, ...], ...]
    function: tuple[int, ...]
    energies: FloatArray
    forces: FloatArray


def design_of(smiles: str, positions: FloatArray, origins: Mapping[str, FloatArray]) -> Design:
    """The design matrix of a molecule.

    Args:
        smiles: SMILES of the molecule.
        positions: Shape (n_frames, n_atoms, 3), Å.
        origins: Mean and spread of bonds and angles by name.

    Raises:
        ModelError: If the molecule has a bond or an angle without an origin.
        ShapeError: If the number of atoms differs from that of the molecule.
    """
    expansion = expand(smiles, positions, origins)
    n_frames, n_coordinates = expansion.powers.shape[:2]
    names: list[tuple[str, ...]] = []
    numbers: list[int] = []
    energies, by_coordinate = [], []
    for terms in terms_of(smiles):
        distinct = tuple(dict.fromkeys(terms.types))
        column = np.array([distinct.index(types) for types in terms.types], dtype=np.int64)
        for index, function in enumerate(functions(terms, expansion)):
            values = np.zeros((len(distinct), n_frames))
            slopes = np.zeros((n_coordinates, len(distinct), n_frames))
            np.add.at(values, column, function.values.T)
            for coordinates, slope in function.slopes:
                np.add.at(slopes, (coordinates, column), slope.T)
            energies.append(values)
            by_coordinate.append(slopes)
            names += distinct
            numbers += [index] * len(distinct)
    slopes = np.concatenate(by_coordinate, axis=1).transpose(2, 0, 1)
    by_position = expansion.by_position.reshape(n_frames, n_coordinates, -1)
    forces = -np.matmul(by_position.transpose(0, 2, 1), slopes)
    return Design(tuple(names), tuple(numbers), np.concatenate(energies).T, forces)


def functions_by_type(smiles: str) -> dict[str, int]:
    """The types in a molecule, and the number of functions, hence coefficients, of each."""
    found = dict.fromkeys(atom_types_of(smiles), 1)
    for terms in terms_of(smiles):
        found |= {name: len(BASES[terms.kind]) for types in dict.fromkeys(terms.types) for name in types}
    return found
