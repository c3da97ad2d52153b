import numpy as np
import pytest

from dataset_builders.chemistry.dft import ATOM_SPINS
from dataset_builders.chemistry.isolated_atoms import ISOLATED_ATOMS
from dataset_builders.chemistry.levels import LEVELS
from dataset_builders.core.units import HARTREE

SYMBOLS = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F", 16: "S", 17: "Cl"}


def test_every_level_has_every_element():
    assert set(ISOLATED_ATOMS) == set(LEVELS)
    assert all(set(atoms) == set(SYMBOLS.values()) for atoms in ISOLATED_ATOMS.values())


def test_the_level_of_ani_2x_agrees_with_the_atoms_it_was_trained_with():
    """Computed by its authors with another program (Gaussian): the functional, the basis and its 6 d functions."""
    atoms = pytest.importorskip("torchani.constants").GSAES["wb97x-631gd"]
    for symbol, energy in ISOLATED_ATOMS["wb97x"].items():
        assert energy == pytest.approx(atoms[symbol] * HARTREE, abs=3e-3), symbol


@pytest.mark.parametrize("number", ATOM_SPINS)
def test_gfn2_xtb_atoms(number):
    from tblite.interface import Calculator

    calculator = Calculator("GFN2-xTB", np.array([number]), np.zeros((1, 3)), charge=0.0, uhf=ATOM_SPINS[number])
    calculator.set("verbosity", 0)
    energy = calculator.singlepoint().get("energy") * HARTREE
    assert energy == pytest.approx(ISOLATED_ATOMS["gfn2-xtb"][SYMBOLS[number]], abs=1e-4)
