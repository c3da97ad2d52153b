"""Relative cost of a unit: for progress bars, shards of equal work, and plans.

Integers only, so that every machine computes the same shards.
"""

import functools
from typing import Final

from dataset_builders.build.work_units import WorkUnit
from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.tasks.editions import FRAMES_PER_BURST
from dataset_builders.tasks.words import Word

_FIXED: Final = 120
"""Part of the cost of a burst that does not depend on the molecule. The cost of one burst of each of the 124 molecules
follows (number of orbitals)² + 120 with a scatter of 20 %, from 0.2 to 7 s."""


def n_frames(unit: WorkUnit) -> int:
    """Number of frames of a unit."""
    return (unit.end_burst - unit.first_burst) * FRAMES_PER_BURST


def unit_cost(unit: WorkUnit) -> int:
    """Cost of a unit, in arbitrary units."""
    return (unit.end_burst - unit.first_burst) * burst_cost(unit.word)


@functools.cache
def burst_cost(word: Word) -> int:
    """Cost of a burst of a molecule, on the scale of `unit_cost`."""
    numbers = atomic_numbers_of(word.smiles)
    # The basis of GFN2-xTB: s for H, s and p for the second period, plus d for sulphur and chlorine.
    orbitals = sum(1 if number == 1 else 4 if number < 10 else 9 for number in numbers.tolist())
    return int(orbitals**2 + _FIXED)
