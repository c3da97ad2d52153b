"""Atomisation energies as sums of bond energies, at each level of theory.

The atomisation energy of a molecule is nearly a sum over its bonds. The energies of isolated atoms differ by 1 eV per
carbon between two density functionals, and by 1,000 eV between a functional and GFN2-xTB; bond energies differ by a few
per cent. So the sum matches only energies of the right level of theory.

The bond energies below are fitted to the energies of small molecules at their GFN2-xTB geometries, computed at each
level by `python -m tests.benchmarks.bond_energies`.
"""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from dataset_builders.chemistry.isolated_atoms import ISOLATED_ATOMS
from dataset_builders.chemistry.levels import LevelName
from dataset_builders.chemistry.mmff94 import molecule
from dataset_builders.core.units import BOLTZMANN

BOND_ENERGIES: Final[Mapping[LevelName, Mapping[str, float]]] = MappingProxyType(
    {
        "gfn2-xtb": MappingProxyType(
            {
                "C#C": 11.718,
                "C#N": 13.561,
                "C-C": 5.208,
                "C-Cl": 4.430,
                "C-F": 6.077,
                "C-H": 5.463,
                "C-N": 5.104,
                "C-O": 6.432,
                "C-S": 3.710,
                "C=C": 8.458,
                "C=O": 11.845,
                "C~C": 7.051,
                "H-N": 5.876,
                "H-O": 7.005,
                "H-S": 4.457,
            }
        ),
        "pbe-d3bj": MappingProxyType(
            {
                "C#C": 9.060,
                "C#N": 9.700,
                "C-C": 4.221,
                "C-Cl": 3.788,
                "C-F": 5.196,
                "C-H": 4.510,
                "C-N": 3.431,
                "C-O": 4.133,
                "C-S": 3.252,
                "C=C": 6.740,
                "C=O": 8.088,
                "C~C": 5.577,
                "H-N": 4.330,
                "H-O": 5.054,
                "H-S": 3.946,
            }
        ),
        "wb97x": MappingProxyType(
            {
                "C#C": 8.563,
                "C#N": 9.038,
                "C-C": 4.105,
                "C-Cl": 3.687,
                "C-F": 5.041,
                "C-H": 4.450,
                "C-N": 3.361,
                "C-O": 4.016,
                "C-S": 3.168,
                "C=C": 6.518,
                "C=O": 7.657,
                "C~C": 5.438,
                "H-N": 4.159,
                "H-O": 4.779,
                "H-S": 3.821,
            }
        ),
        "wb97m-d3bj": MappingProxyType(
            {
                "C#C": 8.774,
                "C#N": 9.272,
                "C-C": 4.040,
                "C-Cl": 3.721,
                "C-F": 5.068,
                "C-H": 4.460,
                "C-N": 3.331,
                "C-O": 3.970,
                "C-S": 3.201,
                "C=C": 6.595,
                "C=O": 7.698,
                "C~C": 5.484,
                "H-N": 4.320,
                "H-O": 5.046,
                "H-S": 4.002,
            }
        ),
    }
)
"""Energy of a bond in eV, by level and kind: elements in alphabetical order, `~` for an aromatic bond."""

_ORDERS: Final = {1.0: "-", 2.0: "=", 3.0: "#", 1.5: "~"}


def bonds_of(smiles: str) -> Mapping[str, int]:
    """Number of bonds of each kind in a molecule, such as `{"C-H": 6, "C-C": 1}`."""
    kinds: Counter[str] = Counter()
    for bond in molecule(smiles).GetBonds():
        first, second = sorted((bond.GetBeginAtom().GetSymbol(), bond.GetEndAtom().GetSymbol()))
        kinds[f"{first}{_ORDERS.get(bond.GetBondTypeAsDouble(), '?')}{second}"] += 1
    return kinds


def bond_energy(level: LevelName, smiles: str) -> float | None:
    """Sum of the bond energies of a molecule, eV; `None` if one is unknown."""
    known = BOND_ENERGIES.get(level, {})
    kinds = bonds_of(smiles)
    if not kinds or not kinds.keys() <= known.keys():
        return None
    return float(sum(known[kind] * count for kind, count in kinds.items()))


def atoms_energy(level: LevelName, smiles: str) -> float | None:
    """Sum of the energies of the isolated atoms of a molecule, eV; `None` if one is unknown."""
    known = ISOLATED_ATOMS.get(level, {})
    symbols = [atom.GetSymbol() for atom in molecule(smiles).GetAtoms()]
    return float(sum(known[symbol] for symbol in symbols)) if known.keys() >= set(symbols) else None


def bond_ratio(level: LevelName, smiles: str, energy: float, temperature: float) -> float | None:
    """Atomisation energy divided by the sum of the bond energies: near 1 for total energies of that level in eV.

    Args:
        level: The level.
        smiles: SMILES of the molecule.
        energy: Typical energy of its frames, eV.
        temperature: Sampling temperature, K: a classical harmonic molecule has an energy of kT/2 per vibration.

    Returns:
        The ratio; `None` if an atom or a bond is unknown.
    """
    atoms, bonds = atoms_energy(level, smiles), bond_energy(level, smiles)
    if atoms is None or bonds is None:
        return None
    n_vibrations = max(0, 3 * molecule(smiles).GetNumAtoms() - 6)
    return (atoms - energy + 0.5 * n_vibrations * BOLTZMANN * temperature) / bonds


def median_ratio(level: LevelName, energies: Mapping[str, float], temperature: float) -> float | None:
    """Median of `bond_ratio` over molecules; `None` if there is no ratio.

    Args:
        level: The level.
        energies: Typical energy of the frames of each molecule, eV, by SMILES.
        temperature: Sampling temperature, K.
    """
    found = [bond_ratio(level, smiles, energy, temperature) for smiles, energy in energies.items()]
    known = [each for each in found if each is not None]
    return float(np.median(known)) if known else None
