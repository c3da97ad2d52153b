"""How many atoms a batch may have, where the user does not say.

On a CPU the number is fixed: larger batches gain little there, and results repeat bit for bit from one machine to the
next. On a GPU it is found by trying: the memory that batches of two sizes take gives the memory of an atom.
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
"""Most atoms in a batch on a CPU."""

PROBED: Final = (1024, 4096)
"""Atoms of the two batches that are tried on a GPU."""

UNMEASURED: Final = PROBED[1]
"""Most atoms in a batch where nothing tells what an atom takes: a batch of so many did fit."""

MOST: Final = 2**17
"""Most atoms in a batch on a GPU; it is busy long before."""

SHARE_OF_MEMORY: Final = 0.6
"""Of what is free before the first batch: two are under way, and molecules of one size differ in their pairs."""


def batch_atoms_for(potential: Potential, windows: Iterator[Window]) -> int:
    """Most atoms in a batch that suit a potential and its device.

    Args:
        potential: On its device, or in a worker that has it there.
        windows: The geometries that are to be computed; the first one is tried, whose first structures are its largest.
    """
    if not potential.traits.device.startswith("cuda"):
        return ON_CPU
    return probed(potential, next(windows), meter_of(potential))


def probed(potential: Potential, window: Window, meter: Meter | None) -> int:
    """Finds the number by computing two batches, and divides it by four where they do not fit.

    Args:
        potential: What computes.
        window: Structures to try.
        meter: Of the process that computes; `None` where there is none.

    Returns:
        A power of two, so that small differences in free memory change nothing. Where even the smaller of the two sizes
        does not fit, one that does, if there is one.
    """
    smaller, larger = (_batch_of(window, n_atoms) for n_atoms in PROBED)
    # The first batch also takes what is taken once: kernels, workspaces, code that is compiled.
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
    """Atoms of a batch that fits, rather too few than too many; `None` where memory was not seen to grow.

    What is taken once is counted as if it grew with the batch. What grows faster than the number of atoms is taken to
    grow on as the power of it that it grew with.

    Args:
        sizes: Atoms of the two batches.
        smaller: What the smaller one took.
        larger: What the larger one took.
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
    """A quarter of a number of atoms that is too large, or a quarter of that, and so on, until a batch fits."""
    while n_atoms > 1:
        n_atoms //= 4
        batch = _batch_of(window, n_atoms)
        # One structure that does not fit is told of by name where the run comes to it.
        if _fits(potential, batch) or batch.n_structures == 1:
            break
    return n_atoms


def _batch_of(window: Window, n_atoms: int) -> StructureBatch:
    """The largest structures of a window, again and again, as many as make a batch of so many atoms."""
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
