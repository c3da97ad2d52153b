"""Energies of isolated atoms at each level of theory: the reference of atomisation energies.

Ground states with the unpaired electrons of `dft.ATOM_SPINS`. Density functionals: spin-unrestricted, at the settings
of the labels, through `dft.isolated_atom_energy` with PySCF 2.14; GFN2-xTB: tblite 0.8, which has no spin polarisation
and uses the spin for the occupation of the orbitals. Those of wB97X/6-31G(d) agree within 2 meV with the atoms that
ANI-2x was trained with. The reference shift of the metrics is different: it is fitted to molecules.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dataset_builders.chemistry.levels import LevelName

ISOLATED_ATOMS: Final[Mapping[LevelName, Mapping[str, float]]] = MappingProxyType(
    {
        "gfn2-xtb": MappingProxyType(
            {
                "H": -10.70721,
                "C": -48.79808,
                "N": -70.90809,
                "O": -102.52181,
                "F": -125.69864,
                "S": -85.61945,
                "Cl": -121.97572,
            }
        ),
        "pbe-d3bj": MappingProxyType(
            {
                "H": -13.59529,
                "C": -1028.48083,
                "N": -1483.89521,
                "O": -2041.11721,
                "F": -2712.13508,
                "S": -10828.45372,
                "Cl": -12516.10563,
            }
        ),
        "wb97x": MappingProxyType(
            {
                "H": -13.58733,
                "C": -1029.51122,
                "N": -1485.01485,
                "O": -2042.00965,
                "F": -2712.83681,
                "S": -10832.34852,
                "Cl": -12520.41432,
            }
        ),
        "wb97m-d3bj": MappingProxyType(
            {
                "H": -13.56876,
                "C": -1030.56711,
                "N": -1486.37524,
                "O": -2043.93380,
                "F": -2715.31862,
                "S": -10834.49142,
                "Cl": -12522.65403,
            }
        ),
    }
)
"""Total energy in eV, by level and element."""
