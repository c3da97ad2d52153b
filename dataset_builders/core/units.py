"""Units and their conversion, in one place.

Inside the project, lengths are in Å, energies in eV and forces in eV/Å. Other units are converted once, on input, with
a constant of this file.

Source: CODATA 2018 recommended values (Tiesinga et al., Rev. Mod. Phys. 93, 025010, 2021). ASE and
PySCF use a Hartree that is smaller by 8e-9, which is 0.1 meV at the total energies of this data
set, so their constants are not mixed with these.
"""

from typing import Final

HARTREE: Final = 27.211386245988
"""One Hartree in eV."""

BOHR: Final = 0.529177210903
"""One Bohr radius in Å."""

HARTREE_PER_BOHR: Final = HARTREE / BOHR
"""One atomic unit of force in eV/Å."""

KCAL_PER_MOL: Final = 4184.0 / (1.602176634e-19 * 6.02214076e23)
"""One thermochemical kcal/mol in eV; exact in the SI of 2019."""

KJ_PER_MOL: Final = KCAL_PER_MOL / 4.184
"""One kJ/mol in eV."""

BOLTZMANN: Final = 1.380649e-23 / 1.602176634e-19
"""The Boltzmann constant in eV/K; exact in the SI of 2019."""

MILLI: Final = 1.0e-3
"""From eV to meV, for display only: divide by it."""
