"""How many atoms a batch may have, where the user does not say.

On a CPU the number is fixed: larger batches gain little there, and results repeat bit for bit from one machine to the
next. On a GPU it is found by trying: the memory that batches of two sizes take gives the memory of an atom.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from dataset_builders.structures import IntArray
from harness.potentials.base import Potential
from harness.structures import StructureBatch
from harness.windows import Window

ON_CPU: Final = 512
"""Most atoms in a batch on a CPU."""

PROBED: Final = (1024, 4096)
"""Atoms of the two batches that are tried on a GPU."""

MOST: Final = 2**17
"""Most atoms in a batch on a GPU; it is busy long before."""

SHARE_OF_MEMORY: Final = 0.6
"""Of what is free before the first batch: two are under way, and molecules of one size differ in their pairs."""

FreeMemory = Callable[[], int]
"""Bytes that the device has to give."""


def batch_atoms_for(potential: Potential, windows: Iterator[Window]) -> int:
    """Most atoms in a batch that suit a potential and its device.

    Args:
        potential: On its device, or in a worker that has it there.
        windows: The geometries that are to be computed; the first one is tried, whose first structures are its largest.
    """
    device = potential.traits.device
    if not device.startswith("cuda"):
        return ON_CPU
    import torch

    def free() -> int:
        return int(torch.cuda.mem_get_info(device)[0])

    return probed(potential, next(windows), free)


def probed(potential: Potential, window: Window, free: FreeMemory) -> int:
    """Finds the number by computing two batches, and halves it where they do not fit.

    Args:
        potential: What computes.
        window: Structures to try.
        free: Memory that the device has left; what a batch took stays with its process.

    Returns:
        A power of two, so that small differences in free memory change nothing; at least the smaller of the two
        sizes, or the number that did fit where even that one does not.
    """
    import torch

    before = free()
    left = []
    for n_atoms in PROBED:
        try:
            potential.compute(_batch_of(window, n_atoms))
        except torch.OutOfMemoryError:
            return n_atoms // 4
        left.append(free())
    per_atom = max(left[0] - left[1], 1) / (PROBED[1] - PROBED[0])
    fitting = SHARE_OF_MEMORY * before / per_atom
    return max(PROBED[0], min(MOST, 1 << int(np.log2(fitting))))


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
