"""The terms of a molecule at many geometries: values, and derivatives with respect to internal coordinates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import ModelError
from harness.baselines.force_field.coordinates import internal_coordinates
from harness.baselines.force_field.energy_terms import BASES, HIGHEST_POWER, TermList, origin_names
from harness.baselines.force_field.topology import topology_of

VOLUME_SCALE: Final = 0.1
"""Divisor of the volume at a trigonal centre: about its spread at 300 K."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """Powers of all internal coordinates at some geometries.

    Attributes:
        powers: Powers of the displacement in units of its spread for bonds and angles, of the scaled volume for
            trigonal centres; cos n phi for torsions; shape (n_frames, n_coordinates, HIGHEST_POWER + 1).
        slopes: Their derivatives with respect to the coordinates; same shape.
        by_position: Derivatives of the coordinates by position, shape (n_frames, n_coordinates, n_atoms, 3).
    """

    powers: FloatArray
    slopes: FloatArray
    by_position: FloatArray


@dataclass(frozen=True, slots=True)
class Function:
    """One function of all terms of a kind, at some geometries.

    Attributes:
        values: Shape (n_frames, n_terms).
        slopes: For each coordinate that it depends on: indices of the coordinates, shape (n_terms,), and
            derivatives, shape (n_frames, n_terms).
    """

    values: FloatArray
    slopes: tuple[tuple[IntArray, FloatArray], ...]


def expand(smiles: str, positions: FloatArray, origins: Mapping[str, FloatArray]) -> Expansion:
    """Powers of the internal coordinates of a molecule.

    Args:
        smiles: SMILES of the molecule.
        positions: Shape (n_frames, n_atoms, 3), Å.
        origins: Mean and spread of bonds (Å) and angles (cosine) by name.

    Raises:
        ModelError: If the molecule has a bond or an angle without an origin.
        ShapeError: If the number of atoms differs from that of the molecule.
    """
    topology = topology_of(smiles)
    values, by_position = internal_coordinates(topology, positions)
    n_displaced = len(topology.bonds) + len(topology.angles)
    torsions = slice(n_displaced, n_displaced + len(topology.torsions))
    scales = np.full((topology.n_coordinates, 2), (0.0, VOLUME_SCALE))
    scales[torsions, 1] = 1.0
    for number, name in enumerate(origin_names(smiles)):
        if name not in origins:
            raise ModelError(
                f"{smiles} has the bond or angle {name.removeprefix('origin/')}, which no training molecule has; "
                "expected a molecule whose atoms and their neighbours occur in training"
            )
        scales[number] = origins[name]
    powers = np.ones((*values.shape, HIGHEST_POWER + 1))
    slopes = np.zeros_like(powers)
    reduced = (values - scales[:, 0]) / scales[:, 1]
    cosines = values[:, torsions]
    for power in range(1, HIGHEST_POWER + 1):
        powers[..., power] = powers[..., power - 1] * reduced
        slopes[..., power] = power * powers[..., power - 1] / scales[:, 1]
    for order in range(2, HIGHEST_POWER + 1):  # cos n phi as a polynomial of cos phi (Chebyshev)
        last, before = powers[:, torsions, order - 1], powers[:, torsions, order - 2]
        last_slope, slope_before = slopes[:, torsions, order - 1], slopes[:, torsions, order - 2]
        powers[:, torsions, order] = 2.0 * cosines * last - before
        slopes[:, torsions, order] = 2.0 * (last + cosines * last_slope) - slope_before
    return Expansion(powers, slopes, by_position)


def functions(terms: TermList, expansion: Expansion) -> Iterator[Function]:
    """The functions of the terms of one kind, in the order of `BASES`."""
    for exponents in BASES[terms.kind]:
        places = [(terms.coordinates[:, place], power) for place, power in enumerate(exponents) if power]
        factors = [expansion.powers[:, numbers, power] for numbers, power in places]
        slopes = []
        for index, (numbers, power) in enumerate(places):
            others = factors[:index] + factors[index + 1 :]
            slopes.append((numbers, np.multiply.reduce([expansion.slopes[:, numbers, power], *others])))
        yield Function(np.multiply.reduce(factors), tuple(slopes))
