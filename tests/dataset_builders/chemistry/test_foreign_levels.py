"""Levels of published potentials without labels: what stands in for them is said, and their forces are derivatives."""

import numpy as np
import pytest

from dataset_builders.chemistry.dft import dft_singlepoint
from dataset_builders.chemistry.foreign_levels import FOREIGN_LEVELS
from dataset_builders.chemistry.levels import LEVELS
from harness.core.known_checkpoints import known_checkpoints

HYDROGEN = np.array([1, 1]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.80]])
STEP = 0.005


def test_each_is_the_level_of_a_known_checkpoint_and_of_no_label() -> None:
    known = {each.level for each in known_checkpoints()}
    labels = {level.method for level in LEVELS.values()}
    for level in FOREIGN_LEVELS.values():
        assert level.method in known
        assert level.method not in labels
        assert level.is_stand_in == (level.name == "pbe0-mbd")


@pytest.mark.parametrize("name", FOREIGN_LEVELS)
def test_forces_are_derivatives_of_the_energy(name: str) -> None:
    pytest.importorskip("pyscf")
    pytest.importorskip("dftd3")
    level = FOREIGN_LEVELS[name]
    numbers, positions = HYDROGEN
    forces = level.forces(numbers, positions)
    np.testing.assert_allclose(forces[0], -forces[1], atol=1e-3)
    assert forces[1, 2] < -0.1  # the bond is stretched
    if not level.has_vv10:
        moved = [positions + np.array([[0.0, 0.0, 0.0], [0.0, 0.0, sign * STEP]]) for sign in (1.0, -1.0)]
        energies = [dft_singlepoint(level.dft, numbers, each)[0] for each in moved]
        assert forces[1, 2] == pytest.approx(-(energies[0] - energies[1]) / (2.0 * STEP), abs=2e-3)
