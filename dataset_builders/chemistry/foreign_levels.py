"""Levels of theory of published potentials that no configuration has labels of.

They are computed on a few frames only, to measure how far they lie from the levels of the labels; see
`harness.data.level_distances`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np

from dataset_builders.chemistry.dft import _molecule, dft_singlepoint
from dataset_builders.chemistry.levels import LEVELS, DftSettings
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.units import BOHR, HARTREE_PER_BOHR


@dataclass(frozen=True, slots=True)
class ForeignLevel:
    """A level of theory without labels.

    Attributes:
        name: Name in files of forces.
        method: Method and basis, as the table of known checkpoints names them.
        computed: The method that was computed: the same, or one that stands in for it.
        used_by: Models and data sets whose training labels are at this level.
        source: References.
        dft: Settings of the calculation.
        has_vv10: Whether the SCF contains the non-local correlation VV10.
    """

    name: str
    method: str
    computed: str
    used_by: str
    source: str
    dft: DftSettings
    has_vv10: bool = False

    @property
    def is_stand_in(self) -> bool:
        """Whether another method was computed in place of this one."""
        return self.computed != self.method

    def forces(self, atomic_numbers: IntArray, positions: FloatArray) -> FloatArray:
        """Forces of one neutral closed-shell molecule.

        Args:
            atomic_numbers: Shape (n_atoms,).
            positions: Shape (n_atoms, 3), Å.

        Returns:
            Forces in eV/Å, shape (n_atoms, 3).

        Raises:
            MissingPackageError: If PySCF or dftd3 is not installed.
            ConvergenceError: If the SCF does not converge.
        """
        if not self.has_vv10:
            return dft_singlepoint(self.dft, atomic_numbers, positions)[1]
        from dataset_builders.chemistry.nonlocal_correlation import with_vv10

        numbers = np.asarray(atomic_numbers, dtype=np.int64)
        _, gradient = with_vv10(self.dft, partial(_molecule, self.dft, numbers, np.asarray(positions) / BOHR))
        return -gradient * HARTREE_PER_BOHR


_WB97M: Final = LEVELS["wb97m-d3bj"]
_PBE: Final = LEVELS["pbe-d3bj"]
assert _WB97M.dft is not None
assert _PBE.dft is not None

FOREIGN_LEVELS: Final[Mapping[str, ForeignLevel]] = MappingProxyType(
    {
        level.name: level
        for level in (
            ForeignLevel(
                name="wb97m-v",
                method="wB97M-V/def2-TZVPD",
                computed="wB97M-V/def2-TZVPD",
                used_by="OMol25: UMA, eSEN, OrbMol, MACE-OMOL",
                source="Mardirossian and Head-Gordon, J. Chem. Phys. 144, 214110 (2016); Levine et al., "
                "arXiv 2505.08762 (2025)",
                dft=replace(_WB97M.dft, basis="def2-tzvpd", dispersion=None),
                has_vv10=True,
            ),
            ForeignLevel(
                name="wb97m-d3bj-tzvpp",
                method="wB97M-D3(BJ)/def2-TZVPP",
                computed="wB97M-D3(BJ)/def2-TZVPP",
                used_by="AIMNet2",
                source="Anstine, Zubatyuk and Isayev, Chem. Sci. 16, 10228 (2025)",
                dft=replace(_WB97M.dft, basis="def2-tzvpp"),
            ),
            ForeignLevel(
                name="pbe0-mbd",
                method="PBE0+MBD",
                computed="PBE0-D3(BJ)/def2-TZVPP",
                used_by="SO3LR, QCell, SPICE at PBE0+MBD",
                source="Adamo and Barone, J. Chem. Phys. 110, 6158 (1999); Tkatchenko et al., Phys. Rev. Lett. 108, "
                "236402 (2012)",
                dft=replace(_PBE.dft, functional="pbe0", basis="def2-tzvpp", dispersion="pbe0", grid=_WB97M.dft.grid),
            ),
        )
    }
)
"""Every foreign level by its name."""
