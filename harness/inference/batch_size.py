"""The maximum number of atoms in a batch, if the user does not set it.

On a CPU the number is fixed: larger batches gain little there, and results are bit-for-bit reproducible between
machines. On a GPU it is measured: the memory of batches of two sizes gives the memory per atom.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from dataset_builders.core.arrays import IntArray
from harness.compute.device import out_of_memory_as_itself, release_memory
from harness.compute.meter import Footprint, Meter, meter_of
from harness.core.batch import StructureBatch
from harness.core.potential import Potential
from harness.inference.windows import Window

ON_CPU: Final = 512
"""Maximum number of atoms in a batch on a CPU."""

PROBED: Final = (1024, 4096)
"""Atoms of the two trial batches on a GPU."""

UNMEASURED: Final = PROBED[1]
"""Maximum number of atoms if the memory per atom cannot be measured: a trial batch of this size did fit."""

MOST: Final = 2**17
"""Maximum number of atoms in a batch on a GPU, which smaller batches already saturate."""

SHARE_OF_MEMORY: Final = 0.6
"""Fraction of the initially free memory: two batches run at a time, and neighbour counts vary between molecules."""


def batch_atoms_for(potential: Potential, windows: Iterator[Window]) -> int:
    """Maximum number of atoms in a batch for a potential and its device.

    Args:
        potential: The potential, loaded in this process or in a worker.
        windows: The geometries to compute; the first window is tried, which begins with its largest structures.
    """
    if not potential.traits.device.startswith("cuda"):
        return ON_CPU
    return probed(potential, next(windows), meter_of(potential))


def probed(potential: Potential, window: Window, meter: Meter | None) -> int:
    """Finds the number by computing two batches, and divides it by four if they do not fit.

    Args:
        potential: The potential.
        window: Structures to try.
        meter: Meter of the process that computes; `None` if there is none.

    Returns:
        A power of two, so that small differences in free memory change nothing. If even the smaller of the two sizes
        does not fit, one that does, if there is one.
    """
    smaller, larger = (_batch_of(window, n_atoms) for n_atoms in PROBED)
    # The first batch also allocates one-time memory: kernels, workspaces, compiled code.
    if not _fits(potential, smaller):
        return _fitting_below(potential, window, PROBED[0])
    footprints = []
    for batch in (smaller, larger):
        if meter is not None:
            meter.begin()
        if not _fits(potential, batch):
            return PROBED[0] if batch is larger else _fitting_below(potential, window, PROBED[0])
        footprints.append(None if meter is None else meter.end())
    if footprints[0] is None or footprints[1] is None:
        return UNMEASURED
    fitting = _fitting((len(smaller.atomic_numbers), len(larger.atomic_numbers)), footprints[0], footprints[1])
    if fitting is None:
        return UNMEASURED
    return max(PROBED[0], min(MOST, 1 << int(math.log2(max(fitting, 1.0)))))


def _fitting(sizes: tuple[int, int], smaller: Footprint, larger: Footprint) -> float | None:
    """Conservative number of atoms of a batch that fits; `None` if memory did not grow measurably.

    One-time memory counts as if it grew with the batch. If memory grows faster than linearly, the power law through
    the two measurements is extrapolated.

    Args:
        sizes: Atoms of the two batches.
        smaller: Memory of the smaller batch.
        larger: Memory of the larger batch.
    """
    pairs = (smaller.in_use, larger.in_use), (smaller.taken, larger.taken)
    if sizes[0] >= sizes[1] or all(second <= first for first, second in pairs):
        return None
    given = max(0.0, SHARE_OF_MEMORY * larger.available)
    numbers: list[float] = []
    for first, second in pairs:
        if second > 0:
            power = math.log(second / first) / math.log(sizes[1] / sizes[0]) if first > 0 else 1.0
            numbers.append(sizes[1] * (given / second) ** (1.0 / max(1.0, power)))
    return min(numbers)


def _fits(potential: Potential, batch: StructureBatch) -> bool:
    import torch

    try:
        with out_of_memory_as_itself():
            potential.compute(batch)
    except torch.OutOfMemoryError:
        # Leaving the handler frees the tensors of the failed attempt, which its traceback keeps alive.
        pass
    else:
        return True
    release_memory()
    return False


def _fitting_below(potential: Potential, window: Window, n_atoms: int) -> int:
    """Divides a number of atoms that is too large by four until a batch fits."""
    while n_atoms > 1:
        n_atoms //= 4
        batch = _batch_of(window, n_atoms)
        # If a single structure does not fit, the run reports it by name later.
        if _fits(potential, batch) or batch.n_structures == 1:
            break
    return n_atoms


def _batch_of(window: Window, n_atoms: int) -> StructureBatch:
    """A batch of a given number of atoms from the largest structures of a window, repeated as needed."""
    sizes: IntArray = window.n_atoms
    chosen: list[int] = []
    total = 0
    for number in itertools.cycle(range(len(sizes))):
        total += int(sizes[number])
        if chosen and total > n_atoms:
            break
        chosen.append(number)
    parts = [window.batch(window.start + number, window.start + number + 1) for number in chosen]
    return StructureBatch(
        np.concatenate([part.atomic_numbers for part in parts]),
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.n_atoms for part in parts]),
        tuple(smiles for part in parts for smiles in part.smiles),
    )
