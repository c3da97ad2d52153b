"""Levels of theory of the labels, as declarative records.

A configuration is named after its task and its level: `task2` has GFN2-xTB labels, `task2-wb97x` those of
wB97X/6-31G(d) for the same frames.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from dataset_builders.core.errors import UsageError

LevelName = Literal["gfn2-xtb", "pbe-d3bj", "wb97x", "wb97m-d3bj", "other"]


@dataclass(frozen=True, slots=True)
class DftSettings:
    """Settings of a density-functional calculation.

    Attributes:
        functional: Name in libxc, as in PySCF; without a dispersion correction.
        basis: Orbital basis, in PySCF's spelling.
        cartesian: Whether d functions and higher are Cartesian (6 d), as in Gaussian's 6-31G(d).
        auxiliary_basis: Basis of the density fitting; `None` for exact integrals.
        grid: Radial and angular points of the integration grid for hydrogen, and for heavier elements.
        energy_convergence: Threshold of the SCF energy, Hartree.
        gradient_convergence: Threshold of the orbital gradient, Hartree.
        dispersion: Functional of the D3(BJ) parameters; `None` for no dispersion correction.
        grid_response: Whether forces include the response of the grid to the motion of the atoms.
    """

    functional: str
    basis: str
    cartesian: bool
    auxiliary_basis: str | None
    grid: tuple[tuple[int, int], tuple[int, int]]
    energy_convergence: float
    gradient_convergence: float
    dispersion: str | None = None
    grid_response: bool = True


@dataclass(frozen=True, slots=True)
class Level:
    """A level of theory, with tolerances for the net force and torque of its forces.

    The net force and net torque on an isolated molecule are zero. Residuals come from rounding to float32 (at most 5e-7
    eV/Å and 1.1e-5 eV in 4,790 frames) and, for density functionals, from the integration grid, which moves with the
    atoms but does not rotate with the molecule. Larger residuals mean that forces and positions do not match: even the
    forces of another frame of the same molecule give a net torque.

    Attributes:
        name: Name on the command line.
        suffix: Suffix of the task's name in the name of a configuration; empty for the level of `task1`.
        method: Method and basis, as metadata, cards and models name them.
        source: References of the method and its basis.
        computed: Program and settings of the calculation.
        used_by: Models and data sets whose training labels are at this level.
        net_force: Largest norm of the sum of the forces, eV/Å.
        net_torque: Largest norm of the sum of the torques about the centroid, eV.
        dft: Settings of the calculation; `None` for a method other than DFT.
    """

    name: LevelName
    suffix: str
    method: str
    source: str
    computed: str
    used_by: str
    net_force: float
    net_torque: float
    dft: DftSettings | None = None

    def config(self, task: str) -> str:
        """Name of the configuration of a task at this level, such as `task2-wb97x`."""
        return f"{task}-{self.suffix}" if self.suffix else task


_DFT: Final = "with PySCF, with density fitting, each frame from a cold start of the SCF"
_D3: Final = "Grimme et al., J. Chem. Phys. 132, 154104 (2010) and J. Comput. Chem. 32, 1456 (2011)"
_DEF2: Final = "Weigend and Ahlrichs, Phys. Chem. Chem. Phys. 7, 3297 (2005)"
_WB97X: Final = "Chai and Head-Gordon, J. Chem. Phys. 128, 084106 (2008)"
_WB97M: Final = "Mardirossian and Head-Gordon, J. Chem. Phys. 144, 214110 (2016)"
_POPLE: Final = "Hariharan and Pople, Theor. Chim. Acta 28, 213 (1973)"

GFN2: Final = Level(
    name="gfn2-xtb",
    suffix="",
    method="GFN2-xTB",
    source="Bannwarth et al., J. Chem. Theory Comput. 15, 1652 (2019)",
    computed="with tblite, each frame from a cold start of the SCF",
    used_by="this benchmark",
    net_force=1e-4,
    net_torque=1e-3,
)
"""The level of the labels of every edition as built."""

LEVELS: Final[Mapping[LevelName, Level]] = MappingProxyType(
    {
        level.name: level
        for level in (
            GFN2,
            Level(
                name="pbe-d3bj",
                suffix="pbe",
                method="PBE-D3(BJ)/def2-TZVP",
                source=f"Perdew et al., Phys. Rev. Lett. 77, 3865 (1996); {_D3}; {_DEF2}",
                computed=_DFT,
                used_by="GMD-26",
                net_force=0.05,
                net_torque=0.2,
                dft=DftSettings(
                    functional="pbe",
                    basis="def2-tzvp",
                    cartesian=False,
                    auxiliary_basis="cc-pvtz-jkfit",
                    grid=((50, 302), (75, 590)),
                    energy_convergence=1e-9,
                    gradient_convergence=1e-5,
                    dispersion="pbe",
                ),
            ),
            Level(
                name="wb97x",
                suffix="wb97x",
                method="wB97X/6-31G(d)",
                source=f"{_WB97X}; {_POPLE}",
                computed=_DFT,
                used_by="ANI-1x, ANI-2x",
                net_force=0.05,
                net_torque=0.2,
                dft=DftSettings(
                    functional="wb97x",
                    basis="6-31g*",
                    cartesian=True,
                    auxiliary_basis="def2-universal-jkfit",
                    grid=((50, 302), (75, 590)),
                    energy_convergence=1e-9,
                    gradient_convergence=1e-5,
                ),
            ),
            Level(
                name="wb97m-d3bj",
                suffix="wb97m",
                method="wB97M-D3(BJ)/def2-TZVPPD",
                source=f"{_WB97M}; Najibi and Goerigk, J. Chem. Theory Comput. 14, 5725 (2018); {_DEF2}",
                computed=_DFT,
                used_by="SPICE, MACE-OFF",
                net_force=0.05,
                net_torque=0.2,
                dft=DftSettings(
                    functional="wb97m-v",
                    basis="def2-tzvppd",
                    cartesian=False,
                    auxiliary_basis="cc-pvtz-jkfit",
                    grid=((40, 194), (60, 590)),
                    energy_convergence=1e-9,
                    gradient_convergence=1e-5,
                    dispersion="wb97m",
                ),
            ),
        )
    }
)
"""Every level by its name."""

LEVELS_BY_SUFFIX: Final[Mapping[str, Level]] = MappingProxyType({level.suffix: level for level in LEVELS.values()})
"""Every level by its suffix in the name of a configuration."""


def level_of_method(text: str) -> Level | None:
    """The level with a given name or method, ignoring case; `None` if there is none."""
    for level in LEVELS.values():
        if text.lower() in (level.name, level.method.lower()):
            return level
    return None


def other_level(method: str, computed: str) -> Level:
    """A level of theory for imported labels that is not in `LEVELS`.

    Its configurations have no suffix; its tolerances are those of the density functionals.
    """
    wb97x = LEVELS["wb97x"]
    return Level(
        name="other",
        suffix="",
        method=method,
        source="not stated",
        computed=computed,
        used_by="not stated",
        net_force=wb97x.net_force,
        net_torque=wb97x.net_torque,
    )


def find_level(name: str) -> Level:
    """Returns the level with this name.

    Raises:
        UsageError: If there is none.
    """
    for level in LEVELS.values():
        if level.name == name:
            return level
    raise UsageError(f"unknown level of theory {name!r}; known levels: {' '.join(LEVELS)}")
