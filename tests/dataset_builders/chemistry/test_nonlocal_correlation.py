"""VV10 with a potential that is fixed during an SCF, against PySCF's own SCF with VV10."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

pytest.importorskip("pyscf")

from dataset_builders.chemistry.dft import _molecule
from dataset_builders.chemistry.levels import LEVELS
from dataset_builders.chemistry.nonlocal_correlation import with_vv10
from dataset_builders.core.units import BOHR, HARTREE_PER_BOHR, MILLI

GRID = ((20, 50), (30, 86))
NUMBERS = np.array([8, 1, 1])
POSITIONS = np.array([[0.0, 0.0, 0.12], [0.0, 0.77, -0.47], [0.05, -0.76, -0.45]])


def test_energy_and_gradient_are_those_of_pyscf() -> None:
    from pyscf.dft import RKS

    of_labels = LEVELS["wb97m-d3bj"].dft
    assert of_labels is not None
    settings = replace(of_labels, basis="6-31g*", grid=GRID, dispersion=None)
    molecule = partial(_molecule, settings, NUMBERS, POSITIONS / BOHR)
    energy, gradient = with_vv10(settings, molecule, GRID)
    field = RKS(molecule(settings.basis), xc="wb97m-v").density_fit(auxbasis=settings.auxiliary_basis)
    for grids in (field.grids, field.nlcgrids):
        grids.atom_grid = {"H": GRID[0], "O": GRID[1]}
    field.conv_tol, field.conv_tol_grad = settings.energy_convergence, settings.gradient_convergence
    assert energy == pytest.approx(field.kernel(), abs=1e-8)
    gradients = field.nuc_grad_method()
    gradients.grid_response = True
    apart = np.abs(gradient - gradients.kernel()).max() * HARTREE_PER_BOHR / MILLI
    assert apart < 0.1  # meV/Å; PySCF fits the derivatives of the integrals in another way
